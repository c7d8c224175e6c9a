/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gone.pml - values that are gone and can be made again: a chain of objects, each but
 * the first made by the task of a record from the one before it (store/gone.c, slot.c,
 * edge.c, reap.c, sched/lineage.c).
 *
 *   object 0 (put) -- record 0 --> object 1 [ -- record 1 --> object 2, -DCHAIN=1 ]
 *
 * What hold_free.pml has is one step here: pushing an edge, a sweep, the chunk of a
 * dead reader. Objects and records are not used again once they are FREE. What is told
 * of a record is done when the step on a slot is over, not amid it.
 *
 * PROTOCOL IN WORDS
 *   word    {LOCK, owner, DIRTY, NOTIFY, GONE, state}. SEALED -> SEALED|GONE ->
 *           PENDING|GONE -> SEALED, as gone.h says.
 *   record  {owner, LOOK, WANT, STRONG, state}. RUN(w) -> KEPT(w) -> KEPT -> KEPT(any)
 *           -> WAITING -> RUN(w), or -> RETIRED -> FREE. RUN(w) -> DELAY -> READY -> RUN.
 *   exit    (slot.c) as in hold_free.pml; no bits, and none but weak edges, read in this
 *           order: CAS GONE in, drop, exit again.
 *   drop    the value is freed; is the record one that can make it? CAS -> PENDING|GONE,
 *           else LOST with NOTIFY; THEN: is the record still there, else LOST; does
 *           somebody wait: want.
 *   want    of PENDING|GONE: CAS WANT, LOOK into the record if it is KEPT; take it.
 *   take    KEPT without owner -> KEPT(me); owned: CAS LOOK in, leave.
 *   give    clear LOOK; edge on the return released, that on the argument made weak,
 *           unless STRONG and the return is GONE; nothing left: CAS -> RETIRED, edges
 *           released; GONE and (an edge waits, or WANT): run again; else CAS -> KEPT.
 *           A CAS that fails on LOOK: all again.
 *   again   hold the argument, edge strong, release; hold the return, push the edge,
 *           release; CAS -> WAITING, the board.
 *   evict   take; STRONG; edge strong under a hold; the argument SEALED, or GONE with its
 *           record STRONG and nobody's, or taken and secured in the same way: LOCK;
 *           no view, nobody waits; CAS GONE in; drop; exit; give. Not gone: a STRONG that
 *           was set goes first.
 *   forget  take; GONE is needed by nobody, neither LOOK nor STRONG: CAS -> RETIRED;
 *           THEN GONE -> LOST, the edges; else give.
 *   reader  view; the word; GONE: unview, want, push an edge, want, the word, sleep. When
 *           there was no room once more since it began to wait, it is told so, and leaves
 *           or begins again.
 *   worker  bit of the board: argument resolved: WAITING -> RUN(me), value, seal; KEPT(me),
 *           give. The argument GONE: want it. No room for what is GONE: count it;
 *           RUN(me) -> DELAY, a timer, all edges as they are: its time comes, READY; the
 *           last time the result fails.
 *   freed   the word is FREE, THEN LOOK into the record that made it; take it.
 *   janitor bits and edges of the dead off; RETIRED: edges released; FREEING(dead),
 *           LOCK(dead) taken over, SEALED|GONE goes on with drop, PENDING that nobody
 *           makes LOST; else look. RUN(dead): pending: READY, else RETIRED. KEPT(dead):
 *           give. KEPT that is due: take, give. WAITING, READY: the board. DELAY: a
 *           timer. Bells.
 *
 * ASSERTED
 *   (a) a reader, who holds what it reads, gets the value: what was evicted is made
 *       again, and what is held does not go in another way; there is an error only when
 *       there was no room LIMIT times
 *   (b) a value is not dropped while somebody has a validated view
 *   (c) a task is run again only if its return is GONE and somebody has asked
 *   (d) while the last object is gone by choice and held, its argument is there, or
 *       can be made
 *   (e) quiescent: nobody sleeps, nothing is LOCKed or owned, all is FREE
 *
 * MUTANTS (-DM_...): WANTFIRST (the reader wants before it pushes, and not again)
 *   NOWAITERS (nobody looks for waiters after a drop) NOSTRONG (the argument's edge stays
 *   weak) NOHOLD (it is made strong without a hold) NOFLAG (no STRONG) TRUST (STRONG of a
 *   record in use is believed) WASOLD (STRONG is read before take) NOCLOSE (of an argument
 *   that is GONE no record is taken) BLINDGIVE (LOOK is not seen at the end) NOLOOK (take
 *   leaves no LOOK) NOFREED (freed tells nobody) NOVIEW, VIEWONCE (views are not looked at;
 *   not again after DIRTY) NORECORD (nobody looks after a drop whether the record is still
 *   there) LOSEFIRST (what is forgotten is LOST before RETIRED) FORGETANY (also what is
 *   needed) NOREDROP (janitor: SEALED|GONE as any) NODUE, LIVEOWNER, NOREGIVE (KEPT that
 *   is due, of the living, of the dead: left) ROOMFAILS (no room: the result fails at
 *   once) ROOMWEAK (it is put back as if it were KEPT) NOTIMER (it has none) NORETIMER
 *   (nor from the janitor) DELAYLOST (who is in DELAY is not held to make anything)
 */
#ifndef CHAIN
#define CHAIN 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef VICTIM
#define VICTIM 0 /* who may be killed; 0: anybody */
#endif
#define MAY(c) (n < KILLS && !dead[c] && (VICTIM == 0 || VICTIM == (c)))
#ifndef READER
#define READER 1 /* reads the last object, then releases it */
#endif
#ifndef HOLDER
#define HOLDER 1 /* releases what it holds, from the first to the last; 0: the first
		    object is held by one who does nothing */
#endif
#ifndef EVICTS
#define EVICTS 1 /* times that it is tried */
#endif
#ifndef RIVAL
#define RIVAL 0 /* one that begins to evict something else of record 0, and fails */
#endif
#ifndef FORGET
#define FORGET 0 /* one that forgets the last record (1) or the first (2) */
#endif
#ifndef WORKER
#define WORKER 1 /* runs tasks; 0: nobody does, which READER=0 allows */
#endif
#ifndef XTHERE
#define XTHERE 0 /* CHAIN: the object in the middle is there, and held */
#endif
#ifndef GONE0
#define GONE0 0 /* O was evicted before, and its record is STRONG */
#endif
#ifndef REMADE0
#define REMADE0 0 /* the same, and it is about to be made again */
#endif
#ifndef ROOM
#define ROOM 0 /* how often there is no room to make a result again */
#endif
#ifndef LIMIT
#define LIMIT 9 /* so often it is tried again */
#endif
#ifndef KEPT0
#define KEPT0 (CHAIN || GONE0 || REMADE0 || !WORKER) /* the records are KEPT at the beginning */
#endif
#define NR (1 + CHAIN)
#define NS (2 + CHAIN)
#define O (NS - 1) /* the last object */
#define T (NR - 1) /* its record */

#define C_READER 1
#define C_EVICT 2
#define C_HOLDER 3
#define C_WORKER 4
#define C_JANITOR 5
#define C_WORKER2 6 /* after the first */
#define C_OTHER 7   /* rival or forgetter */
#define BIT(c) (1 << (c))

/* objects */
#define FREE 0
#define PENDING 1
#define SEALED 2
#define FAILED 3
#define LOST 4
#define FREEING 5
#define LIVING(s) (st[s] >= PENDING && st[s] <= LOST)
#define RES(s) (st[s] >= SEALED && st[s] <= LOST && !gn[s])
#define CAN(s) (gn[s] || (st[s] == SEALED && val[s]))
/* edges: FREE is 0 */
#define LIVE 1
#define REL 2
/* records: FREE is 0 */
#define R_RUN 1
#define R_KEPT 2
#define R_WAITING 3
#define R_RETIRED 4
#define R_DELAY 5
#define R_READY 6
#ifndef M_DELAYLOST
#define MAKES(q) (rs[q] != FREE && rs[q] != R_RETIRED)
#else
#define MAKES(q) (rs[q] != FREE && rs[q] != R_RETIRED && rs[q] != R_DELAY)
#endif
/* How often there was no room for O */
#define NO_ROOM (gn[O] && rs[T] != R_KEPT -> pressed[T] : 0)

byte st[NS], lk[NS], hold[NS], view[NS];
bool di[NS], nt[NS], gn[NS], val[NS];
byte rs[NR], ro[NR];
bool rl[NR], rw[NR], rg[NR]; /* LOOK, WANT, STRONG */
byte ae[NR], re[NR];	     /* edges on argument (object q), return (q + 1) */
bool wk[NR];		     /* ae is weak */
byte pressed[NR];		     /* times that there was no room */
byte se;		     /* the reader's edge on O */
bool bell, bd[NR], tm[NR];   /* bell of the reader; board; timers */

/* ghosts */
bool dead[8], fin[8], vw[8]; /* validated view of O */
bool asked[NS], ev;	     /* wanted; O is GONE by choice */
bool losing;		     /* RETIRED, GONE -> LOST to follow */
bool over;		     /* LIMIT was reached */
byte rooms = ROOM;
byte reaped;

inline try_free(q)
{
	if
	:: rs[q] == R_RETIRED && ae[q] == FREE && re[q] == FREE ->
		rs[q] = FREE; ro[q] = 0; rl[q] = 0; rw[q] = 0; rg[q] = 0
	:: else
	fi
}
/* under LOCK(me) */
inline sweep(s)
{
	d_step {
		if
		:: s < NR && ae[s] == REL -> ae[s] = FREE; wk[s] = 0; try_free(s)
		:: else
		fi;
		if
		:: s > 0 && re[s-1] == REL -> re[s-1] = FREE; try_free(s - 1)
		:: else
		fi;
		if
		:: s == O && se == REL -> se = FREE
		:: else
		fi
	}
}
#define LINKED(s) ((s < NR && ae[s] != FREE) || (s > 0 && re[s-1] != FREE) || \
		   (s == O && se != FREE))
/* edges that are not weak, in the order of the list */
#define STRONG_NEW(s) ((s == O && se == LIVE) || (s > 0 && re[s-1] == LIVE))
#define STRONG_OLD(s) (s < NR && ae[s] == LIVE && !wk[s])
#define IS_DUE(q) (!(LIVING(q + 1) && CAN(q + 1)) || \
		   (gn[q+1] && q == T && se == LIVE) || rl[q] || rw[q])
#define INSET(c) ((set >> (c)) & 1)
#define TODO (BIT(1) * dead[1] + BIT(2) * dead[2] + BIT(3) * dead[3] + \
	      BIT(4) * dead[4] + BIT(6) * dead[6] + BIT(7) * dead[7])

/* where a process goes on */
#define P_END 0
#define P_VIEW 1
#define P_READ 2
#define P_WAIT 3
#define P_PUSH 4
#define P_SLEEP 5
#define P_WOKEN 6
#define P_LEAVE 7
#define P_EVICT 8
#define P_GIVES 9
#define P_HOLDER 10
#define P_IDLE 11
#define P_KEEP 12
#define P_FORGET 13
#define P_JANITOR 14
#define P_SLOTS 15
#define P_RECS 16
#define P_BELLS 17
#define P_FORGET2 18
#define P_RETIRED 19

proctype client(byte me)
{
	byte pc, x, r, b, k, todo, tries, clo, was, set, seen;
	bool lg, kp, wa, sw, ss, stuck, had, gone, bad, can, rev, evicts;
	/* where subroutines return to */
	byte xto, sto;
	{
	atomic {
		if
		:: me == C_READER -> pc = P_VIEW
		:: me == C_EVICT || (me == C_OTHER && RIVAL) -> pc = P_EVICT
		:: me == C_HOLDER -> pc = P_HOLDER
		:: me == C_WORKER -> r = T; pc = (KEPT0 -> P_IDLE : P_KEEP)
		:: me == C_WORKER2 -> pc = P_IDLE
		:: me == C_JANITOR -> pc = P_JANITOR
		:: me == C_OTHER && FORGET -> pc = P_FORGET
		fi
	}
main:
	atomic {
		if
		:: todo & 1 -> todo = todo & ~1; r = 0; goto take
		:: !(todo & 1) && (todo & 2) -> todo = 0; r = NR - 1; goto take
		:: todo == 0 && pc == P_END -> goto out
		:: todo == 0 && pc == P_VIEW -> goto l_view
		:: todo == 0 && pc == P_READ -> goto l_leave
		:: todo == 0 && pc == P_WAIT -> goto l_wait
		:: todo == 0 && pc == P_PUSH -> goto l_push
		:: todo == 0 && pc == P_SLEEP -> goto l_sleep
		:: todo == 0 && pc == P_WOKEN -> goto l_woken
		:: todo == 0 && pc == P_EVICT -> goto l_evict
		:: todo == 0 && pc == P_GIVES -> goto l_gives
		:: todo == 0 && pc == P_HOLDER -> goto l_holder
		:: todo == 0 && pc == P_IDLE -> goto end_idle
		:: todo == 0 && pc == P_KEEP -> goto l_keep
		:: todo == 0 && pc == P_FORGET -> goto l_forget
		:: todo == 0 && pc == P_FORGET2 -> goto l_forget2
		:: todo == 0 && pc == P_JANITOR -> goto end_janitor
		:: todo == 0 && pc == P_SLOTS -> goto l_slots
		:: todo == 0 && pc == P_RECS -> goto l_recs
		:: todo == 0 && pc == P_BELLS -> goto l_bells
		fi
	}

	/* ---- look at x, exit, drop; then by xto ---- */
look:
	atomic {
		if
		:: !LIVING(x) -> goto looked
		:: LIVING(x) && lk[x] == 0 -> lk[x] = me
		:: else -> di[x] = 1; goto looked
		fi
	}
exit:
	atomic {
		if
		:: di[x] -> di[x] = 0; goto exit
		:: !di[x] && nt[x] -> goto notify
		:: else
		fi;
		assert(lk[x] == me);
		sweep(x)
	}
	atomic {
		b = hold[x] | view[x];
		if
		:: b == 0 && CAN(x) && !gn[x] && !STRONG_NEW(x) && x < NR &&
		   ae[x] == LIVE && wk[x]
		:: else -> goto unlock
		fi
	}
	atomic {
		if
		:: STRONG_OLD(x) -> goto unlock
		:: else
		fi
	}
	atomic {
		if
		:: di[x] || nt[x] -> goto exit
		:: else -> gn[x] = 1; evicts = 0; goto drop
		fi
	}
unlock:
	skip;
	atomic {
		if
		:: di[x] || nt[x] -> goto exit
		:: !(di[x] || nt[x]) && (b != 0 || LINKED(x)) ->
			/* dropped to the end; somebody makes it */
			assert(!(gn[x] && st[x] == SEALED));
			assert(!(gn[x] && st[x] == PENDING && x > 0) || MAKES(x - 1) || losing);
			b = 0; lk[x] = 0; goto looked
		:: else -> assert(hold[x] == 0 || vw[1] == 0); st[x] = FREEING
		fi
	}
freeing:
	atomic { assert(!LINKED(x)); val[x] = 0; b = 0 };
	atomic { st[x] = FREE; lk[x] = 0; gn[x] = 0; di[x] = 0; nt[x] = 0 };
#ifndef M_NOFREED
	atomic {
		if
		:: x > 0 && rs[x-1] == R_KEPT ->
			rl[x-1] = 1; todo = todo | BIT(x - 1)
		:: else
		fi
	}
#endif
	goto looked;
notify:
	atomic {
		if
		:: x == O && se == LIVE -> bell = 1
		:: else
		fi
	}
	atomic {
		if
		:: x < NR && ae[x] == LIVE && !wk[x] -> bd[x] = 1
		:: else
		fi
	}
	atomic { nt[x] = 0; goto exit };
drop:	/* SEALED|GONE, LOCK(me) */
	skip;
	atomic {
		assert(st[x] == SEALED && gn[x] && lk[x] == me);
		assert(x != O || !(vw[1]));
		val[x] = 0;
		if
		:: x == O && evicts ->
			ev = 1;
			/* (d) of the last argument, or of what that is made of */
			assert(st[T] == SEALED && !gn[T] ||
			       (CHAIN && gn[T] && rs[0] == R_KEPT &&
				st[0] == SEALED && !gn[0]))
		:: else
		fi
	}
	can = (x > 0 && MAKES(x - 1));
	atomic {
		if
		:: can -> st[x] = PENDING; can = 0
		:: else ->
			/* (d) what was evicted needs it */
			assert(!(ev && hold[O] != 0));
			st[x] = LOST; gn[x] = 0; nt[x] = 1; goto exit
		fi
	}
	atomic {
		if
#ifndef M_NORECORD
		:: !MAKES(x - 1) ->
			st[x] = LOST; gn[x] = 0; nt[x] = 1; di[x] = 1;
			goto exit
#endif
		:: else
		fi
	}
#ifndef M_NOWAITERS
	atomic {
		if
		:: x == O && se == LIVE && rs[x-1] == R_KEPT ->
			rl[x-1] = 1; rw[x-1] = 1; todo = todo | BIT(x - 1)
		:: else
		fi;
		goto exit
	}
#else
	goto exit;
#endif

	/* ---- the argument's edge of r strong; then by sto ---- */
strengthen:
	atomic {
		if
		:: ae[r] == LIVE && wk[r] -> had = (hold[r] >> me) & 1
		:: else -> goto strong
		fi
	}
#ifdef M_NOHOLD
	had = 1;
#endif
	if
	:: had
	:: else ->
		atomic { hold[r] = hold[r] | BIT(me) };
		atomic {
			assert(LIVING(r));
			if
			:: lk[r] != 0 -> di[r] = 1
			:: else
			fi
		}
	fi;
	atomic { assert(ae[r] == LIVE); wk[r] = 0 };
	atomic {
		if
		:: had -> goto strong
		:: else -> hold[r] = hold[r] & ~BIT(me); x = r; xto = 4; goto look
		fi
	}

	/* ---- the record r ---- */
take:
	atomic {
		if
		:: rs[r] == R_KEPT && ro[r] == 0 -> ro[r] = me
		:: rs[r] == R_KEPT && ro[r] != 0 ->
#ifndef M_NOLOOK
			rl[r] = 1;
#endif
			r = 0; goto main
		:: else -> r = 0; goto main
		fi
	}
give:
	stuck = 0;
g_again:
	atomic {
		assert(rs[r] == R_KEPT && ro[r] == me);
		rl[r] = 0; sw = rw[r]; ss = rg[r]
	}
	lg = LIVING(r + 1) && gn[r+1];
	/* settle */
	if
	:: atomic { re[r] == LIVE -> re[r] = REL; x = r + 1; xto = 2; goto look }
	:: else
	fi;
g_arg:
	if
	:: atomic { ae[r] == LIVE && !wk[r] && !(lg && ss) && CAN(r) ->
		wk[r] = 1; x = r; xto = 3; goto look }
	:: else
	fi;
g_left:
	atomic {
		kp = LIVING(r + 1) && CAN(r + 1);
		lg = LIVING(r + 1) && gn[r+1]
	}
#ifndef M_NOWAITERS
	wa = lg && r == T && se == LIVE;
#endif
	if
	:: !kp ->
		atomic {
			if
			:: rl[r] -> goto g_again
			:: else -> rs[r] = R_RETIRED; ro[r] = me; goto retired
			fi
		}
	:: atomic { kp && lg && (wa || sw) && !stuck -> sto = 1; goto strengthen }
	:: else
	fi;
	atomic {
		kp = 0; wa = 0;
		if
#ifndef M_BLINDGIVE
		:: rl[r] -> goto g_again
#endif
		:: else ->
			ro[r] = 0; rg[r] = lg && ss; rw[r] = stuck; rl[r] = 0
		fi;
		lg = 0; sw = 0; ss = 0
	}
	if
	:: stuck -> atomic { tm[r] = 1; stuck = 0; r = 0; goto main }
	:: else -> r = 0; goto main
	fi;
g_link:	/* the edge on the return */
	atomic {
		if
		:: re[r] == LIVE -> goto g_wait
		:: else -> had = (hold[r+1] >> me) & 1
		fi
	}
	if
	:: had
	:: else ->
		if
		:: LIVING(r + 1) -> hold[r+1] = hold[r+1] | BIT(me)
		:: else -> goto g_wait
		fi;
		atomic {
			if
			:: LIVING(r + 1) ->
				if
				:: lk[r+1] != 0 -> di[r+1] = 1
				:: else
				fi
			:: else -> hold[r+1] = hold[r+1] & ~BIT(me); goto g_wait
			fi
		}
	fi;
	if
	:: atomic { re[r] == REL -> x = r + 1; xto = 5; goto look }
	:: else
	fi;
g_push:
	atomic {
		if
		:: re[r] == FREE -> re[r] = LIVE
		:: else -> stuck = 1
		fi;
		if
		:: had
		:: else ->
			hold[r+1] = hold[r+1] & ~BIT(me);
			x = r + 1; xto = 6; goto look
		fi
	}
g_pushed:
	if
	:: stuck -> goto g_again
	:: else
	fi;
g_wait:
	atomic {
		assert(st[r+1] == FREE || st[r+1] == FREEING || gn[r+1]);
		assert(asked[r+1]);
		pressed[r] = 0;
		rs[r] = R_WAITING; ro[r] = 0; rl[r] = 0; rw[r] = 0; rg[r] = 0;
		lg = 0; sw = 0; ss = 0; kp = 0; wa = 0
	}
	atomic { bd[r] = 1; r = 0; goto main };

	/* RETIRED(me): the rest; then main */
retired:
	atomic {
		kp = 0; lg = 0; sw = 0; ss = 0; wa = 0;
		if
		:: re[r] == LIVE -> re[r] = REL; x = r + 1; xto = 7; goto look
		:: else
		fi
	}
r_arg:
	atomic {
		if
		:: ae[r] == LIVE -> ae[r] = REL; x = r; xto = 8; goto look
		:: else
		fi
	}
r_free:
	atomic { try_free(r); r = 0; goto main };

looked:
	atomic {
		x = 0;
		if
		:: xto == 0 -> goto main
		:: xto == 2 -> xto = 0; goto g_arg
		:: xto == 3 -> xto = 0; goto g_left
		:: xto == 4 -> xto = 0; goto strong
		:: xto == 5 -> xto = 0; goto g_push
		:: xto == 6 -> xto = 0; goto g_pushed
		:: xto == 7 -> xto = 0; goto r_arg
		:: xto == 8 -> xto = 0; goto r_free
		fi
	}
strong:
	atomic {
		had = 0;
		if
		:: sto == 1 -> sto = 0; goto g_link
		:: sto == 2 -> sto = 0; goto e_arg
		fi
	}

	/* ---- the reader ---- */
l_view:
	atomic { assert(LIVING(O)); view[O] = view[O] | BIT(me) };
	atomic {
		if
		:: lk[O] != 0 -> di[O] = 1
		:: else
		fi
	}
	atomic {
		if
		:: RES(O) ->
			/* (a) */
			assert(st[O] == SEALED && val[O] || st[O] == FAILED && over);
			vw[me] = (st[O] == SEALED); pc = P_READ
		:: else -> pc = P_WAIT; seen = NO_ROOM
		fi
	}
	atomic {
		if
		:: vw[me] -> assert(val[O]); vw[me] = 0
		:: else
		fi;
		view[O] = view[O] & ~BIT(me); x = O; goto look
	}
l_wait:
	if
	:: atomic { RES(O) -> pc = P_VIEW; goto main }
	:: else -> pc = P_PUSH; goto want
	fi;
l_push:
	atomic { se == FREE -> se = LIVE; pc = P_SLEEP; asked[O] = 1 };
#ifndef M_WANTFIRST
	goto want;
#else
	goto main;
#endif
want:
	atomic {
		asked[O] = 1;
		if
		:: st[O] == PENDING && gn[O]
		:: else -> goto main
		fi
	}
	atomic {
		if
		:: rs[T] == R_KEPT ->
			rw[T] = 1; rl[T] = 1; todo = todo | BIT(T)
		:: else
		fi;
		goto main
	}
l_sleep:
	bell = 0;
	if
	:: RES(O)
	:: else ->
		if
		:: bell
		:: NO_ROOM > seen /* it looks around from time to time */
		fi
	fi;
	atomic { bell = 0; se = REL; pc = P_WOKEN; x = O; goto look };
l_woken:
	if
	:: atomic { NO_ROOM > seen -> seen = 0; pc = P_VIEW; goto main }
	:: atomic { NO_ROOM > seen -> seen = 0 }
	:: atomic { NO_ROOM <= seen -> pc = P_WAIT; goto main }
	fi;
l_leave:
	atomic {
		hold[O] = hold[O] & ~BIT(me); pc = P_END; x = O; goto look
	}

	/* ---- one who evicts; the rival ends before the LOCK ---- */
l_evict:
	atomic {
		clo = 0; was = 0; bad = 0; gone = 0;
		if
		:: tries >= EVICTS -> pc = P_END; r = 0; goto main
		:: else -> tries++
		fi;
		r = (me == C_OTHER -> 0 : T)
	}
#ifdef M_WASOLD
	was = was | (rg[r] << r);
#endif
	atomic {
		if
		:: rs[r] == R_KEPT && ro[r] == 0 ->
			ro[r] = me; clo = BIT(r);
#ifndef M_WASOLD
			was = rg[r] << r
#endif
		:: else -> pc = P_END; r = 0; goto main
		fi
	}
e_secure:
#ifndef M_NOFLAG
	rg[r] = 1;
#endif
#ifndef M_NOSTRONG
	atomic { sto = 2; goto strengthen };
#endif
e_arg:
	atomic {
		if
		:: ae[r] == LIVE && st[r] == PENDING && gn[r] ->
#ifdef M_NOCLOSE
			goto e_lock;
#endif
			r = r - 1
		:: ae[r] == LIVE && st[r] == SEALED && !gn[r] -> goto e_lock
		:: else -> bad = 1; goto e_lock
		fi
	}
#ifdef M_WASOLD
	was = was | (rg[r] << r);
#endif
	atomic {
		if
#ifdef M_TRUST
		:: rs[r] == R_KEPT && rg[r] -> goto e_lock
#else
		:: rs[r] == R_KEPT && ro[r] == 0 && rg[r] -> goto e_lock
#endif
		:: rs[r] == R_KEPT && ro[r] == 0 && !rg[r] ->
			ro[r] = me; clo = clo | BIT(r);
#ifndef M_WASOLD
			was = was | (rg[r] << r);
#endif
			goto e_secure
		:: else -> bad = 1
		fi
	}
e_lock:
	atomic {
		pc = P_GIVES;
		if
		:: bad || me == C_OTHER -> goto l_gives
		:: else
		fi;
		if
		:: CAN(O) && !gn[O] && !lk[O] && !nt[O] -> lk[O] = me
		:: else -> goto l_gives
		fi
	}
e_look:
#ifndef M_NOVIEW
	if
	:: view[O] != 0 -> x = O; goto exit
	:: else
	fi;
#endif
e_waits:
	if
	:: se == LIVE -> x = O; goto exit
	:: else
	fi;
	atomic {
		if
		:: nt[O] -> x = O; goto exit
#ifdef M_VIEWONCE
		:: di[O] && !nt[O] -> di[O] = 0; goto e_waits
#else
		:: di[O] && !nt[O] -> di[O] = 0; goto e_look
#endif
		:: else -> gn[O] = 1; gone = 1; evicts = 1; x = O; goto drop
		fi
	}
l_gives:
	atomic {
		if
		:: clo & BIT(T) -> r = T
		:: !(clo & BIT(T)) && (clo & 1) -> r = 0
		:: else -> pc = P_EVICT; evicts = 0; gone = 0; bad = 0; was = 0;
			r = 0; goto main
		fi;
		clo = clo & ~BIT(r);
		if
		:: !gone && !((was >> r) & 1) -> rg[r] = 0
		:: else
		fi;
		goto give
	}

	/* ---- one who forgets ---- */
l_forget:
	atomic {
		r = (FORGET == 2 -> 0 : T); pc = P_END;
		if
		:: rs[r] == R_KEPT && ro[r] == 0 -> ro[r] = me
		:: else -> goto main
		fi
	}
	atomic {
		bad = rl[r] || rg[r]
	}
	atomic {
		kp = gn[r+1] && (hold[r+1] != 0 || view[r+1] != 0 ||
				 STRONG_NEW(r + 1) || STRONG_OLD(r + 1));
#ifdef M_FORGETANY
		kp = 0; bad = 0;
#endif
		if
		:: kp || bad -> kp = 0; bad = 0; goto give
		:: else -> bad = 0
		fi
	}
#ifndef M_LOSEFIRST
	atomic {
		if
		:: rl[r] -> pc = P_END; goto give
		:: else -> rs[r] = R_RETIRED; losing = 1
		fi
	}
#endif
	atomic {
		pc = P_FORGET2; losing = 0;
		if
		:: st[r+1] == PENDING && gn[r+1] ->
			assert(!(ev && hold[O] != 0));
			st[r+1] = LOST; gn[r+1] = 0; nt[r+1] = 1;
			if
			:: lk[r+1] == 0 -> lk[r+1] = me; x = r + 1; goto exit
			:: else -> di[r+1] = 1; goto main
			fi
		:: else -> goto main
		fi
	}
l_forget2:
	atomic {
		pc = P_END; r = (FORGET == 2 -> 0 : T);
		if
		:: rs[r] == R_RETIRED -> goto retired
		:: rs[r] == R_KEPT && rl[r] -> goto give
		:: else ->
			/* LOCKed: who drops it looks for its record */
			assert(!(gn[r+1] && st[r+1] == PENDING && !lk[r+1]));
			rs[r] = R_RETIRED; goto retired
		fi
	}

	/* ---- the holder: from the first object to the last ---- */
l_holder:
	atomic {
		if
		:: k >= NS -> k = 0; pc = P_END; goto main
		:: k < NS && !((hold[k] >> me) & 1) -> k++; goto main
		:: else -> hold[k] = hold[k] & ~BIT(me); x = k; k++; goto look
		fi
	}

	/* ---- a worker ---- */
end_idle:
	atomic {
		if
		:: (me == C_WORKER || dead[C_WORKER]) && bd[0] -> r = 0
		:: (me == C_WORKER || dead[C_WORKER]) && bd[NR-1] -> r = NR - 1
		fi;
		bd[r] = 0
	}
	if
	:: rs[r] != R_WAITING && rs[r] != R_READY -> r = 0; goto main
	:: else
	fi;
	if
	:: atomic { rs[r] == R_READY -> rs[r] = R_RUN; ro[r] = me }
	:: atomic { rs[r] != R_READY && RES(r) ->
		if
		:: rs[r] == R_WAITING -> rs[r] = R_RUN; ro[r] = me
		:: else -> r = 0; goto main
		fi }
	/* GONE: its own record is to make it */
	:: else -> atomic {
		if
		:: r > 0 && st[r] == PENDING && gn[r] && rs[r-1] == R_KEPT ->
			asked[r] = 1; rw[r-1] = 1; rl[r-1] = 1; todo = BIT(r - 1)
		:: r > 0 && !(st[r] == PENDING && gn[r] && rs[r-1] == R_KEPT) ->
			asked[r] = 1
		:: else
		fi;
		r = 0; goto main }
	fi;
	atomic {
		assert(ae[r] == LIVE && !wk[r] && RES(r));
		assert(!(r == T && ev && st[r] != SEALED)); /* (d) */
		assert(st[r] != SEALED || val[r]);
		pc = P_KEEP;
		if
		:: re[r] != LIVE || st[r+1] != PENDING -> goto main /* no more */
		:: re[r] == LIVE && st[r+1] == PENDING -> val[r+1] = (st[r] == SEALED)
		:: re[r] == LIVE && st[r+1] == PENDING && gn[r+1] && rooms > 0 ->
			rooms--;
#ifndef M_ROOMFAILS
			if
			:: pressed[r] < LIMIT -> goto l_full
			:: else -> over = 1; ev = 0
			fi
#endif
		fi
	}
	atomic {
		assert(st[r+1] == PENDING && re[r] == LIVE);
		if
		:: val[r+1] -> st[r+1] = SEALED
		:: else -> st[r+1] = FAILED
		fi;
		gn[r+1] = 0; nt[r+1] = 1; asked[r+1] = 0;
		if
		:: r == T -> ev = 0
		:: else
		fi;
		if
		:: lk[r+1] == 0 -> lk[r+1] = me; x = r + 1; b = 0; goto exit
		:: else -> di[r+1] = 1; goto main
		fi
	}
l_full:	/* RUN(me), r as it was */
	atomic { pressed[r] = pressed[r] + 1 };
	atomic {
		assert(rs[r] == R_RUN && ro[r] == me && st[r+1] == PENDING && gn[r+1]);
		rs[r] = R_DELAY; ro[r] = 0;
#ifdef M_ROOMWEAK
		wk[r] = 1; x = r; xto = 0; pc = P_IDLE; tm[r] = 1; r = 0; goto look
#endif
	}
	atomic {
		pc = P_IDLE;
#ifndef M_NOTIMER
		tm[r] = 1;
#endif
		r = 0; goto main
	}
l_keep:	/* RUN(me), r as it was */
	atomic {
		assert(rs[r] == R_RUN && ro[r] == me);
		pc = P_IDLE; rs[r] = R_KEPT; goto give
	}

	/* ---- the janitor: one death after the other ---- */
end_janitor:
	atomic {
		if
		:: (TODO & ~reaped) -> set = TODO & ~reaped
		:: tm[0] -> tm[0] = 0; r = 0; goto l_due
		:: tm[NR-1] -> tm[NR-1] = 0; r = NR - 1; goto l_due
		fi;
		k = 0
	}
	atomic {
		do
		:: k < NS -> hold[k] = hold[k] & ~set; view[k] = view[k] & ~set; k++
		:: else -> k = 0; break
		od
	}
	if
	:: atomic { INSET(C_READER) && se == LIVE -> se = REL; x = O; pc = P_SLOTS;
		goto look }
	:: else
	fi;
l_slots:
	atomic {
		pc = P_SLOTS;
		if
		:: k >= NR + NS -> k = 0; goto l_recs
		/* first the records that are RETIRED */
		:: k < NR && rs[k] == R_RETIRED -> r = k; k++; goto retired
		:: k < NR && rs[k] != R_RETIRED -> k++; goto main
		:: else -> x = k - NR; k++
		fi;
		if
		:: st[x] == FREE -> goto looked
		:: st[x] == FREEING && INSET(lk[x]) -> lk[x] = me; goto freeing
		:: st[x] == FREEING && !INSET(lk[x]) -> goto looked
		:: LIVING(x) && lk[x] && INSET(lk[x]) ->
			lk[x] = me;
			if
			:: st[x] == PENDING && !(x > 0 && MAKES(x - 1)) ->
				st[x] = LOST; gn[x] = 0; nt[x] = 1; goto exit
#ifndef M_NOREDROP
			:: st[x] == SEALED && gn[x] -> evicts = 1; goto drop
#endif
			:: else -> goto exit
			fi
		:: LIVING(x) && lk[x] == 0 && st[x] == PENDING &&
		   !(x > 0 && MAKES(x - 1)) ->
			st[x] = LOST; gn[x] = 0; nt[x] = 1; lk[x] = me; goto exit
		:: else -> goto look
		fi
	}
l_recs:
	atomic {
		pc = P_RECS;
		if
		:: k >= NR -> k = 0; goto l_bells
		:: else -> r = k; k++
		fi;
		if
		:: rs[r] == R_RUN && INSET(ro[r]) ->
			if
			:: re[r] == LIVE && st[r+1] == PENDING ->
				rs[r] = R_READY; ro[r] = 0; bd[r] = 1; goto main
			:: else -> rs[r] = R_RETIRED; ro[r] = me; goto retired
			fi
		:: rs[r] == R_WAITING || rs[r] == R_READY -> bd[r] = 1; goto main
#ifndef M_NORETIMER
		:: rs[r] == R_DELAY -> tm[r] = 1; goto main
#endif
#ifndef M_NOREGIVE
		:: rs[r] == R_KEPT && ro[r] != 0 && INSET(ro[r]) -> ro[r] = me;
			goto give
#endif
#ifndef M_NODUE
		:: rs[r] == R_KEPT && ro[r] == 0 && IS_DUE(r) -> goto take
#endif
#ifndef M_LIVEOWNER
		/* who has it may have looked before */
		:: rs[r] == R_KEPT && ro[r] != 0 && !INSET(ro[r]) -> goto take
#endif
		:: else -> goto main
		fi
	}
l_due:	/* the time of r has come */
	atomic {
		if
		:: rs[r] == R_DELAY -> rs[r] = R_READY; bd[r] = 1
		:: else -> todo = BIT(r)
		fi;
		r = 0; goto main
	}
l_bells:
	atomic {
		bell = 1; reaped = reaped | set; set = 0; pc = P_JANITOR; goto main
	}
out:	atomic { fin[me] = 1; x = 0; r = 0; b = 0; k = 0; tries = 0; clo = 0; was = 0; seen = 0 }
	} unless {
		atomic {
			dead[me] -> pc = 0; x = 0; r = 0; b = 0; k = 0; todo = 0;
			tries = 0; clo = 0; was = 0; lg = 0; kp = 0; wa = 0; sw = 0; seen = 0;
			ss = 0; stuck = 0; had = 0; gone = 0; bad = 0; can = 0;
			evicts = 0; xto = 0; sto = 0
		}
	}
}

proctype killer()
{
	byte n;
	do
	:: atomic { MAY(1) && READER && !fin[1] -> dead[1] = 1; vw[1] = 0; n++ }
	:: atomic { MAY(2) && EVICTS && !fin[2] -> dead[2] = 1; n++ }
	:: atomic { MAY(3) && HOLDER && !fin[3] -> dead[3] = 1; n++ }
	:: atomic { MAY(4) && WORKER -> dead[4] = 1; n++ }
	:: atomic { MAY(7) && (RIVAL || FORGET) && !fin[7] -> dead[7] = 1; n++ }
	:: break
	od
}

proctype audit()
{
	byte k;
	timeout;
	d_step {
		do
		:: k == 0 && !HOLDER ->
			assert(st[0] == SEALED && val[0] && hold[0] == BIT(0));
			k++
		:: k < NS && (k > 0 || HOLDER) ->
			assert(st[k] == FREE && hold[k] == 0 && view[k] == 0);
			k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < NR -> assert(rs[k] == FREE); k++
		:: else -> break
		od
	}
}

init {
	atomic {
		byte k;
		do
		:: k < NS -> st[k] = SEALED; val[k] = 1;
			hold[k] = BIT(C_HOLDER); k++
		:: else -> break
		od;
		if
		:: !HOLDER -> hold[0] = BIT(0)
		:: else
		fi;
		if
		:: READER -> hold[O] = BIT(C_READER)
		:: else
		fi;
		k = 0;
		do
		:: k < NR -> ae[k] = LIVE; wk[k] = KEPT0; re[k] = (KEPT0 -> FREE : LIVE);
			rs[k] = (KEPT0 -> R_KEPT : R_RUN);
			ro[k] = (KEPT0 -> 0 : C_WORKER); k++
		:: else -> break
		od;
#if GONE0
		st[O] = PENDING; gn[O] = 1; val[O] = 0; wk[T] = 0; rg[T] = 1; ev = 1;
#endif
#if REMADE0
		st[O] = PENDING; gn[O] = 1; val[O] = 0; wk[T] = 0; re[T] = LIVE;
		rs[T] = R_WAITING; bd[T] = 1; asked[O] = 1; ev = 1;
#endif
#if CHAIN
		/* nobody needs it but record 1 */
		if
		:: !XTHERE -> hold[1] = 0; st[1] = PENDING; gn[1] = 1; val[1] = 0
		:: else
		fi;
#endif
		if
		:: READER -> run client(C_READER)
		:: else
		fi;
		if
		:: EVICTS -> run client(C_EVICT)
		:: else
		fi;
		if
		:: HOLDER -> run client(C_HOLDER)
		:: else
		fi;
		if
		:: WORKER -> run client(C_WORKER)
		:: else
		fi;
		if
		:: KILLS && WORKER -> run client(C_WORKER2)
		:: else
		fi;
		run client(C_JANITOR);
		if
		:: RIVAL || FORGET -> run client(C_OTHER)
		:: else
		fi;
		run killer();
		run audit()
	}
}
