/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.pml - the nodes of runs that overlap: lanes, a channel with two readers, runners
 * that die (sched/graph_queue.c, graph_run.c, graph_start.c). A reads the channel, B reads
 * A and writes the channel, C reads the channel; B and C are the ends. Runner 0 dies
 * KILLS times; WINDOW runs are in flight. B of run BAD fails, unless that is 0. The bits
 * of nodes that are READY are left out: a runner looks at the nodes, of which they are
 * made. crew.pml has how runners sleep and leave.
 *
 * PROTOCOL IN WORDS
 *   begin    what A and C read; THEN the number of the run into the lane.
 *   run      CAS READY -> RUN, if the node is of the run that the lane has; the value;
 *            THEN DONE; or the error, THEN FAILED; THEN what follows.
 *   follow   the readers in the next lane; THEN those in this one, or its end.
 *            arrive: a CAS, unless the word is of a newer run, or has the input.
 *   attempt  what it RUNs is READY again; what is DONE is followed, in lanes at work.
 *
 * ASSERTED what is read is whole, of the right run, and stays while it is read; when a
 * node is FAILED there is an error; runs end right; nobody waits for ever.
 *
 * MUTANTS (-DM_...): INRUNFIRST NOLANE NOREDO NOFOLLOW ERRLATE OLDARRIVE ANYRUN DONEFIRST
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef RUNS
#define RUNS 3
#endif
#ifndef WINDOW
#define WINDOW 2
#endif
#ifndef BAD
#define BAD 0
#endif
#ifdef M_NOLANE
#define LANES WINDOW
#else
#define LANES (WINDOW + 1)
#endif
#define A 0
#define B 1
#define C 2
#define NODES 3
#define WAITING 0
#define READY 1
#define RUN 2
#define DONE 3
#define FAILED 4
#define NODE(l, i) node[(l) * NODES + (i)]
#define AFTER(l) (((l) + 1) % LANES)
#define BEFORE(l) (((l) + LANES - 1) % LANES)
#define AT_WORK(l) (lane[l].no != lane[l].done)

typedef Node { byte no; byte state; bool by; bool bad };
typedef Lane {
	byte no, done, failed; /* numbers of runs */
	byte va, vb;            /* values: of which run; 0: being written */
	byte ends_run, ends;
	bool set                /* what was set is read, not the lane before */
};
Node node[9];
Lane lane[3];
bool die;
byte kills = KILLS;
byte started, waited;

inline arrive(l, i, r, f)
{
	d_step {
		made = 0;
		if
#ifndef M_OLDARRIVE
		:: NODE(l, i).no > r
#endif
		:: NODE(l, i).no == r && NODE(l, i).state != WAITING
		:: else ->
			NODE(l, i).no = r;
			NODE(l, i).bad = f;
			NODE(l, i).state = READY;
			made = 1
		fi
	}
}

inline reach(l, i, r)
{
	d_step {
		made = 0;
		if
		:: lane[l].ends_run > r
		:: else ->
			if
			:: lane[l].ends_run != r ->
				lane[l].ends_run = r;
				lane[l].ends = 0
			:: else
			fi;
			lane[l].ends = lane[l].ends | i;
			made = (lane[l].ends == 3)
		fi
	};
	if
	:: made ->
		d_step {
			if
			:: lane[l].done < r -> lane[l].done = r
			:: else
			fi
		}
	:: else
	fi
}

inline tell_next(l, r, f)
{
	arrive(AFTER(l), A, r + 1, f);
	arrive(AFTER(l), C, r + 1, f)
}

/* What follows from node i, in the state s. */
inline follow(l, i, r, s)
{
	if
	:: i == A ->
		arrive(l, B, r, (s == FAILED))
	:: i == B ->
#ifdef M_INRUNFIRST
		reach(l, 1, r);
		tell_next(l, r, (s == FAILED))
#else
		tell_next(l, r, (s == FAILED));
		reach(l, 1, r)
#endif
	:: i == C -> reach(l, 2, r)
	fi
}

#define READS_BAD(l, i) (NODE(l, i).bad && (i == B || !lane[l].set))

inline call(l, i, r)
{
	if
	:: READS_BAD(l, i) ->
		assert(lane[l].failed == r ||
		       (i != B && lane[BEFORE(l)].failed == r - 1));
		lane[l].failed = r;
		s = FAILED
	:: !READS_BAD(l, i) && i == B && r == BAD ->
#ifndef M_ERRLATE
		lane[l].failed = r;
#endif
		s = FAILED
	:: else ->
#ifdef M_DONEFIRST
		NODE(l, i).state = DONE;
#endif
		if
		:: i == A ->
			assert(lane[l].set || lane[BEFORE(l)].vb == r - 1);
			lane[l].va = 0;
			lane[l].va = r
		:: i == B ->
			assert(lane[l].va == r);
			lane[l].vb = 0;
			lane[l].vb = r
		:: i == C ->
			assert(lane[l].set || lane[BEFORE(l)].vb == r - 1);
			/* all the while */
			assert(lane[l].set || lane[BEFORE(l)].vb == r - 1)
		fi;
		s = DONE
	fi;
	NODE(l, i).state = s;
	follow(l, i, r, s);
#ifdef M_ERRLATE
	if
	:: i == B && r == BAD -> lane[l].failed = r
	:: else
	fi
#endif
}

#ifdef M_ANYRUN
#define FREE(l, i) (NODE(l, i).state == READY)
#else
#define FREE(l, i)                                                             \
	(NODE(l, i).state == READY && NODE(l, i).no == lane[l].no)
#endif

#define MAY(l, i)                                                              \
	FREE(l, i) -> NODE(l, i).state = RUN; NODE(l, i).by = me;              \
	r = NODE(l, i).no

inline select_free()
{
	if
	:: MAY(0, A); l = 0; i = A
	:: MAY(0, B); l = 0; i = B
	:: MAY(0, C); l = 0; i = C
	:: MAY(1, A); l = 1; i = A
	:: MAY(1, B); l = 1; i = B
	:: MAY(1, C); l = 1; i = C
#if WINDOW > 1 && !defined(M_NOLANE)
	:: MAY(2, A); l = 2; i = A
	:: MAY(2, B); l = 2; i = B
	:: MAY(2, C); l = 2; i = C
#endif
	fi
}

inline recover()
{
	l = 0;
	do
	:: l < LANES ->
		r = lane[l].no;
		if
		:: AT_WORK(l) ->
			i = 0;
			do
			:: i < NODES ->
				/* its word */
				d_step {
					s = NODE(l, i).state;
					mine = NODE(l, i).by == me;
					made = NODE(l, i).no == r
				};
				if
				:: made && s == RUN && mine ->
#ifndef M_NOREDO
					NODE(l, i).state = READY
#else
					skip
#endif
				:: made && s >= DONE ->
#ifndef M_NOFOLLOW
					follow(l, i, r, s)
#else
					skip
#endif
				:: else
				fi;
				i++
			:: else -> break
			od
		:: else
		fi;
		l++
	:: else -> break
	od;
	l = 0; i = 0; r = 0; s = 0; made = 0; mine = 0
}

/* Runner `me`. */
proctype runner(bool me; bool again)
{
	byte l, i, r, s;
	bool made, mine;
	{
	if
	:: again -> recover()
	:: else
	fi;
	do
	:: atomic { select_free() };
		call(l, i, r);
		d_step { i = 0; l = 0; r = 0; s = 0; made = 0 }
	:: waited == RUNS -> break
	od
	} unless { atomic { me == 0 && die -> die = 0; run runner(0, 1) } }
}

proctype driver()
{
	byte l, r;
	bool made;

	do
	:: started < RUNS && started - waited < WINDOW ->
		r = started + 1;
		l = r % LANES;
		lane[l].set = (r == 1);
		if
		:: r == 1 -> arrive(l, A, r, 0); arrive(l, C, r, 0)
		:: else
		fi;
		lane[l].no = r;
		started = r
	:: started > waited && lane[(waited + 1) % LANES].done == waited + 1 ->
		r = waited + 1;
		l = r % LANES;
		if
		:: BAD && r >= BAD -> assert(lane[l].failed == r)
		:: else -> assert(lane[l].vb == r && lane[l].failed != r)
		fi;
		waited = r
	:: waited == RUNS -> break
	od
}

proctype killer()
{
end_idle:
	do
	:: atomic { kills > 0 && !die && waited < RUNS -> kills--; die = 1 }
	:: waited == RUNS && !die -> break
	od
}

init
{
	atomic { run driver(); run killer(); run runner(0, 0); run runner(1, 0) }
}
