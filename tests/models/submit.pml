/* SPDX-License-Identifier: Apache-2.0 */
/*
 * submit.pml - submitting a task and one that depends on it: records, return
 * slots, edges, the board of three levels, evaluation, end, janitor
 * (sched/task.c, run.c, sched_reap.c, store/board.c, edge.c, reap.c). The LOCK
 * of a slot is only that of birth here, and NOTIFY is done in one visit: see
 * seal_wait.pml; placing and taking: see take_gen.pml.
 *
 * PROTOCOL IN WORDS
 *   submit    record CAS FREE -> BUILD(me); return slot CAS FREE -> PENDING with
 *             LOCK(me); HOLD bit; slot.producer = {record, gen}; edge on the
 *             return; edges on the arguments, each held meanwhile; the LOCK of
 *             the return off; an argument is pending: CAS BUILD -> WAITING, else
 *             READY; not WAITING, or no argument is pending NOW: its bit on the
 *             board; wake.
 *   bit       a submitter, if somebody is idle: CAS the word "now" 0 -> record,
 *             taken by exchange. Else, and a worker always: leaf; mid unless it
 *             is set; root unless it is set.
 *   drain     exchange root, then mid, then leaf. WAITING and no argument
 *             pending: CAS -> READY; READY: queued.
 *   wake      claim the bit of an idle worker, THEN ring it. A worker that sets
 *             bits does not: it looks itself afterwards.
 *   run       CAS READY -> RUN(me). Returns: CAS slot PENDING -> SEALED with
 *             NOTIFY; every edge of a record on it: the record's bit; NOTIFY
 *             off. THEN record -> RETIRED(me); THEN its edges off, each with a
 *             look; THEN record FREE gen + 1.
 *   look      no HOLD bit, no edge, no LOCK or NOTIFY: slot FREE gen + 1.
 *   janitor   set of the dead. Queue and lock of a dead lock owner: a new
 *             generation, empty. HOLD bits off. BUILD(dead), RETIRED(dead): ->
 *             RETIRED(janitor), edges off, FREE. Slots: LOCK or NOTIFY of a dead
 *             one taken over; PENDING and its producer is gone (another gen,
 *             FREE, RETIRED), or it has none and its LOCK owner is dead: LOST
 *             with NOTIFY. Then RUN(dead): return pending -> READY, else ended
 *             for it. Bits of all WAITING and READY records; every bell.
 *
 * ASSERTED
 *   (a) quiescent: as many tasks ended as were published, none twice; records
 *       and slots FREE, no edge, no HOLD, no NOTIFY
 *   (b) a task runs with its arguments resolved and held by its edges, and its
 *       return pending
 *   (c) nobody sleeps while there is work
 *   (d) the return of a published task is SEALED, never LOST (retries here have
 *       no bound)
 *
 * MUTANTS (-DM_...): ROOTFIRST BOTTOMUP NOSECOND PRODUCERLATE EDGELATE NOMARK
 *   MARKREADY RETIREFIRST RERUN RINGFIRST NORING SLOTSFIRST IDLELATE
 *   NOWSTORE
 */
#ifndef NW
#define NW 1 /* workers: clients 3 and 4; the submitter is client 1 */
#endif
#ifndef NSUB
#define NSUB 2 /* tasks; the second takes the return of the first */
#endif
#ifndef NR
#define NR 2 /* records; fewer than NSUB: they are used again */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef RKILLS
#define RKILLS 0
#endif
#ifndef DEP
#define DEP 1 /* 0: the second task does not take the return of the first */
#endif
#ifndef HOLDER
#define HOLDER 0 /* client 2 waits for the first return */
#endif
#define NONE 7

#define FREE 0
#define BUILD 1
#define WAITING 2
#define READY 3
#define RUN 4
#define RETIRED 5
#define PENDING 1
#define SEALED 2
#define LOST 3

byte rs[NR], ro[NR], rg[NR], rret[NR]; /* state, owner, gen; its return */
byte rarg[NR];                         /* slot of its argument, or NONE */
bool redge[NR], aedge[NR];             /* on the return, on the argument */
byte ss[NSUB], sl[NSUB];               /* slot: state, LOCK owner */
byte sn[NSUB];                         /* NOTIFY: who has to do it */
byte prod[NSUB], prodg[NSUB];          /* record + 1 and its gen; 0 none */
byte hold[NSUB];
byte leaf;
bool mid, root;
byte now;                              /* record + 1, for who is idle */
byte lock, q;                          /* of the domain: owner, bits */
bool idle[5], rang[5], asleep[5];
/* ghosts */
bool dead[7], fin[7];
byte reaped, npub, ndone;
bool pub0; /* the first task was published */

inline set_bit(r)
{
#ifdef M_ROOTFIRST
	root = 1;
	mid = 1;
	leaf = leaf | (1 << (r))
#else
	leaf = leaf | (1 << (r));
	if
	:: !mid -> mid = 1
	:: else
	fi;
	if
	:: !root -> root = 1
	:: else
	fi
#endif
}
inline ring(i)
{
	rang[i] = 1;
	asleep[i] = 0
}
inline wake_one()
{
#ifdef M_RINGFIRST
	atomic {
		if
		:: idle[3] -> k = 3
		:: !idle[3] && idle[4] -> k = 4
		:: else -> k = 0
		fi
	}
	if
	:: k -> ring(k); atomic { idle[k] = 0; k = 0 }
	:: else
	fi
#else
	atomic {
		if
		:: idle[3] -> idle[3] = 0; k = 3
		:: !idle[3] && idle[4] -> idle[4] = 0; k = 4
		:: else -> k = 0
		fi
	}
	if
	:: k -> ring(k); k = 0
	:: else
	fi
#endif
}
#define EDGE(r, s) ((redge[r] && rret[r] == s) || (aedge[r] && rarg[r] == s))
inline look(s)
{
	atomic {
		if
		:: ss[s] != FREE && hold[s] == 0 && sl[s] == 0 && sn[s] == 0 &&
		   !EDGE(0, s) && !EDGE(NR - 1, s) -> ss[s] = FREE; prod[s] = 0; prodg[s] = 0
		:: else
		fi
	}
}
/* NOTIFY: the bits of all records with an edge on it; then look */
inline notify(s)
{
	if
	:: aedge[0] && rarg[0] == s -> set_bit(0)
	:: else
	fi;
#if NR > 1
	if
	:: aedge[1] && rarg[1] == s -> set_bit(1)
	:: else
	fi;
#endif
	sn[s] = 0
}
inline resolve(s, S, me) /* returns in k whether I did */
{
	atomic {
		if
		:: ss[s] == PENDING -> ss[s] = S; sn[s] = me; k = 1
		:: else -> k = 0
		fi
	}
	if
	:: k -> notify(s)
	:: else
	fi;
	k = 0
}
/* the rest of RETIRED(me) */
inline end_rec(r)
{
	atomic { if :: redge[r] -> redge[r] = 0; k = 1 :: else -> k = 0 fi };
	if
	:: k -> look(rret[r])
	:: else
	fi;
	atomic { if :: aedge[r] -> aedge[r] = 0; k = 1 :: else -> k = 0 fi };
	if
	:: k -> look(rarg[r])
	:: else
	fi;
	atomic { k = 0; rs[r] = FREE; ro[r] = 0; rg[r]++; rret[r] = NONE;
		 rarg[r] = NONE }
}

proctype submitter()
{
	byte n, r, k, s;
	bool waits;
	{ skip;
more:
	atomic {
		n < NSUB ->
		if
		:: rs[0] == FREE -> r = 0
#if NR > 1
		:: rs[0] != FREE && rs[1] == FREE -> r = 1
#endif
		fi;
		rs[r] = BUILD; ro[r] = 1
	}
	atomic { s = n; ss[s] = PENDING; sl[s] = 1 };
	hold[s] = hold[s] | 2;
#ifndef M_PRODUCERLATE
	atomic { prod[s] = r + 1; prodg[s] = rg[r] };
#endif
	atomic { rret[r] = s; redge[r] = 1 };
	if
	:: DEP && n == 1 ->
		atomic { rarg[r] = 0;
#ifndef M_EDGELATE
			 aedge[r] = 1
#endif
		}
	:: else
	fi;
	sl[s] = 0;
#ifdef M_PRODUCERLATE
	atomic { prod[s] = r + 1; prodg[s] = rg[r] };
#endif
	waits = (DEP && n == 1 && ss[0] == PENDING);
	atomic { assert(rs[r] == BUILD && ro[r] == 1);
		 rs[r] = (waits -> WAITING : READY); ro[r] = 0; npub++;
		 if :: n == 0 -> pub0 = 1 :: else fi };
#ifdef M_EDGELATE
	if
	:: DEP && n == 1 -> aedge[r] = 1
	:: else
	fi;
#endif
	if
#ifdef M_NOSECOND
	:: !waits ->
#else
	:: !waits || ss[0] != PENDING ->
#endif
		/* handed over if somebody is idle and the word is free */
		if
		:: idle[3] || idle[4] ->
			atomic {
				if
#ifdef M_NOWSTORE
				:: true ->
#else
				:: now == 0 ->
#endif
					now = r + 1; k = 1
				:: else -> k = 0
				fi
			}
		:: else
		fi;
		if
		:: k -> k = 0
		:: else -> set_bit(r)
		fi;
		wake_one()
	:: else
	fi;
	atomic { waits = 0; r = 0; s = 0; n++;
		 if :: n < NSUB -> goto more :: else -> n = 0 fi };
	/* the refs are dropped */
	do
	:: n < NSUB -> hold[n] = hold[n] & ~2; look(n); n++
	:: atomic { n >= NSUB -> n = 0; break }
	od;
	fin[1] = 1
	} unless {
		atomic { dead[1] -> n = 0; r = 0; k = 0; s = 0; waits = 0 }
	}
}

/* somebody who waits for the first return */
proctype holder()
{
end_holder:
	atomic { ss[0] == PENDING };
	hold[0] = hold[0] | 4;
	if
	:: ss[0] == FREE -> hold[0] = hold[0] & ~4; goto end_holder
	:: else
	fi;
	atomic { ss[0] != PENDING };
	assert(ss[0] == SEALED || (ss[0] == LOST && !pub0));
	hold[0] = hold[0] & ~4;
	look(0)
}

/* evaluate and place */
inline place(r)
{
	if
	:: rs[r] == WAITING ->
		atomic {
			if
			:: rs[r] == WAITING && ss[rarg[r]] != PENDING ->
				rs[r] = READY
			:: else
			fi
		}
	:: else
	fi;
	if
	:: rs[r] == READY -> q = q | (1 << (r))
	:: else
	fi
}

proctype worker(byte me)
{
	byte n, r, k, s;
	bool m;
	{ skip;
turn:
	rang[me] = 0;
	atomic { lock == 0 -> lock = me };
	/* drain */
	if
	:: now -> atomic { s = now; now = 0 }
	:: else
	fi;
#ifdef M_BOTTOMUP
	if
	:: root ->
		atomic { n = leaf; leaf = 0 };
		mid = 0;
		root = 0
	:: else
	fi;
#else
	if
	:: root -> root = 0;
		atomic { m = mid; mid = 0 };
		if
		:: m -> m = 0; atomic { n = leaf; leaf = 0 }
		:: else
		fi
	:: else
	fi;
#endif
	atomic { if :: s -> n = n | (1 << (s - 1)); s = 0 :: else fi };
	if
	:: n & 1 -> place(0)
	:: else
	fi;
#if NR > 1
	if
	:: n & 2 -> place(1)
	:: else
	fi;
#endif
	n = 0;
pop:
	atomic {
		if
		:: q & 1 -> r = 0; q = q & ~1
#if NR > 1
		:: !(q & 1) && (q & 2) -> r = 1; q = q & ~2
#endif
		:: else -> lock = 0; goto rest
		fi
	}
	atomic {
		if
		:: rs[r] == READY -> rs[r] = RUN; ro[r] = me; lock = 0;
			s = (q || root || now)
		:: else -> goto pop
		fi
	}
	if
	:: s -> wake_one()
	:: else
	fi;
	/* run */
	atomic {
		s = rret[r];
		assert(redge[r] && ss[s] == PENDING);
		assert(rarg[r] == NONE || (aedge[r] && (ss[rarg[r]] == SEALED ||
						       ss[rarg[r]] == LOST)))
	}
#ifndef M_RETIREFIRST
	resolve(s, SEALED, me);
#endif
	atomic { assert(rs[r] == RUN && ro[r] == me); rs[r] = RETIRED;
		 ndone++ };
#ifdef M_RETIREFIRST
	resolve(s, SEALED, me);
#endif
	end_rec(r);
	atomic { r = 0; s = 0; goto turn };
rest:
#ifndef M_IDLELATE
	idle[me] = 1;
#endif
	if
	:: root || now || q -> atomic { idle[me] = 0; goto turn }
	:: else
	fi;
#ifdef M_IDLELATE
	idle[me] = 1;
#endif
	atomic { if :: !rang[me] -> asleep[me] = 1 :: else fi };
end_sleep:
	atomic { !asleep[me] -> idle[me] = 0; goto turn }
	} unless {
		atomic {
			dead[me] -> n = 0; r = 0; k = 0; s = 0; m = 0;
			asleep[me] = 0
		}
	}
}

#define TODO (dead[1] * 2 + dead[3] * 8 + dead[4] * 16 + dead[5] * 32)
#define INSET(o) ((set >> (o)) & 1)
inline reap_slots()
{
	do
	:: atomic { i < NSUB } ->
		atomic {
			/* a dead LOCK or NOTIFY owner */
			x = 0;
			if
			:: sl[i] && INSET(sl[i]) -> sl[i] = me; x = 1
			:: else
			fi;
			if
			:: sn[i] && INSET(sn[i]) -> sn[i] = me; x = 1
			:: else
			fi;
			/* will it be made? */
			if
			:: ss[i] != PENDING -> y = 1
			:: ss[i] == PENDING && prod[i] == 0 ->
				y = (sl[i] != 0 && !x)
			:: else -> y = 1;
				if
				:: rs[prod[i] - 1] == FREE ||
				   rs[prod[i] - 1] == RETIRED -> y = 0
				:: rg[prod[i] - 1] != prodg[i] -> y = 0
				:: else
				fi
			fi
		}
		if
		:: ss[i] == PENDING && !y ->
			resolve(i, LOST, me)
		:: else
		fi;
		atomic { if :: sl[i] == me -> sl[i] = 0 :: else fi };
		if
		:: sn[i] == me -> notify(i)
		:: else
		fi;
		look(i);
		atomic { i++; x = 0; y = 0 }
	:: atomic { i >= NSUB -> i = 0; break }
	od
}

proctype janitor()
{
	byte me = 5, set, i, k, x, y;
start:
	atomic { set = 0; i = 0; k = 0; x = 0; y = 0; me = 5 + dead[5] };
	{ skip;
end_idle:
	atomic { TODO & ~reaped -> set = TODO & ~reaped };
	atomic { if :: INSET(lock) && lock -> q = 0; lock = 0 :: else fi };
	do
	:: atomic { i < NSUB -> hold[i] = hold[i] & ~set; i++ }
	:: atomic { i >= NSUB -> i = 0; break }
	od;
#ifdef M_SLOTSFIRST
	reap_slots();
#endif
	do
	:: i < NR ->
		atomic {
			if
			:: (rs[i] == BUILD || rs[i] == RETIRED) &&
			   INSET(ro[i]) ->
				rs[i] = RETIRED; ro[i] = me; x = 1
			:: else -> x = 0
			fi
		}
		if
		:: x -> x = 0; end_rec(i)
		:: else
		fi;
		i++
	:: atomic { i >= NR -> i = 0; break }
	od;
#ifndef M_SLOTSFIRST
	reap_slots();
#endif
	do
	:: i < NR ->
		atomic {
			x = 0;
			if
			:: rs[i] == RUN && INSET(ro[i]) ->
				if
#ifdef M_RERUN
				:: true -> rs[i] = READY; ro[i] = 0
#else
				:: ss[rret[i]] == PENDING ->
					rs[i] = READY; ro[i] = 0
				:: else -> rs[i] = RETIRED; ro[i] = me;
					ndone++; x = 1
#endif
				fi
			:: else
			fi
		}
		if
		:: x -> x = 0; end_rec(i)
		:: else
		fi;
#ifndef M_NOMARK
#ifdef M_MARKREADY
		if
		:: rs[i] == READY -> set_bit(i)
#else
		if
		:: rs[i] == READY || rs[i] == WAITING -> set_bit(i)
#endif
		:: else
		fi;
#endif
		i++
	:: atomic { i >= NR -> i = 0; break }
	od;
	atomic { if :: INSET(3) -> idle[3] = 0 :: else fi;
		 if :: INSET(4) -> idle[4] = 0 :: else fi };
#ifndef M_NORING
	ring(3);
	ring(4);
#endif
	atomic { reaped = reaped | set; set = 0 };
	goto end_idle
	} unless { dead[me] };
	goto start
}

proctype killer()
{
	byte kn, rn;
	do
	:: atomic { kn < KILLS && !dead[1] && !fin[1] -> dead[1] = 1; kn++ }
#if NW > 1
	:: atomic { kn < KILLS && !dead[3] -> dead[3] = 1; kn++ }
#endif
	:: atomic { rn < RKILLS && kn > 0 && !dead[5] -> dead[5] = 1; rn++ }
	:: break
	od
}

proctype audit()
{
	byte k;
	timeout;
	d_step {
		assert(npub == ndone && lock == 0);
		do
		:: k < NR -> assert(rs[k] == FREE && !redge[k] && !aedge[k]);
			k++
		:: else -> k = 0; break
		od;
		do
		:: k < NSUB -> assert(ss[k] == FREE && !hold[k]);
			assert(!sn[k] && !sl[k]); k++
		:: else -> k = 0; break
		od
	}
}

init {
	atomic {
		byte k;
		do
		:: k < NR -> rret[k] = NONE; rarg[k] = NONE; k++
		:: else -> k = 0; break
		od;
		run submitter();
#if NW > 1
		run worker(3);
#endif
		run worker(4);
#if HOLDER
		run holder();
#endif
		run janitor(); run killer(); run audit()
	}
}
