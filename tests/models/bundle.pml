/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.pml - several tasks that a worker takes in one go (sched/bundle.c, fit.c,
 * domain.c). Queues, lock and board are one word each here: take_gen.pml and
 * submit.pml have them whole. All tasks are tiny; whether a bundle is old enough to be
 * looked at by others is not modelled: it may be at any moment.
 *
 * PROTOCOL IN WORDS
 *   turn      under the lock of the domain: how many workers there are, written; the
 *             board drained into the queue; one taken: announced, summed unless there
 *             are no more workers than may run, CAS READY -> RUN(me). Some more out of
 *             the queue, each into the own bundle.
 *   next      e = the next of the own bundle; announce e; THEN how many workers there
 *             are; more than may run: sum; CAS READY of that version -> RUN(me), else
 *             withdraw and mark it on the board; THEN out of the bundle.
 *   others    READY of that version in the bundle of another: marked on the board.
 *             Nothing is written to the bundle.
 *   janitor   RUN(dead) -> READY, version + 1; every READY one is marked.
 *
 * ASSERTED
 *   (a) no version runs twice
 *   (b) no more run than may, also when a worker comes that is one too many
 *   (c) quiescent: all done but what the one that is stopped runs
 *
 * MUTANTS (-DM_...): NOOTHERS OUTFIRST LOOKFIRST NOMARK NOBACK NOVERSION
 */
#ifndef KILLS
#define KILLS 1 /* of worker 0 or 1 */
#endif
#ifndef STOPS
#define STOPS 1 /* for ever, but not under the lock */
#endif
#ifndef COMES
#define COMES 1 /* a third worker, when it likes */
#endif
#ifndef NT
#define NT 3 /* at most 4 */
#endif
#define NW 3
#define MAY 2  /* run at once */
#ifndef ROOM
#define ROOM 2 /* of a bundle */
#endif

#define READY 0
#define RUN 1
#define DONE 2

byte st[4], ow[4], ver[4]; /* of tasks that there are not: 0 */
bool queued[4], board[4];
byte bundle[NW * ROOM]; /* 0, or version * NT + task + 1 */
byte ann[NW];           /* likewise */
byte lock, up = 2;
bool dead[NW], gone[NW], stopped[NW], come; /* gone: reaped, too */
byte kills = KILLS, stops = STOPS;
/* ghosts */
byte ran[NT * 2], running, done;

#define ENTRY(t) (ver[t] * NT + (t) + 1)
#define TASK(e) (((e) - 1) % NT)
#define IS_READY(e) (st[TASK(e)] == READY && ENTRY(TASK(e)) == (e))
/* Of what another announces: it counts while it runs it, or may still take it. */
#define COUNTS(w) (ann[w] != 0 && \
	(IS_READY(ann[w]) || (st[TASK(ann[w])] == RUN && ow[TASK(ann[w])] == (w))))
#define OVER (done == NT)

/* Announced already. took: it runs. */
inline take(e)
{
	sum = 0;
	if
	:: look ->
		j = 0;
		do
		:: j < NW -> sum = sum + (j != me && COUNTS(j)); j++
		:: else -> break
		od
	:: else
	fi;
	atomic {
		if
#ifdef M_NOVERSION
		:: sum < MAY && st[TASK(e)] != DONE ->
#else
		:: sum < MAY && IS_READY(e) ->
#endif
			st[TASK(e)] = RUN; ow[TASK(e)] = me; took = 1;
			ran[ver[TASK(e)] * NT + TASK(e)]++;
			assert(ran[ver[TASK(e)] * NT + TASK(e)] == 1);
			running++;
			assert(running <= MAY)
		:: else -> took = 0
		fi
	};
	if
	:: !took -> ann[me] = 0
	:: else
	fi
}

inline finish(e)
{
	/* Done, unless it was killed before. */
	atomic { st[TASK(e)] = DONE; running--; done++ };
	ann[me] = 0
}

inline turn()
{
	d_step {
		up = !gone[0] + !gone[1] + come;
		look = up > MAY
	};
	d_step {
		t = 0;
		do
		:: t < NT -> queued[t] = queued[t] || (board[t] && st[t] == READY);
			board[t] = 0; t++
		:: else -> break
		od;
		t = 0
	};
	/* The first one that is queued. */
	t = (queued[0] -> 0 : (queued[1] -> 1 : (queued[2] -> 2 : (queued[3] -> 3 : NT))));
	e = 0;
	if
	:: t < NT ->
		queued[t] = 0;
		e = ENTRY(t);
		ann[me] = e;
		take(e);
		if
		:: !took && IS_READY(e) -> queued[t] = 1; e = 0
		:: !took && !IS_READY(e) -> e = 0
		:: else
		fi;
		/* Some more. */
		do
		:: took && !look && end < ROOM &&
		   (queued[0] || queued[1] || queued[2] || queued[3]) ->
			t = (queued[0] -> 0 : (queued[1] -> 1 : (queued[2] -> 2 : 3)));
			queued[t] = 0;
			bundle[me * ROOM + end] = ENTRY(t);
			end++
		:: else -> break
		od
	:: else
	fi;
	atomic { took = 0; look = 0; t = 0 };
	lock = 0;
	if
	:: e != 0 -> finish(e)
	:: else
	fi;
	e = 0
}

inline next_own()
{
	e = bundle[me * ROOM + next];
#ifdef M_OUTFIRST
	bundle[me * ROOM + next] = 0;
#endif
#ifdef M_LOOKFIRST
	look = up > MAY;
	ann[me] = e;
#else
	ann[me] = e;
	look = up > MAY;
#endif
	take(e);
	if
#ifndef M_NOBACK
	:: !took -> board[TASK(e)] = 1
#endif
	:: else
	fi;
	bundle[me * ROOM + next] = 0;
	next++;
	if
	:: next == end -> next = 0; end = 0
	:: else
	fi;
	look = 0;
	if
	:: took -> took = 0; finish(e)
	:: else
	fi;
	e = 0
}

/* What is in the bundle of another. */
#define THEIRS(i) (bundle[i] != 0 && (i) / ROOM != me && !gone[(i) / ROOM] && \
	IS_READY(bundle[i]) && !board[TASK(bundle[i])] && !queued[TASK(bundle[i])])
#if ROOM > 1
#define THEIR_SOME (THEIRS(0) || THEIRS(1) || THEIRS(2) || THEIRS(3) || THEIRS(4) || \
	THEIRS(5))
#else
#define THEIR_SOME (THEIRS(0) || THEIRS(1) || THEIRS(2))
#endif
inline others()
{
	if
	:: THEIRS(0) -> t = TASK(bundle[0])
	:: THEIRS(1) -> t = TASK(bundle[1])
	:: THEIRS(2) -> t = TASK(bundle[2])
#if ROOM > 1
	:: THEIRS(3) -> t = TASK(bundle[3])
	:: THEIRS(4) -> t = TASK(bundle[4])
	:: THEIRS(5) -> t = TASK(bundle[5])
#endif
	fi
}

#define MARKED (board[0] || board[1] || board[2] || board[3])
#define QUEUED (queued[0] || queued[1] || queued[2] || queued[3])
#define SOME (MARKED || QUEUED)

proctype worker(byte me)
{
	byte next, end, e, t, j, sum;
	bool look, took;

	if
	:: me == 2 -> come = 1 /* from here on it may count itself */
	:: else
	fi;
end_worker:
	do
	:: next < end -> next_own()
	:: next == end && SOME && lock == 0 -> atomic { lock == 0 -> lock = me + 1 };
		turn()
#ifndef M_NOOTHERS
	:: atomic { next == end && !SOME &&
		THEIR_SOME -> others() };
		board[t] = 1;
		t = 0
#endif
	:: OVER -> break
	od unless { dead[me] || stopped[me] }
}

proctype killer()
{
	byte k, t;

end_killer:
	do
	:: atomic { kills && !OVER && !dead[0] -> dead[0] = 1; kills-- }; k = 0; break
	:: atomic { kills && !OVER && !dead[1] -> dead[1] = 1; kills-- }; k = 1; break
	od;
	/* The janitor. */
	do
	:: t < NT ->
		atomic {
			if
			:: st[t] == RUN && ow[t] == k ->
				st[t] = READY; ver[t] = ver[t] + 1; running--
			:: else
			fi
		};
#ifndef M_NOMARK
		if
		:: st[t] == READY -> board[t] = 1
		:: else
		fi;
#endif
		t++
	:: else -> break
	od;
	ann[k] = 0;
	atomic {
		if
		:: lock == k + 1 -> lock = 0
		:: else
		fi
	};
	gone[k] = 1
}

proctype stopper()
{
end_stopper:
	do
	:: atomic { stops && !dead[1] && !stopped[1] && lock != 2 ->
		    stopped[1] = 1; stops-- }; break
	od
}

proctype judge()
{
end_judge:
	timeout ->
	end_none:
		(!gone[0] || !stopped[1] || come);
		assert(OVER || (done == NT - 1 && running == 1 && stopped[1]))
}

init
{
	atomic {
		board[0] = 1; board[1] = 1; board[2] = 1;
		board[3] = NT > 3;
		run worker(0);
		run worker(1);
#if COMES
		run worker(2);
#endif
		run killer();
		run stopper();
		run judge()
	}
}
