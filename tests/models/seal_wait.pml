/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal_wait.pml - seal, cancel, loss; threads that sleep on their seat or on a
 * completion queue; the janitor (store/slot.c, edge.c, wait.c, cq.c, reap.c).
 *
 * PROTOCOL IN WORDS
 *   word    {state, NOTIFY, OWNED, LOCK(owner), DIRTY}; PENDING -> SEALED |
 *           CANCELLED | LOST once, by CAS.
 *   resolve nobody has the LOCK: CAS PENDING -> S|NOTIFY|LOCK(me), exit.
 *           LOCKed by another: CAS -> S|NOTIFY|LOCK(other)|DIRTY, leave. Not
 *           PENDING: too late. OWNED: only its maker may, or the janitor for it.
 *   exit    (LOCK owner) DIRTY: clear it. NOTIFY: tell every LIVE or FIRED edge,
 *           then clear NOTIFY. Then sweep; CAS {state, LOCK(me)} -> {state};
 *           failed (DIRTY, perhaps NOTIFY): again.
 *   tell    seat: bell++; asleep: FUTEX_WAKE. Queue: LIVE: seq = ticket++, CAS
 *           LIVE -> FIRED; then (FIRED too) set the bit of the edge in the
 *           chunk, the chunk's in mid unless it is set, mid's in root unless it
 *           is set; bell++; sleepers: FUTEX_WAKE. With ALL the popper said
 *           before its first pop that it wants nothing below ticket NE: bell
 *           and wake only if so many tickets are drawn by now.
 *   seat    push edge; v = bell; word resolved: done; asleep++; FUTEX_WAIT(bell,
 *           v); asleep--; edge RELEASED; look; not resolved: all of it again.
 *   queue   add: push edge, then read the word: resolved: fire it myself.
 *           pop: v = bell; exchange root, mid, ready bits, in this order; a bit
 *           whose edge is FIRED: CAS QUIET in (mine now). Pop the least ticket:
 *           edge RELEASED, look. Nothing: sleepers++; FUTEX_WAIT(bell, v).
 *   give up edge LIVE or FIRED -> RELEASED by CAS; look.
 *   look    LOCKed by anybody: CAS DIRTY in; else CAS LOCK(me), exit.
 *   edge    the word carries a count of uses, so that a CAS for an earlier use
 *           of the same edge fails.
 *   janitor (a thread of any client) set of the proved dead: their edges ->
 *           RELEASED. LOCK(dead) -> LOCK(janitor), and LOST if its maker is dead
 *           too; exit. PENDING whose maker is dead: resolve(LOST), LOCKed by
 *           somebody or not. Else look. The ready bits of all FIRED edges
 *           set again, every queue rung. RELEASED edges: under LOCK, after a
 *           sweep, still RELEASED in the same use: off the list, -> FREE. If it
 *           is LOCKed by the living: DIRTY, later. Every seat rung.
 *
 * ASSERTED
 *   (a) nobody sleeps for ever (asleep at the end: an invalid end state); the
 *       250 ms slices of the program are not needed for it
 *   (b) the word leaves PENDING once, everybody sees the same result
 *   (c) quiescent: resolved, no NOTIFY, LOCK, DIRTY; list empty, edges FREE
 *   (d) an edge is not reused while it is linked
 *   (e) a queue yields each edge once, and one that was completely fired before
 *       the other's ticket was drawn comes out first
 *   (f) -DNP: no infinite run
 *
 * MUTANTS (-DM_...): STORE NORECHECK BELLAFTER CLEARFIRST NOTIFYLATE ONCE
 *   PLAINUNLOCK NODELEGATE WAKEONLY FLAGFIRST BOTTOMUP ROOTFIRST NOUSE LOSTSKIP
 *   PLAINFIRE MYLOCK NOLOCK BITSLATE OWNTICKET TICKETFIRST
 */
#ifndef CQ
#define CQ 1 /* 1: the waiter has a completion queue, 0: a seat */
#endif
#ifndef NE
#define NE 1 /* edges of the waiter (2 only with a queue) */
#endif
#ifndef ALL
#define ALL 0 /* 1: the waiter wants all NE edges and none before */
#endif
#ifndef OWNED
#define OWNED 0 /* 1: nobody but its maker may resolve it */
#endif
#ifndef CANCEL
#define CANCEL 1
#endif
#ifndef LOOKER
#define LOOKER 0 /* one more who takes the LOCK to look */
#endif
#ifndef ROUNDS
#define ROUNDS 1 /* how often the waiter waits */
#endif
#ifndef GIVEUP
#define GIVEUP 1 /* a sleeper may time out */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef RKILLS
#define RKILLS 0 /* kills of client DM while it is the janitor */
#endif
/* clients: the producer, the canceller, the waiter, a looker, the daemon */
#define WR 1
#define CA 2
#define WT 3
#define LO 4
#define DM 5

#define PENDING 0
#define SEALED 1
#define CANCELLED 2
#define LOST 3
#define W(s, n, o, l, d) \
	(((s) << 6) | ((n) << 5) | ((o) << 4) | ((l) << 1) | (d))
#define ST(x) (((x) >> 6) & 3)
#define NF(x) (((x) >> 5) & 1)
#define OW(x) (((x) >> 4) & 1)
#define LK(x) (((x) >> 1) & 7)
#define DI(x) ((x) & 1)
#define E_FREE 0
#define E_LIVE 1
#define E_FIRED 2
#define E_QUIET 3 /* FIRED|QUIET: taken by its popper */
#define E_REL 4
#define BIT(c) (1 << (c))

byte w = W(PENDING, 0, OWNED, 0, 0);
byte head, nxt[NE], est[NE], use[NE], seq[NE];
byte ticket;
byte ring_from = ALL * 255;
byte ready;      /* the chunk's bits */
bool mid, root;
bool rang;       /* the bell changed since the waiter read it */
bool sleepers;   /* asleep of a seat, sleepers of a queue */
bool asleep;     /* in the kernel */
byte jc;         /* client whose thread is the janitor */
/* ghosts */
bool dead[6], fin[6];
byte reaped;
byte res;
byte popped;     /* bits */
byte after[NE];  /* ticket at which the firing was complete, + 1 */

inline ring_it()
{
#ifdef M_FLAGFIRST
	atomic { m = sleepers };
	rang = 1;
	if
	:: m -> asleep = 0
	:: else
	fi;
	m = 0
#else
#ifndef M_WAKEONLY
	rang = 1;
#endif
	if
	:: sleepers -> asleep = 0
	:: else
	fi
#endif
}
inline set_ready(e)
{
#ifdef M_ROOTFIRST
	root = 1;
	mid = 1;
	ready = ready | BIT(e);
#else
	ready = ready | BIT(e);
	if
	:: !mid -> mid = 1
	:: else
	fi;
	if
	:: !root -> root = 1
	:: else
	fi;
#endif
	atomic {
		if
		:: after[e] == 0 && est[e] == E_FIRED -> after[e] = ticket + 1
		:: else
		fi
	}
}
/* of edge e, by its LOCK owner or by who added it; local t */
inline fire(e)
{
	if
	:: est[e] == E_LIVE ->
		atomic { t = ticket; ticket++ };
		seq[e] = t;
		atomic {
			if
#ifdef M_PLAINFIRE
			:: est[e] = E_FIRED; t = 1
#else
			:: est[e] == E_LIVE -> est[e] = E_FIRED; t = 1
			:: est[e] == E_FIRED || est[e] == E_QUIET -> t = 1
			:: else -> t = 0
#endif
			fi
		}
	:: est[e] == E_FIRED -> t = 1
	:: else -> t = 0
	fi;
	if
	:: t -> t = 0;
#ifdef M_BITSLATE
		ring_it(); set_ready(e)
#else
#if ALL
#ifdef M_TICKETFIRST
		m = ticket;
		set_ready(e);
		atomic { t = (m >= ring_from); m = 0 };
#else
		set_ready(e);
		m = ring_from;
#ifdef M_OWNTICKET
		atomic { t = (seq[e] + 1 >= m); m = 0 };
#else
		atomic { t = (ticket >= m); m = 0 };
#endif
#endif
		if
		:: t -> t = 0; ring_it()
		:: else
		fi
#else
		set_ready(e); ring_it()
#endif
#endif
	:: else
	fi
}
inline resolve(me, S, o) /* lk: I have the LOCK and must exit */
{
#ifdef M_STORE
	atomic { lk = 0; x = w };
	atomic {
		if
		:: ST(x) == PENDING && OW(x) == o && LK(x) == 0 ->
			assert(res == 0 || res == S);
			res = S; w = W(S, 1, 0, me, 0); lk = 1
		:: ST(x) == PENDING && OW(x) == o && LK(x) != 0 ->
			assert(res == 0 || res == S);
			res = S; w = W(S, 1, 0, LK(x), 1)
		:: else
		fi;
		x = 0
	}
#else
	atomic {
		lk = 0;
		if
		:: ST(w) == PENDING && OW(w) == o && LK(w) == 0 ->
			assert(res == 0);
#ifdef M_NOTIFYLATE
			res = S; w = W(S, 0, 0, 0, 0); lk = 1
#else
			res = S; w = W(S, 1, 0, me, 0); lk = 1
#endif
		:: ST(w) == PENDING && OW(w) == o && LK(w) != 0 ->
			assert(res == 0);
#ifdef M_NODELEGATE
			res = S; w = W(S, 0, 0, LK(w), DI(w))
#else
			res = S; w = W(S, 1, 0, LK(w), 1)
#endif
		:: else
		fi
	}
#ifdef M_NOTIFYLATE
	atomic {
		if
		:: lk && LK(w) == 0 -> w = W(S, 1, 0, me, 0)
		:: lk && LK(w) != 0 -> w = W(S, 1, 0, LK(w), 1); lk = 0
		:: else
		fi
	}
#endif
#endif
}
/* tell everybody; locals n t m x */
inline notify()
{
	n = head;
	do
	:: atomic { n == 0 -> break }
	:: n != 0 ->
		x = n - 1;
		if
#if CQ
#ifdef M_ONCE
		:: est[x] == E_LIVE -> fire(x)
		:: est[x] == E_FIRED -> skip
#else
		:: est[x] == E_LIVE || est[x] == E_FIRED -> fire(x)
#endif
#else
		:: est[x] == E_LIVE -> ring_it()
#endif
		:: else -> assert(est[x] != E_FREE)
		fi;
		atomic { n = nxt[x]; x = 0 }
	od
}
inline sweep()
{
	atomic { n = head; pr = 0 };
	do
	:: atomic { n == 0 -> break }
	:: atomic { n != 0 && est[n-1] != E_REL ->
		assert(est[n-1] != E_FREE); pr = n; n = nxt[n-1] }
	:: atomic { n != 0 && est[n-1] == E_REL ->
		m = nxt[n-1];
		if
		:: pr != 0 -> nxt[pr-1] = m; m = 8 + m
		:: pr == 0 && head == n -> head = m; m = 8 + m
		:: else -> n = head; m = 0
		fi };
		if
		:: m >= 8 -> atomic {
			assert(est[n-1] == E_REL);
			est[n-1] = E_FREE; nxt[n-1] = 0; n = m - 8; m = 0 }
		:: else
		fi
	od;
	pr = 0
}
inline exit_locked(me)
{
	do
	:: atomic { DI(w) -> w = w & ~1 }
	:: atomic { NF(w) && !DI(w) -> skip };
#ifdef M_CLEARFIRST
		w = w & ~BIT(5);
#endif
		notify();
		atomic { w = w & ~BIT(5) }
	:: atomic { !NF(w) && !DI(w) -> lk = 0 };
		lk = 0;
		atomic { y = w };
		sweep();
		atomic {
			if
#ifdef M_PLAINUNLOCK
			:: w = W(ST(w), 0, 0, 0, 0); break
#else
#ifdef M_NOLOCK
			:: w = W(ST(w), 0, 0, 0, 0); break
#else
			:: w == y && LK(w) == me && !DI(w) && !NF(w) ->
				w = W(ST(w), 0, OW(w), 0, 0); y = 0; break
			:: else -> y = 0
#endif
#endif
			fi
		}
	od
}
inline look(me)
{
	atomic {
		if
		:: LK(w) == 0 -> w = w | (me << 1); lk = 1
#ifdef M_NOLOCK
		:: else -> lk = 1
#else
		:: else -> w = w | 1; lk = 0
#endif
		fi
	}
	if
	:: lk -> exit_locked(me)
	:: else
	fi
}

proctype resolver(byte me; byte S)
{
	byte x, y, n, pr, m, t;
	bool lk;
	{ skip;
	resolve(me, S, (me == WR && OWNED));
	if
	:: lk -> exit_locked(me)
	:: else
	fi;
	atomic { assert(ST(w) == res && (res != 0 || OWNED)); fin[me] = 1; lk = 0 }
	} unless {
		atomic {
			dead[me] -> x = 0; y = 0; n = 0; pr = 0; m = 0; t = 0;
			lk = 0
		}
	}
}

/* somebody who releases a hold and has to look */
proctype looker(byte me)
{
	byte x, y, n, pr, m, t;
	bool lk;
	{ skip;
	look(me);
	atomic { fin[me] = 1; lk = 0 }
	} unless {
		atomic {
			dead[me] -> x = 0; y = 0; n = 0; pr = 0; m = 0; t = 0;
			lk = 0
		}
	}
}

inline push(e) /* of a FREE edge */
{
	atomic { est[e] == E_FREE -> est[e] = E_LIVE; use[e]++;
		 n = head; nxt[e] = n; after[e] = 0 };
	do
	:: atomic { head == n -> head = e + 1; n = 0; break }
	:: atomic { head != n -> n = head; nxt[e] = n }
	od
}
inline release(e) /* LIVE or FIRED -> RELEASED, look */
{
	atomic { assert(est[e] != E_FREE && est[e] != E_REL);
		 est[e] = E_REL };
	look(WT)
}

proctype waiter()
{
	byte x, y, n, pr, m, t, e, got, round;
	bool lk, late, hasty;
	{ skip;
#if GIVEUP
	atomic { if :: hasty = 1 :: hasty = 0 fi };
#endif
again:
#if CQ
	atomic { popped = 0; e = 0 };
	do
	:: atomic { e < NE } ->
		push(e);
#ifndef M_NORECHECK
		if
		:: ST(w) != PENDING -> fire(e)
		:: else
		fi;
#endif
		e++
	:: atomic { e >= NE -> e = 0; break }
	od;
#if ALL
	ring_from = NE;
#endif
pop:
#ifndef M_BELLAFTER
	rang = 0;
#endif
#ifdef M_BOTTOMUP
	if
	:: root ->
		atomic { got = ready; ready = 0 };
		mid = 0;
		root = 0
	:: else
	fi;
#else
	if
	:: root ->
		atomic { x = root; root = 0 };
		atomic { x = x && mid; mid = 0 };
		atomic { if :: x -> got = ready; ready = 0 :: else fi; x = 0 }
	:: else
	fi;
#endif
	/* take what is FIRED */
	do
	:: atomic { e < NE ->
		if
		:: (got & BIT(e)) && est[e] == E_FIRED -> est[e] = E_QUIET
		:: else
		fi;
		e++ }
	:: atomic { e >= NE -> e = 0; got = 0; break }
	od;
	atomic {
		if
#if NE > 1
		:: est[0] == E_QUIET && est[1] == E_QUIET ->
			e = (seq[0] < seq[1] -> 0 : 1)
		:: est[0] != E_QUIET && est[1] == E_QUIET -> e = 1
		:: est[0] == E_QUIET && est[1] != E_QUIET -> e = 0
#else
		:: est[0] == E_QUIET -> e = 0
#endif
		:: else -> e = NE
		fi
	}
	if
	:: atomic { e < NE ->
		assert(!(popped & BIT(e)));
#if NE > 1
		assert(!(est[1-e] == E_FIRED && after[1-e] != 0 &&
			 after[1-e] - 1 <= seq[e]));
#endif
		popped = popped | BIT(e) };
		assert(ST(w) == res && res != 0);
		release(e);
		e = 0;
		if
		:: popped != BIT(NE) - 1 -> goto pop
		:: else -> goto done
		fi
	:: atomic { e >= NE -> e = 0 }
	fi;
#ifdef M_BELLAFTER
	rang = 0;
#endif
	sleepers = 1;
	atomic { if :: !rang -> asleep = 1 :: else fi };
	if
	:: atomic { !asleep }
#if GIVEUP
	:: atomic { asleep && hasty -> asleep = 0; late = 1 }
#endif
	fi;
	sleepers = 0;
	if
	:: !late -> goto pop
	:: else
	fi;
	/* the queue is closed: edges that are not popped are released */
	do
	:: e < NE ->
		atomic { if :: !(popped & BIT(e)) -> x = 1 :: else -> x = 0 fi };
		if
		:: x -> x = 0; release(e)
		:: else
		fi;
		e++
	:: atomic { e >= NE -> e = 0; break }
	od;
#else
	push(0);
#ifdef M_NORECHECK
	rang = 0;
#else
#ifdef M_BELLAFTER
	if :: ST(w) != PENDING -> x = 1 :: else fi;
	rang = 0;
#else
	rang = 0;
	if :: ST(w) != PENDING -> x = 1 :: else fi;
#endif
#endif
	if
	:: atomic { x -> x = 0; late = 1 }
	:: atomic { !x } ->
		sleepers = 1;
		atomic { if :: !rang -> asleep = 1 :: else fi };
		if
		:: atomic { !asleep }
#if GIVEUP
		:: atomic { asleep && hasty -> asleep = 0; late = 1 }
#endif
		fi;
		sleepers = 0;
	fi;
	if :: ST(w) != PENDING -> atomic { late = 1; assert(ST(w) == res) }
	   :: else fi;
	release(0);
	if
	:: !late -> goto again
	:: else
	fi;
#endif
done:
	atomic {
		late = 0; round++;
		if
		:: round < ROUNDS -> goto again
		:: else -> round = 0; hasty = 0; fin[WT] = 1
		fi
	}
	} unless {
		atomic {
			dead[WT] -> x = 0; y = 0; n = 0; pr = 0; m = 0; t = 0;
			e = 0; got = 0; round = 0; lk = 0; late = 0; hasty = 0;
			asleep = 0; popped = 0
		}
	}
}

#define TODO (dead[1] * 2 + dead[2] * 4 + dead[3] * 8 + dead[4] * 16 + \
	      dead[5] * 32)
#define INSET(o) ((set >> (o)) & 1)

proctype janitor()
{
	byte set, x, y, n, pr, m, t, e, u;
	bool lk, later;
start:
	atomic {
		set = 0; x = 0; y = 0; n = 0; pr = 0; m = 0; t = 0; e = 0;
		u = 0; lk = 0; later = 0; jc = 0
	}
	{ skip;
end_idle:
	atomic {
		if
		:: TODO & ~reaped
		:: later && LK(w) == 0
		fi;
		set = TODO & ~reaped;
		later = 0;
		if
		:: jc == 0 ->
			if
#if CANCEL
			:: !dead[CA] -> jc = CA
#endif
#if LOOKER
			:: !dead[LO] -> jc = LO
#endif
			:: !dead[DM] -> jc = DM
			fi
		:: else
		fi
	}
	/* chunks of the dead */
	do
	:: atomic { e < NE ->
		if
		:: INSET(WT) && est[e] != E_FREE && est[e] != E_REL ->
			est[e] = E_REL
		:: else
		fi;
		e++ }
	:: atomic { e >= NE -> e = 0; break }
	od;
	/* the slot */
	atomic {
		lk = 0;
		if
		:: LK(w) != 0 && INSET(LK(w)) ->
			lk = 1;
			if
			:: ST(w) == PENDING && INSET(WR) ->
				assert(res == 0);
				res = LOST; w = W(LOST, 1, 0, jc, DI(w))
			:: else -> w = W(ST(w), NF(w), OW(w), jc, DI(w))
			fi;
			goto exit
#ifdef M_MYLOCK
		:: LK(w) == jc -> lk = 1; goto exit
#endif
		:: else
		fi
	}
	if
#ifdef M_LOSTSKIP
	:: ST(w) == PENDING && INSET(WR) && LK(w) == 0 ->
#else
	:: ST(w) == PENDING && INSET(WR) ->
#endif
		resolve(jc, LOST, OWNED);
		if
		:: lk -> goto exit
		:: else -> goto bits
		fi
	:: else
	fi;
	atomic {
		if
		:: LK(w) == 0 -> w = w | (jc << 1); lk = 1
		:: else -> w = w | 1; goto bits
		fi
	}
exit:
	exit_locked(jc);
	atomic { if :: u -> u = 0; goto offnext :: else fi };
bits:
#if CQ
#ifndef M_ONCE
	do
	:: e < NE ->
		if
		:: est[e] == E_FIRED -> set_ready(e)
		:: else
		fi;
		e++
	:: atomic { e >= NE -> e = 0; break }
	od;
#endif
#endif
	/* off the list? */
	do
	:: atomic { e < NE ->
		if
		:: est[e] == E_REL -> u = use[e]
		:: else -> goto offnext
		fi };
		atomic {
			if
			:: LK(w) == 0 -> w = w | (jc << 1); lk = 1
			:: else -> w = w | 1; later = 1; u = 0; goto offnext
			fi
		}
		sweep();
		atomic {
			if
#ifdef M_NOUSE
			:: est[e] == E_REL ->
#else
			:: est[e] == E_REL && use[e] == u ->
#endif
				est[e] = E_FREE; nxt[e] = 0
			:: else
			fi;
			goto exit
		}
offnext:	e++
	:: atomic { e >= NE -> e = 0; break }
	od;
	rang = 1;
	asleep = 0;
	atomic { reaped = reaped | set; set = 0; jc = 0; lk = 0 };
	goto end_idle
	} unless { jc != 0 && dead[jc] };
	goto start
}

proctype killer()
{
	byte kn, rn;
	do
	:: atomic { kn < KILLS && !dead[WR] && !fin[WR] ->
		dead[WR] = 1; kn++ }
#if CANCEL
	:: atomic { kn < KILLS && !dead[CA] && (!fin[CA] || jc == CA) ->
		dead[CA] = 1; kn++ }
#endif
#if LOOKER
	:: atomic { kn < KILLS && !dead[LO] && (!fin[LO] || jc == LO) ->
		dead[LO] = 1; kn++ }
#endif
	:: atomic { kn < KILLS && !dead[WT] && !fin[WT] ->
		dead[WT] = 1; kn++ }
	:: atomic { rn < RKILLS && !dead[DM] && jc == DM ->
		dead[DM] = 1; rn++ }
	:: break
	od
}

proctype audit()
{
	byte k;
	timeout;
	d_step {
		assert(ST(w) != PENDING && ST(w) == res);
		assert(w == W(ST(w), 0, 0, 0, 0));
		assert(head == 0);
		do
		:: k < NE -> assert(est[k] == E_FREE); k++
		:: else -> break
		od;
		assert(fin[WT] || dead[WT])
	}
}

init {
	atomic {
		run resolver(WR, SEALED);
#if CANCEL
		run resolver(CA, CANCELLED);
#endif
#if LOOKER
		run looker(LO);
#endif
		run waiter();
		run janitor();
		run killer();
		run audit()
	}
}
