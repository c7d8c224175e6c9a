/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take_gen.pml - placing and taking tasks, generations of the domain, capacity,
 * blocked workers, idle workers (sched/domain.c, worker.c, block.c,
 * sched_reap.c). The board is one word here; submit.pml has its levels.
 *
 * PROTOCOL IN WORDS
 *   record    {attempt, state WAITING | READY | RUN(worker) | done}. The word
 *             says nothing of generations.
 *   structure NG of them, each with a lock {owner}, queues of {task, version =
 *             attempt} and a fill cursor. cur = {generation, structure} names
 *             the one in use.
 *   lock      c = cur; CAS lock of its structure 0 -> me; cur is still c, else
 *             unlock and again.
 *   next      by anybody who finds the holder stopped, or swaps the policy: of
 *             a structure that is not the current one CAS lock 0 -> me; it is
 *             still not current; make it empty, filling = 1; CAS cur c -> {g+1,
 *             it}; unlock. So a stopped holder of an old one spoils nothing.
 *   turn      lock; a piece of fill: every record that is READY, or WAITING and
 *             can go, is placed; drain the board, evaluate, place; take; unlock;
 *             cur is not c any more: set the bits of what was drained again.
 *             More is there: claim the bit of an idle worker, THEN ring it.
 *   take      pop {t, version}; the record is READY of that version; announce
 *             {t, version}; THEN sum what the others announce and what counts:
 *             record READY, or RUN by that worker, of that version; fits: CAS
 *             READY -> RUN(me); else withdraw, back into the queue.
 *   block     withdraw; look whether another can go; wait; announce again
 *             without a check.
 *   finish    record done; withdraw; turn.
 *   idle      v = bell; set my idle bit; board empty, not filling, nothing
 *             queued but what does not fit: FUTEX_WAIT(bell, v); clear the bit.
 *   janitor   set of the dead. Lock of the dead: its structure is the current
 *             one: next, or if none is free: CAS lock -> me; still current: make
 *             it empty, filling = 1; CAS cur {g, it} -> {g+1, it}; unlock. Then
 *             CAS lock -> 0. RUN(dead) -> {attempt + 1, READY};
 *             bits of all READY and WAITING records; announcements of the dead
 *             off; every bell rung.
 *
 * ASSERTED
 *   (a) no attempt starts twice
 *   (b) the needs of running tasks that were never blocked stay within the
 *       limit, with stale and current lock owners at work: a worker that goes
 *       on after it was blocked may exceed it, by its own need
 *   (c) quiescent: all done, or RUN by a stopped one, or it does not fit beside
 *       what runs or what a stopped one has announced
 *
 * A process that is stopped for a while is one that is not scheduled: every
 * interleaving has it. STOPS are stopped for ever. A sleeper that left something
 * queued that did not fit looks again after 20 ms: the room may come between its
 * sum and its idle bit, from a death or from a worker that blocks. With ROOM = 1
 * this is needed only for processes that are stopped (SLICE = 0 verifies).
 *
 * MUTANTS (-DM_...): PLAINTAKE NOATTEMPT NOANNOUNCE ANNLATE NOREPUB FILLREADY
 *   NOSTRUCTLOCK NOFILL NOMARK NORING KEEPANN COUNTER UNLOCKONLY KEEPINSIDE; and
 *   SLICE = 0 without ROOM
 */
#ifndef NT
#define NT 2
#endif
#ifndef NG
#define NG 4
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef RKILLS
#define RKILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef FS
#define FS 1 /* swaps of the policy, or false suspicions */
#endif
#ifndef BLOCK
#define BLOCK 0 /* 1: task 0 waits for task 1 */
#endif
#ifndef DYN
/* 1: what task 1 waits for is resolved some time later; 2: and task 0 is done */
#define DYN 0
#endif
#ifndef PIECES
#define PIECES 0 /* 1: fill may stop after each record */
#endif
#ifndef SLICE
#define SLICE 4 /* how often a sleeper looks again by itself; 0: never */
#endif
#ifndef ROOM
#define ROOM 0 /* 1: who sets its idle bit then looks whether there is room */
#endif
#ifndef HELD
#define HELD 0 /* 1: a process that is stopped for ever has structure 1 */
#endif
#ifndef LIM
#define LIM 1
#endif
#define NW 2
/* clients: workers 1 and 2, the daemon 3, janitors 4 and 5 */
#define DM 3

#define WAITING 0
#define READY 1
#define RUN 2
#define DONE 3
#define T(a, s, o) (((a) << 4) | ((s) << 2) | (o))
#define AT(x) ((x) >> 4)
#define ST(x) (((x) >> 2) & 3)
#define OW(x) ((x) & 3)
#define ANN(t, a) (128 | ((a) << 4) | (t))
#define ANT(x) ((x) & 15)
#define ANA(x) (((x) >> 4) & 7)

byte tw[NT];
byte ann[NW + 1];
byte cg = 1, ci;                /* cur, one word */
byte lock[NG], q[NG * NT];      /* q: version + 1, 0 not queued */
byte fillat[NG];                /* cursor */
bool filling[NG];
byte board;                     /* bits */
bool idle[NW + 1], rang[NW + 1], asleep[NW + 1], blocked[NW + 1];
/* ghosts */
bool dead[6], stopd[NW + 1];
byte reaped, fs, used, cnt[NT * 4];
bool over[NW + 1];              /* its task was blocked once */
byte ins[NG];                   /* who is inside a structure */
bool resolved = !DYN;           /* what task 1 waits for */
#ifdef M_COUNTER
byte ctr;
#endif

/* does the announcement of j count? */
#define COUNTS(j) \
	(ann[j] && AT(tw[ANT(ann[j])]) == ANA(ann[j]) && \
	 (ST(tw[ANT(ann[j])]) == READY || \
	  (ST(tw[ANT(ann[j])]) == RUN && OW(tw[ANT(ann[j])]) == (j))))

inline ring(i)
{
	atomic { rang[i] = 1; asleep[i] = 0 }
}
/* claim an idle worker's bit, then ring it */
inline wake_one()
{
	atomic {
		if
		:: idle[1] -> idle[1] = 0; k = 1
		:: !idle[1] && idle[2] -> idle[2] = 0; k = 2
		:: else -> k = 0
		fi
	}
	if
	:: k -> ring(k); k = 0
	:: else
	fi
}
/* a new generation after {g0, i0}; by client c; local a */
inline next_gen(c, g0, i0)
{
	atomic {
		/* one that is not current, by its lock */
		if
#ifdef M_NOSTRUCTLOCK
		:: i0 != 0 -> a = 0
		:: i0 != 1 -> a = 1
#else
		/* the first that is free, as the program looks for it */
		:: i0 != 0 && lock[0] == 0 -> a = 0
		:: (i0 == 0 || lock[0]) && i0 != 1 && lock[1] == 0 -> a = 1
#if NG > 2
		:: (i0 == 0 || lock[0]) && (i0 == 1 || lock[1]) && i0 != 2 &&
		   lock[2] == 0 -> a = 2
#endif
#if NG > 3
		:: (i0 == 0 || lock[0]) && (i0 == 1 || lock[1]) &&
		   (i0 == 2 || lock[2]) && i0 != 3 && lock[3] == 0 -> a = 3
#endif
#endif
		:: cg != g0 -> a = NG
		fi;
		if
		:: a < NG ->
#ifndef M_NOSTRUCTLOCK
			lock[a] = c
#endif
		:: else
		fi
	}
	if
	:: a < NG && ci != a ->
		atomic {
			assert(!ins[a] || dead[ins[a]]);
			ins[a] = 0;
			q[a * NT] = 0;
#if NT > 1
			q[a * NT + 1] = 0;
#endif
			fillat[a] = 0
#ifndef M_NOFILL
			; filling[a] = 1
#endif
		}
		atomic {
			if
			:: cg == g0 && ci == i0 -> cg = g0 + 1; ci = a
			:: else
			fi
		}
	:: else
	fi;
	atomic { if :: a < NG && lock[a] == c -> lock[a] = 0 :: else fi; a = 0 }
}
/* evaluate and place t in structure d; inside an atomic: its queue is private */
inline place(t)
{
	if
	:: ST(tw[t]) == WAITING && (t == 0 || resolved) ->
		tw[t] = T(AT(tw[t]), READY, 0)
	:: else
	fi;
	if
	:: ST(tw[t]) == READY -> q[d * NT + t] = AT(tw[t]) + 1
	:: else
	fi
}

proctype worker(byte me)
{
	byte g, d, n, t, x, s, j, k, r, tb;
	bool taken, more;
	{ skip;
turn:
	atomic { taken = 0; more = 0; n = 0; t = 0; x = 0;
		 d = ci; g = cg };
	atomic { if :: lock[d] == 0 -> lock[d] = me
		    :: lock[d] != 0 -> goto busy fi };
	atomic {
		if
		:: cg != g || ci != d ->
			if
			:: lock[d] == me -> lock[d] = 0
			:: else
			fi;
			goto turn
		:: else -> assert(!ins[d]); ins[d] = me
		fi
	}
	/* a piece of fill */
	do
	:: atomic { filling[d] && fillat[d] < NT ->
		t = fillat[d];
#ifdef M_FILLREADY
		if
		:: ST(tw[t]) == READY -> place(t)
		:: else
		fi;
#else
		place(t);
#endif
		t = 0; fillat[d]++;
		if
		:: fillat[d] == NT -> filling[d] = 0; break
#if PIECES
		:: fillat[d] < NT -> break
#endif
		:: fillat[d] < NT
		fi }
	:: atomic { !(filling[d] && fillat[d] < NT) -> break }
	od;
	/* drain */
	atomic { n = board; board = 0 };
	atomic { if :: n & 1 -> place(0) :: else fi };
#if NT > 1
	atomic { if :: n & 2 -> place(1) :: else fi };
#endif
pop:
	atomic {
		t = 0; x = 0; s = 0;
		if
		:: q[d * NT] -> t = 0
#if NT > 1
		:: q[d * NT + 1] -> t = 1
#endif
		:: else -> goto unlock
		fi;
		x = q[d * NT + t] - 1; q[d * NT + t] = 0;
		if
		:: tw[t] == T(x, READY, 0)
		:: else -> goto pop
		fi
	}
#ifdef M_COUNTER
	atomic { if :: ctr < LIM -> ctr++ :: else -> s = LIM; goto nofit fi };
#else
#if !defined(M_NOANNOUNCE) && !defined(M_ANNLATE)
	ann[me] = ANN(t, x);
#endif
	/* what the other one uses */
	atomic { j = 3 - me; r = ann[j] };
	atomic {
		if
		:: r && AT(tw[ANT(r)]) == ANA(r) &&
		   (ST(tw[ANT(r)]) == READY ||
		    (ST(tw[ANT(r)]) == RUN && OW(tw[ANT(r)]) == j)) -> s = 1
		:: else
		fi;
#ifdef M_NOANNOUNCE
		if
		:: ST(tw[0]) == RUN && OW(tw[0]) == j -> s = 1
#if NT > 1
		:: ST(tw[1]) == RUN && OW(tw[1]) == j -> s = 1
#endif
		:: else
		fi;
#endif
		r = 0; j = 0;
		if
		:: s + 1 > LIM -> goto nofit
		:: else -> s = 0
		fi
	}
#ifdef M_ANNLATE
	ann[me] = ANN(t, x);
#endif
#endif
	atomic {
		if
#ifdef M_PLAINTAKE
		:: true ->
#else
		:: tw[t] == T(x, READY, 0) ->
#endif
			tw[t] = T(x, RUN, me); used++; tb = 0; assert(used <= LIM);
			taken = 1; goto unlock
		:: else
		fi
	}
	ann[me] = 0;
#ifdef M_COUNTER
	ctr--;
#endif
	goto pop;
nofit:
	atomic { ann[me] = 0; q[d * NT + t] = x + 1; s = 0 };
unlock:
	atomic { ins[d] = 0; if :: lock[d] == me -> lock[d] = 0 :: else fi };
	if
	:: cg != g || ci != d ->
#ifndef M_NOREPUB
		board = board | n;
#endif
		more = 1
	:: else -> more = filling[d] || board
	fi;
	if
	:: more || q[d * NT] || q[d * NT + NT - 1] -> wake_one()
	:: else
	fi;
	atomic { n = 0; g = 0; d = 0 };
	if
	:: atomic { taken }
	:: atomic { !taken && more -> goto turn }
	:: atomic { !taken && !more -> goto rest }
	fi;
	/* the task runs */
	atomic { taken = 0; more = 0; cnt[t * 4 + x]++;
		 assert(cnt[t * 4 + x] == 1) };
#if BLOCK
	if
	:: t == 0 && ST(tw[1]) != DONE ->
		atomic { blocked[me] = 1; used--; over[me] = 1 };
#ifndef M_KEEPANN
		ann[me] = 0;
#endif
		wake_one();
		atomic { ST(tw[1]) == DONE };
		ann[me] = ANN(t, x);
		blocked[me] = 0
	:: else
	fi;
#endif
	atomic {
		if
		:: tw[t] == T(x, RUN, me) ->
			tw[t] = T(x, DONE, 0);
			if :: !over[me] -> used-- :: else -> over[me] = 0 fi
		:: else -> assert(false)
		fi
	}
	ann[me] = 0;
#ifdef M_COUNTER
	ctr--;
#endif
	goto turn;
rest:
	rang[me] = 0;
	idle[me] = 1;
	/* unfit work does not keep it awake: its finisher looks itself */
	if
	:: board || filling[ci] -> atomic { idle[me] = 0; goto turn }
	:: else
	fi;
#if ROOM
	if
	:: q[ci * NT] || q[ci * NT + NT - 1] ->
		atomic { j = 3 - me; r = ann[j] };
		atomic {
			if
			:: r && AT(tw[ANT(r)]) == ANA(r) &&
			   (ST(tw[ANT(r)]) == READY ||
			    (ST(tw[ANT(r)]) == RUN && OW(tw[ANT(r)]) == j)) ->
				r = 0; j = 0
			:: else -> r = 0; j = 0; idle[me] = 0; goto turn
			fi
		}
	:: else
	fi;
#endif
	atomic { if :: !rang[me] -> asleep[me] = 1 :: else fi };
end_sleep:
	if
	:: atomic { !asleep[me] }
#if SLICE
	/* it looks again after 20 ms: what counts is when that helps */
	:: atomic { asleep[me] && tb < SLICE && !COUNTS(3 - me) &&
		    (q[ci * NT] || q[ci * NT + NT - 1]) ->
		asleep[me] = 0; tb++ }
#if STOPS
	/* and after 500 ms in any case */
	:: atomic { asleep[me] && tb < SLICE && (board || filling[ci]) ->
		asleep[me] = 0; tb++ }
#endif
#endif
	fi;
	atomic { idle[me] = 0; goto turn };
busy:
	atomic { (lock[d] == 0 || cg != g) -> goto turn }
	} unless {
		atomic {
			dead[me] || stopd[me] -> g = 0; d = 0; n = 0; t = 0;
			x = 0; s = 0; j = 0; k = 0; r = 0; tb = 0; taken = 0;
			more = 0; asleep[me] = 0
		}
	}
}

/* swaps the policy, or goes round a holder that is stopped */
proctype daemon()
{
	byte a, g, d, k;
end_daemon:
	do
	:: atomic { fs < FS -> fs++; g = cg; d = ci };
		next_gen(DM, g, d);
		wake_one();
		atomic { g = 0; d = 0 }
	:: atomic { lock[ci] != 0 && lock[ci] <= NW && stopd[lock[ci]] ->
		g = cg; d = ci };
		next_gen(DM, g, d);
		wake_one();
		atomic { g = 0; d = 0 }
	od
}

/* resolves what task 1 waits for */
proctype resolver()
{
	byte k;
	resolved = 1;
	board = board | 2;
	wake_one()
}

#define TODO (dead[1] * 2 + dead[2] * 4 + dead[4] * 16 + dead[5] * 32)
#define INSET(o) ((set >> (o)) & 1)
/* Is a structure but d free? */
#define FREE_1(x, d) (x < NG && x != (d) && lock[x % NG] == 0)
#define FREE_BUT(d) (FREE_1(0, d) || FREE_1(1, d) || FREE_1(2, d) || FREE_1(3, d))
/* structure x of generation g0, whose holder is dead, goes on as the next; by
 * janitor c */
inline in_place(c, x, g0)
{
	atomic { if :: INSET(lock[x]) -> lock[x] = c :: else fi };
	if
	:: lock[x] == c ->
		if
		:: cg == g0 && ci == x ->
			atomic {
				assert(!ins[x] || dead[ins[x]]);
				ins[x] = 0;
				q[x * NT] = 0;
#if NT > 1
				q[x * NT + 1] = 0;
#endif
				fillat[x] = 0;
				filling[x] = 1
			}
			atomic {
				if
				:: cg == g0 && ci == x -> cg = g0 + 1
				:: else
				fi
			}
		:: else
		fi;
		atomic { if :: lock[x] == c -> lock[x] = 0 :: else fi }
	:: else
	fi
}
proctype janitor()
{
	byte me = 4, set, i, a, g, d;
start:
	atomic { set = 0; i = 0; a = 0; g = 0; d = 0; me = 4 + dead[4] };
	{ skip;
end_idle:
	atomic { TODO & ~reaped -> set = TODO & ~reaped };
	do
	:: i < NG ->
		if
		:: lock[i] && INSET(lock[i]) ->
#ifndef M_UNLOCKONLY
			atomic { g = cg; d = ci };
			if
			:: d == i && (FREE_BUT(d) || cg != g) ->
				next_gen(me, g, d)
			:: d == i && !FREE_BUT(d) && cg == g ->
#ifdef M_KEEPINSIDE
				skip
#else
				in_place(me, i, g)
#endif
			:: else
			fi;
#endif
			atomic { if :: INSET(lock[i]) -> lock[i] = 0
				    :: else fi; g = 0; d = 0 }
		:: else
		fi;
		i++
	:: atomic { i >= NG -> i = 0; break }
	od;
	do
	:: atomic { i < NT ->
		if
		:: ST(tw[i]) == RUN && INSET(OW(tw[i])) ->
			if
			:: !over[OW(tw[i])] -> used--
			:: else -> over[OW(tw[i])] = 0
			fi;
#ifdef M_NOATTEMPT
			tw[i] = T(AT(tw[i]), READY, 0)
#else
			tw[i] = T(AT(tw[i]) + 1, READY, 0)
#endif
		:: else
		fi };
#ifndef M_NOMARK
		if
		:: ST(tw[i]) == READY || ST(tw[i]) == WAITING ->
			board = board | (1 << i)
		:: else
		fi;
#endif
		i++
	:: atomic { i >= NT -> i = 0; break }
	od;
	atomic { if :: INSET(1) -> ann[1] = 0; idle[1] = 0; blocked[1] = 0
		    :: else fi;
		 if :: INSET(2) -> ann[2] = 0; idle[2] = 0; blocked[2] = 0
		    :: else fi };
#ifndef M_NORING
	ring(1);
	ring(2);
#endif
	atomic { reaped = reaped | set; set = 0 };
	goto end_idle
	} unless { dead[me] };
	goto start
}

proctype killer()
{
	byte kn, rn, sn;
	do
	:: atomic { kn < KILLS && !dead[1] && !stopd[1] -> dead[1] = 1; kn++ }
	:: atomic { sn < STOPS && !dead[1] && !stopd[1] -> stopd[1] = 1; sn++ }
	:: atomic { rn < RKILLS && kn > 0 && !dead[4] -> dead[4] = 1; rn++ }
	:: break
	od
}

proctype audit()
{
	byte k;
	timeout;
	d_step {
		do
		:: k < NT ->
			if
			:: ST(tw[k]) == READY ->
				assert(used + (stopd[1] && COUNTS(1)) + 1 > LIM)
			:: ST(tw[k]) == RUN -> assert(stopd[OW(tw[k])])
			:: ST(tw[k]) == WAITING -> assert(false)
			:: else
			fi;
			k++
		:: else -> break
		od
	}
}

init {
	atomic {
		/* task 0 is READY, task 1 WAITING */
#if HELD
		lock[1] = 7;
#endif
		tw[0] = T(0, (DYN == 2 -> DONE : READY), 0);
		board = (DYN -> 2 - DYN : (1 << NT) - 1);
		run worker(1); run worker(2); run daemon(); run janitor();
#if DYN
		run resolver();
#endif
		run killer(); run audit()
	}
}
