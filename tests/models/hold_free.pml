/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold_free.pml - one object slot: HOLD bits, edges of records, birth, free,
 * block, reuse, and the janitor (store/slot.c, edge.c, arena.c, reap.c).
 *
 * PROTOCOL IN WORDS
 *   word    {gen, owner, LOCK, DIRTY, state}, every change a CAS.
 *           FREE -> PENDING|LOCK(me) -> SEALED [LOCK(owner)] [DIRTY]
 *           -> FREEING(owner) -> FREE gen + 1; PENDING of a dead one -> LOST.
 *   birth   CAS FREE -> PENDING|OWNED(me)|LOCK(me); HOLD bit; loc = block; CAS
 *           tag 0 -> {gen, slot} (failed: loc = 0, no block). put: CAS -> SEALED
 *           without LOCK. create: CAS the LOCK off; later PENDING|OWNED(me) ->
 *           SEALED|LOCK(me), exit; or, LOCKed by another, SEALED|DIRTY below his
 *           LOCK. DIRTY was set at the first CAS: keep the LOCK, exit.
 *   get     load word; set bit; load word: same gen, living. If LOCKed by
 *           anybody, my own client included: CAS DIRTY in. Otherwise changed:
 *           clear the bit; load the word AGAIN; no bits left: look.
 *   push    record CAS FREE -> BUILD(me); edge {gen of record, LIVE}; link by
 *           CAS of the head, while I hold; record -> LIVE. A task's record
 *           belongs to nobody from then on.
 *   retire  record CAS LIVE -> RETIRED(me); edge CAS LIVE -> RELEASED; look.
 *   look    LOCKed by anybody: CAS DIRTY in, leave. Else CAS LOCK(me); exit.
 *   exit    clear DIRTY; sweep; read bits, THEN head; both empty and not PENDING
 *           with a maker, who writes: CAS {LOCK(me), no DIRTY} -> FREEING(me),
 *           else CAS the LOCK off; failed on DIRTY: again.
 *   sweep   unlink RELEASED edges; each CAS -> FREE; a RETIRED record whose
 *           edges are all FREE: CAS -> FREE gen + 1.
 *   free    CAS tag {gen, slot} -> 0; THEN loc = 0; word FREE gen + 1.
 *   hints   (-DHINTS) n_edges, n_dead: a release looks only if half of the
 *           edges are dead. The janitor raises n_dead where there are any.
 *   janitor any client, a thread of it, beside its other threads. It takes the
 *           set of the proved dead. Bits of the set off. BUILD(dead) ->
 *           RETIRED(janitor), RETIRED(dead): edges released. FREEING(dead),
 *           LOCK(dead): CAS to its own id and finished; PENDING|OWNED(dead)
 *           becomes LOST, and is freed if nobody holds it. LOCK of its OWN
 *           client belongs to another thread and is left alone (look: DIRTY).
 *           It looks at EVERY living slot. Then RELEASED edges of RETIRED
 *           records: under LOCK, after a sweep, still RELEASED with the same
 *           generation: off the list, CAS -> FREE. If somebody alive has the
 *           LOCK: DIRTY, and come back later. A janitor that dies is in the set
 *           of the next, and so is everybody in its own unfinished set.
 *
 * ASSERTED
 *   (a) at the CAS to FREEING nobody has a validated hold, and no record that
 *       is published or being built by a living one has a LIVE edge on it
 *   (b) a validated get returns the object that its ref named
 *   (c) a block is freed once, by its owner, and never leaks; loc is 0 at birth
 *   (d) quiescent: bits 0, nothing LOCKed; with a LIVE edge the slot lives, else
 *       it is FREE without block and loc; every record is FREE or published
 *   (e) no deadlock; -DNP (pan_np): no infinite run
 *
 * MUTANTS (-DM_...): NORECHECK NODIRTY ORDER NOREDO TOUCHED BLKSTORE WRAP
 *   DELEGATE PLAINUNLOCK EARLYBIT BLINDPUSH NOOFFLIST OFFNOLOCK OFFNOSWEEP
 *   OFFNOGEN TAGFIRST LOCFIRST LOOKOLD MYLOCK ONEDEAD NOBIAS FREEOWNED
 */
#ifndef NC
#define NC 2 /* clients that act: 1..NC; client NC + 1 may be the janitor */
#endif
#ifndef NE
#define NE 1 /* records with an edge each */
#endif
#ifndef MAXOPS
#define MAXOPS 2 /* operations a client */
#endif
#ifndef KILLS
#define KILLS 1 /* kills of acting clients (janitor or not) */
#endif
#ifndef RKILLS
#define RKILLS 0 /* kills of client NC + 1 while it is the janitor */
#endif
#ifndef CREATE
#define CREATE 0 /* 1: create and seal as well as put */
#endif
#ifndef MAXG
#define MAXG 3 /* incarnations of the slot */
#endif
#define D (NC + 1)

#define FREE 0
#define PENDING 1
#define SEALED 2
#define LOST 3
#define FREEING 4
#define W(g, s, l, d) (((g) << 7) | ((s) << 4) | ((l) << 1) | (d))
#define GEN(x) ((x) >> 7)
#define ST(x) (((x) >> 4) & 7)
#define LK(x) (((x) >> 1) & 7)
#define DI(x) ((x) & 1)
#define DIRTY(x) ((x) | 1)
#define NODIRTY(x) ((x) & ~1)
#define NOLOCK(x) ((x) & ~15)
#define LIVING(x) (ST(x) >= PENDING && ST(x) <= LOST)
#ifdef M_WRAP
#define NEXTG(g) (3 - (g)) /* 1, 2, 1: the generation wraps */
#else
#define NEXTG(g) ((g) + 1)
#endif
/* edges: FREE is 0 */
#define LIVE 1
#define REL 2
/* records: FREE is 0 */
#define R_BUILD 1
#define R_LIVE 2
#define R_RETIRED 3
#define OTHER 9 /* tag of some other slot */
#define BIT(c) (1 << (c))

short w = W(1, SEALED, 0, 0);
byte bits = BIT(1);
byte head, nxt[NE];
byte est[NE], eg[NE], eref[NE]; /* state and referrer's gen; object's gen */
byte rs[NE], ro[NE], rg[NE];    /* record: state, owner, generation */
byte mk; /* maker: part of the word, of a PENDING one */
byte blk = 1, loc = 1;
#ifdef HINTS
short nl, nd; /* n_edges, n_dead */
/* unsigned in the program: below 0 is huge */
#define HALF (nd < 0 || nl < 0 || 2 * nd >= nl)
#define HADD(v, k) v = v + (k)
#else
#define HALF true
#define HADD(v, k) skip
#endif

/* ghosts */
byte inc = 1; /* true incarnation */
byte val[5];  /* incarnation held after validation, 0 none */
byte freed;   /* how often the block of this incarnation was freed */
bool hadblk = 1;
bool dead[5], fin[5];
byte reaped; /* mask */
byte jc;     /* client whose thread is the janitor, 0 nobody */

inline assert_unheld()
{
	d_step {
		k = 0;
		do
		:: k < NC + 2 -> assert(val[k] == 0); k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < NE ->
			assert(!(est[k] == LIVE && (rs[k] == R_LIVE ||
				 (rs[k] == R_BUILD && !dead[ro[k]]))));
			k++
		:: else -> break
		od;
		k = 0
	}
}
/* CAS tag -> 0; the block may belong to another slot at once */
inline free_block()
{
	atomic {
		if
#ifdef M_BLKSTORE
		:: loc -> assert(blk == GEN(w));
#else
		:: loc && blk == GEN(w) ->
#endif
			freed++; assert(freed == 1);
			if
			:: blk = 0
			:: blk = OTHER
			fi
		:: else
		fi
	}
}
/* FREEING(me) -> FREE gen + 1 */
inline finish_free()
{
#ifdef M_LOCFIRST
	atomic { m = loc; loc = 0 };
	atomic {
		if
		:: m && blk == GEN(w) -> freed++; blk = 0
		:: else
		fi;
		m = 0
	}
#else
	free_block();
	loc = 0;
#endif
	atomic {
		assert(ST(w) == FREEING && freed == hadblk && head == 0);
		w = W(NEXTG(GEN(w)), FREE, 0, 0); freed = 0; hadblk = 0;
#ifdef HINTS
		nl = 0; nd = 0;
#endif
	}
}
inline try_free(r)
{
	if
	:: rs[r] == R_RETIRED && est[r] == FREE ->
		rs[r] = FREE; ro[r] = 0; rg[r]++
	:: else
	fi
}
/* under LOCK(me); locals n pr m c */
inline sweep()
{
	atomic { n = head; pr = 0; c = 0 };
	do
	:: atomic { n == 0 -> break }
	:: atomic { n != 0 && est[n-1] != REL -> pr = n; n = nxt[n-1] }
	:: atomic { n != 0 && est[n-1] == REL ->
		m = nxt[n-1];
		if
		:: pr != 0 -> nxt[pr-1] = m; m = 8 + m
		:: pr == 0 && head == n -> head = m; m = 8 + m
		:: else -> n = head; m = 0
		fi };
		if
		:: m >= 8 ->
			atomic { c++; est[n-1] = FREE; nxt[n-1] = 0 };
			atomic { try_free(n - 1); n = m - 8; m = 0 }
		:: else
		fi
	od;
	atomic { pr = 0; HADD(nl, -c) };
	atomic { HADD(nd, -c); c = 0 }
}

proctype client(byte me)
{
	byte ops, ref, b, n, pr, m, c, e, k, g;
	{ skip;
main:
	atomic {
		ref = 0; e = 0; b = 0; g = 0;
		if
		:: ops >= MAXOPS && val[me] == 0 -> goto out
		:: val[me] != 0 -> ops++; goto release
		/* a ref handed over some time ago */
		:: ops < MAXOPS && val[me] == 0 && ST(w) != FREE ->
			ops++; ref = GEN(w); e = inc; goto get
		:: ops < MAXOPS && val[me] == 0 && inc < MAXG &&
		   ST(w) == FREE -> ops++; goto create
		:: ops < MAXOPS && val[me] != 0 && rs[0] == FREE ->
			ops++; e = 0; goto edge
		:: ops < MAXOPS && rs[0] == R_LIVE -> ops++; e = 0; goto drop
#if NE > 1
		:: ops < MAXOPS && val[me] != 0 && rs[0] != FREE &&
		   rs[1] == FREE -> ops++; e = 1; goto edge
		:: ops < MAXOPS && rs[1] == R_LIVE -> ops++; e = 1; goto drop
#endif
		:: val[me] == 0 -> goto out
		fi
	}
get: /* e: ghost, incarnation named by ref */
	atomic {
		if
		:: GEN(w) == ref && LIVING(w) -> skip
		:: else -> goto main
		fi
	}
	bits = bits | BIT(me);
	atomic {
#ifdef M_NORECHECK
		val[me] = e;
		assert(ST(w) != FREEING && ST(w) != FREE);
		goto main;
#endif
		if
		:: GEN(w) == ref && LIVING(w) ->
#ifndef M_NODIRTY
			if
			:: LK(w) != 0 -> w = DIRTY(w)
			:: else
			fi;
#endif
			assert(e == inc); val[me] = inc; goto main
		:: else -> g = GEN(w)
		fi
	}
	goto clear;
release:
	atomic { val[me] = 0; g = GEN(w) };
clear:
	atomic { bits = bits & ~BIT(me); b = bits };
#ifndef M_LOOKOLD
	g = GEN(w);
#endif
	if
	:: b == 0 && HALF -> goto look
	:: else -> goto main
	fi;
edge: /* push while holding */
	atomic {
		if
		:: rs[e] == FREE -> rs[e] = R_BUILD; ro[e] = me
		:: else -> goto main
		fi
	}
	atomic { est[e] = LIVE; eg[e] = rg[e]; eref[e] = GEN(w) };
#ifdef M_EARLYBIT
	atomic { val[me] = 0; bits = bits & ~BIT(me) };
#endif
#ifdef HINTS
	nl++;
#endif
p1:	atomic { n = head; nxt[e] = n };
	atomic {
		if
#ifdef M_BLINDPUSH
		:: head = e + 1; n = 0
#else
		:: head == n -> head = e + 1; n = 0
		:: else -> goto p1
#endif
		fi
	}
	atomic { rs[e] = R_LIVE; ro[e] = 0; assert(LIVING(w)); goto main };
drop: /* the record is done */
	atomic {
		if
		:: rs[e] == R_LIVE -> rs[e] = R_RETIRED; ro[e] = me
		:: else -> goto main
		fi
	}
	atomic { g = eref[e]; est[e] = REL };
	HADD(nd, 1);
	if
	:: HALF -> goto look
	:: else -> goto main
	fi;
create:
	atomic {
		if
		:: ST(w) == FREE && inc < MAXG ->
			assert(loc == 0);
			w = W(GEN(w), PENDING, me, 0); mk = me; inc++
		:: else -> goto main
		fi
	}
	bits = bits | BIT(me);
#ifdef M_TAGFIRST
	atomic {
		if
		:: blk == 0 -> blk = GEN(w); hadblk = 1
		:: else -> goto seal
		fi
	}
	loc = 1;
#else
	loc = 1;
	atomic {
		if
		:: blk == 0 -> blk = GEN(w); hadblk = 1; goto seal
		:: else
		fi
	}
	loc = 0;
#endif
seal:
	atomic {
		val[me] = inc;
		assert(ST(w) == PENDING && LK(w) == me && mk == me);
		if
		/* put: sealed under the LOCK of birth */
		:: !DI(w) -> w = W(GEN(w), SEALED, 0, 0); mk = 0; goto main
		:: DI(w) -> w = W(GEN(w), SEALED, me, 0); mk = 0; goto again
#if CREATE
		/* create: the LOCK goes, it stays PENDING and mine */
		:: !DI(w) -> w = W(GEN(w), PENDING, 0, 0); e = 1
		:: DI(w) -> w = W(GEN(w), PENDING, me, 0); e = 1; goto again
#endif
		fi
	}
made:	/* it may give its hold back before it seals */
	if
	:: val[me] != 0 ->
		atomic { val[me] = 0; g = GEN(w) };
		atomic { bits = bits & ~BIT(me); b = bits };
		if
		:: b == 0 && HALF -> goto look
		:: else
		fi
	:: true
	fi;
	atomic {
		assert(ST(w) == PENDING && mk == me);
		e = 0; mk = 0;
		if
		:: LK(w) == 0 -> w = W(GEN(w), SEALED, me, 0); goto again
		:: else -> w = W(GEN(w), SEALED, LK(w), 1); goto main
		fi
	}
look: /* at generation g */
	atomic {
		if
		:: !(GEN(w) == g && LIVING(w)) -> goto ret
		:: GEN(w) == g && LIVING(w) && LK(w) == 0 -> w = w | (me << 1)
#ifdef M_DELEGATE
		:: else -> goto ret
#else
		:: else -> w = DIRTY(w); goto ret
#endif
		fi
	}
again:
	sweep();
#ifdef M_ORDER
	if
	:: head != 0 -> goto unlock
	:: else
	fi;
#endif
	b = bits;
	if
	:: b != 0 -> goto unlock
	:: else
	fi;
#ifndef M_ORDER
	if
	:: head != 0 -> goto unlock
	:: else
	fi;
#endif
#ifndef M_FREEOWNED
	if
	:: ST(w) == PENDING -> goto unlock
	:: else
	fi;
#endif
	atomic {
		assert(LK(w) == me);
		if
		:: !DI(w) -> assert_unheld(); w = W(GEN(w), FREEING, me, 0)
		:: else -> w = NODIRTY(w); goto again
		fi
	}
	finish_free();
	goto ret;
unlock:
	atomic {
		b = 0;
		if
#ifdef M_PLAINUNLOCK
		:: w = NOLOCK(w)
#else
		:: !DI(w) -> w = NOLOCK(w)
		:: DI(w) -> w = NODIRTY(w); goto again
#endif
		fi
	}
ret:
	atomic {
		if
		:: e == 1 && mk == me -> goto made
		:: else -> goto main
		fi
	}
out:	atomic { fin[me] = 1; ops = 0 }
	} unless {
		atomic {
			dead[me] -> ops = 0; ref = 0; b = 0; n = 0; pr = 0;
			m = 0; c = 0; e = 0; k = 0; g = 0
		}
	}
}

#define INSET(o) ((set >> (o)) & 1)
#define TODO (BIT(1) * dead[1] + BIT(2) * dead[2] + BIT(3) * dead[3] + \
	      BIT(4) * dead[4])

proctype janitor()
{
	byte set, b, n, pr, m, c, k, e, g;
	bool later, back;
start:
	atomic {
		set = 0; b = 0; n = 0; pr = 0; m = 0; c = 0; k = 0; e = 0;
		g = 0; later = 0; back = 0; jc = 0
	}
	{ skip;
end_idle:
	atomic {
		/* somebody died, or what was locked by the living is not now */
		if
		:: TODO & ~reaped
		:: later && LK(w) == 0
		fi;
#ifdef M_ONEDEAD
		if /* one at a time: what the other one left is not taken */
		:: (TODO & ~reaped) & 2 -> set = 2
		:: (TODO & ~reaped) & 4 -> set = 4
		:: (TODO & ~reaped) & 8 -> set = 8
		fi;
#else
		set = TODO & ~reaped;
#endif
		if
		:: jc == 0 ->
			if
			:: !dead[1] -> jc = 1
			:: !dead[2] -> jc = 2
			:: !dead[D] -> jc = D
			fi
		:: else
		fi;
		later = 0
#ifdef M_TOUCHED
		; c = bits & set
#endif
	}
	bits = bits & ~set;
	/* records of the dead */
	do
	:: atomic { k < NE ->
		if
		:: rs[k] == R_BUILD && INSET(ro[k]) ->
			rs[k] = R_RETIRED; ro[k] = jc
		:: rs[k] == R_RETIRED && INSET(ro[k])
		:: else -> goto nextrec
		fi };
		atomic {
			if
			:: est[k] == LIVE ->
				est[k] = REL;
#ifndef M_NOBIAS
				HADD(nd, 1)
#endif
			:: else
			fi
		}
nextrec:	k++
	:: atomic { k >= NE -> k = 0; break }
	od;
#if defined(HINTS) && !defined(M_NOBIAS)
	if
	:: nl || nd -> nd = nd + 2
	:: else
	fi;
#endif
	/* the slot */
	atomic {
		back = 0;
		if
		:: ST(w) == FREE -> goto offlist
		:: ST(w) == FREEING && INSET(LK(w)) ->
#ifdef M_NOREDO
			goto offlist;
#endif
			w = W(GEN(w), FREEING, jc, 0); goto freeing
		:: ST(w) == FREEING && !INSET(LK(w)) -> goto offlist
		:: LIVING(w) && LK(w) != 0 && INSET(LK(w)) ->
			w = W(GEN(w), ST(w), jc, DI(w));
			if
			:: ST(w) == PENDING && INSET(mk) ->
				w = W(GEN(w), LOST, jc, DI(w)); mk = 0
			:: else
			fi;
			goto again
		/* its maker is dead: LOST, and another's LOCK stays */
		:: ST(w) == PENDING && !INSET(LK(w)) && INSET(mk) ->
			mk = 0;
			if
			:: LK(w) == 0 -> w = W(GEN(w), LOST, jc, 0); goto again
			:: else -> w = W(GEN(w), LOST, LK(w), 1); goto offlist
			fi
#ifdef M_MYLOCK
		:: LIVING(w) && LK(w) == jc -> goto again
#endif
		:: LIVING(w) && LK(w) == 0 &&
		   !(ST(w) == PENDING && INSET(mk)) ->
#ifdef M_TOUCHED
			if
			:: c == 0 -> goto offlist
			:: else
			fi;
#endif
			w = w | (jc << 1)
		:: else -> w = DIRTY(w); goto offlist
		fi
	}
again:
	sweep();
	b = bits;
	if
	:: b != 0 -> goto unlock
	:: else
	fi;
	if
	:: head != 0 -> goto unlock
	:: else
	fi;
#ifndef M_FREEOWNED
	if
	:: ST(w) == PENDING -> goto unlock
	:: else
	fi;
#endif
	atomic {
		assert(LK(w) == jc);
		if
		:: !DI(w) -> assert_unheld(); w = W(GEN(w), FREEING, jc, 0)
		:: else -> w = NODIRTY(w); goto again
		fi
	}
freeing:
	finish_free();
	goto out;
unlock:
	atomic {
		b = 0;
		if
		:: !DI(w) -> w = NOLOCK(w)
		:: DI(w) -> w = NODIRTY(w); goto again
		fi
	}
out:
	if
	:: back -> goto offnext
	:: else
	fi;
offlist:
	atomic { k = 0; e = 0 };
	do
	:: atomic { e < NE ->
		back = 1; g = 0;
#ifdef M_NOOFFLIST
		goto offnext;
#endif
		if
		:: rs[e] == R_RETIRED && est[e] == REL -> g = eg[e] + 1
		:: else -> goto offnext
		fi };
#ifdef M_OFFNOLOCK
		goto off;
#endif
		atomic {
			if
			:: !(GEN(w) == eref[e] && LIVING(w)) -> goto off
			:: GEN(w) == eref[e] && LIVING(w) && LK(w) == 0 ->
				w = w | (jc << 1)
			:: else -> w = DIRTY(w); later = 1; goto offnext
			fi
		}
#ifndef M_OFFNOSWEEP
		sweep();
#endif
		atomic {
			if
#ifdef M_OFFNOGEN
			:: est[e] == REL ->
#else
			:: est[e] == REL && eg[e] == g - 1 ->
#endif
				est[e] = FREE
			:: else
			fi
		}
		atomic { try_free(e); goto again };
off:		atomic {
			if
#ifdef M_OFFNOGEN
			:: est[e] == REL ->
#else
			:: est[e] == REL && eg[e] == g - 1 ->
#endif
				est[e] = FREE
			:: else
			fi
		}
		atomic { try_free(e) };
offnext:	atomic { e++; g = 0 }
	:: atomic { e >= NE -> e = 0; back = 0; break }
	od;
	/* records whose last edge was freed by one who died then */
	atomic { try_free(0) };
#if NE > 1
	atomic { try_free(1) };
#endif
	atomic {
		reaped = reaped | set; set = 0; jc = 0; b = 0; k = 0; c = 0
	}
	goto end_idle
	} unless { jc != 0 && dead[jc] };
	goto start
}

proctype killer()
{
	byte kn, rn;
	do
	:: atomic { kn < KILLS && !dead[1] && (!fin[1] || jc == 1) ->
		dead[1] = 1; val[1] = 0; kn++ }
	:: atomic { kn < KILLS && !dead[2] && (!fin[2] || jc == 2) ->
		dead[2] = 1; val[2] = 0; kn++ }
	:: atomic { rn < RKILLS && !dead[D] && jc == D -> dead[D] = 1; rn++ }
	:: break
	od
}

proctype audit()
{
	byte k, live;
	timeout;
	d_step {
		do
		:: k < NE ->
			assert(rs[k] == FREE || rs[k] == R_LIVE);
			assert((rs[k] == R_LIVE) == (est[k] == LIVE));
			live = live + (est[k] == LIVE);
			k++
		:: else -> break
		od;
		assert(bits == 0 && !DI(w) && LK(w) == 0);
		if
		:: live -> assert(ST(w) == SEALED || ST(w) == LOST)
		:: else -> assert(ST(w) == FREE && loc == 0 && head == 0);
			assert(blk == 0 || blk == OTHER)
		fi
	}
}

init {
	atomic {
		val[1] = 1;
		run client(1);
		run client(2);
		run janitor();
		run killer();
		run audit()
	}
}
