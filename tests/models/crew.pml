/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew.pml - the runners of a graph: how they share what can run, sleep, leave, and are
 * there again (sched/graph_run.c, graph_queue.c, graph_start.c). replay.pml has the
 * values, channels and errors.
 *
 *   root --> KIDS kids, which are the ends; RUNS runs, WINDOW in flight, each in a lane
 *
 * So that a sleeper whom nobody wakes is a deadlock, and not only a loss of time, calls
 * wait for each other. MEET=1: a kid's until all kids of the run are called. MEET=2: the
 * root's of run 1 until that of run 2 is called, which lasts until the driver has had run
 * 1. Sleeps end when they are woken, not after a while.
 *
 * PROTOCOL IN WORDS
 *   run      a node of the hand: CAS READY -> RUN; the call; DONE; what follows is READY,
 *            and in the hand; THEN is anybody hungry: half of the hand gets bits, bell.
 *   await    take half of the bits; none: hungry; THEN the bell is read, THEN look: all
 *            that is READY gets a bit, in whose hand ever; none: leave or sleep.
 *   leave    the crew is read, THEN the lanes: all done: hungry off, THEN CAS out of the
 *            crew, which fails if a run has begun.
 *   sleep    take once more; sleep if the bell is as it was read.
 *   over     the last end: done; THEN bell; THEN the crew: WANTED, and that run is done:
 *            the hand gets bits, bell, CAS out of the crew, WANTED with it.
 *   start    the number of the run into the lane, bits; THEN into the crew; THEN bell; THEN
 *            who is not in the crew is submitted: turn, begun off, into the crew.
 *   wait     who is missing is submitted; wanted; WANTED; THEN done? else sleep until a
 *            runner ends.
 *   attempt  not of this turn, or not in the crew: ends. It had begun: hungry off; what it
 *            RUNs is READY, what is DONE is followed; look; bell; as if a run were over.
 *
 * ASSERTED nobody waits for ever: the driver gets every run, all runners leave in the end,
 * calls that wait for each other meet; a node is not called twice at once.
 *
 * MUTANTS (-DM_...): LOOKFIRST (looks before it is hungry) BELLLATE (reads the bell after
 *   the look) BELLLAST (and after it has tried to take) NOSHARE NOSHAREBELL STAYSHUNGRY
 *   (hungry goes off after it has left) NOSTAMP (a run does not show in the crew) NOBELL
 *   (of start) NOOVERBELL WANTEDLATE (done is looked at first) NOREFOLLOW NOREBELL
 *   (the attempt does not follow what is DONE, does not ring). With KILLS only mutants
 *   are looked for: all states are too many.
 */
#ifndef R
#define R 2
#endif
#ifndef KIDS
#define KIDS 2
#endif
#ifndef RUNS
#define RUNS 2
#endif
#ifndef WINDOW
#define WINDOW 1
#endif
#ifndef MEET
#define MEET 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef POLL
#define POLL 0 /* the driver does something else until a run is done */
#endif
#ifndef OTHER
#define OTHER 0 /* one more runner, who takes a kid from wherever it is, once */
#endif
#define NK (1 + KIDS)
#define N (NK * WINDOW)
#define BIT(i) (1 << (i))
#define ALL (BIT(R) - 1)
#define LANE(n) ((n) / NK)
#define ROOT(l) ((l) * NK)
#define KIDS_OF(l) (((1 << KIDS) - 1) << (ROOT(l) + 1))
#define NODES_OF(l) (((1 << NK) - 1) << ROOT(l))
#define AT_WORK(l) (no[l] != done[l])
#if WINDOW == 1
#define HAS_WORK AT_WORK(0)
#define AVAILABLE (AT_WORK(0) -> bits : 0)
#else
#define HAS_WORK (AT_WORK(0) || AT_WORK(1))
#define AVAILABLE (AT_WORK(0) && (bits & NODES_OF(0)) -> bits & NODES_OF(0) : \
		   (AT_WORK(1) -> bits & NODES_OF(1) : 0))
#endif
#define WAITING 0
#define READY 1
#define RUN 2
#define DONE 3

byte no[WINDOW], done[WINDOW], ends_run[WINDOW], ends[WINDOW];
byte st[N], of_run[N], by[N];
byte bits, hungry, rung, begun, wanted;
byte crew, stamp; /* one word */
bool want;        /* of it, too */
byte turn[R];
bool held[R], res[R]; /* results: of the driver, resolved */
byte started, waited, kills = KILLS, die;
byte met, in_call; /* ghosts */

#define COUNT(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1) + (((x) >> 3) & 1))

/* The lowest `c` of x into `to`. */
inline lowest(x, to)
{
	k = 0;
	do
	:: c > 0 && ((x) >> k) & 1 -> to = to | BIT(k); c--; k++
	:: c > 0 && !(((x) >> k) & 1) -> k++
	:: c == 0 -> break
	od;
	k = 0
}

inline take()
{
	d_step {
		w = AVAILABLE;
		c = (COUNT(w) + 1) / 2;
		lowest(w, hand);
		bits = bits & ~hand;
		w = 0
	}
}

inline offer(n_of)
{
	d_step {
		w = 0;
		c = n_of;
		lowest(hand, w);
		bits = bits | w;
		hand = hand & ~w;
		w = 0
	}
}

/* The bell is another than all have read. */
#define RING rung = ALL

/* What follows from n of run r. */
inline follow()
{
	if
	:: n == ROOT(LANE(n)) ->
		i = 1;
		do
		:: i <= KIDS ->
			d_step {
				if
				:: of_run[n + i] < r || of_run[n + i] == r && st[n + i] == WAITING ->
					of_run[n + i] = r;
					st[n + i] = READY;
					hand = hand | BIT(n + i)
				:: else
				fi
			};
			i++
		:: else -> break
		od;
		i = 0
	:: else ->
		d_step {
			c = 0;
			if
			:: ends_run[LANE(n)] > r
			:: else ->
				if
				:: ends_run[LANE(n)] < r ->
					ends_run[LANE(n)] = r;
					ends[LANE(n)] = 0
				:: else
				fi;
				ends[LANE(n)] = ends[LANE(n)] | BIT(n);
				c = (ends[LANE(n)] == KIDS_OF(LANE(n)))
			fi
		};
		if
		:: c ->
			d_step {
				if
				:: done[LANE(n)] < r -> done[LANE(n)] = r
				:: else
				fi;
				c = 0
			};
			ended = 1;
#ifndef M_NOOVERBELL
			RING
#endif
		:: else
		fi
	fi
}

inline look()
{
	i = 0;
	do
	:: i < N ->
		d_step {
			if
			:: AT_WORK(LANE(i)) && of_run[i] == no[LANE(i)] && st[i] == READY ->
				bits = bits | BIT(i);
				found = 1
			:: else
			fi;
			i++
		}
	:: else -> break
	od;
	i = 0
}

#if MEET == 1
#define MAY_END(n)                                                             \
	((n) == ROOT(LANE(n)) || (met & KIDS_OF(LANE(n))) == KIDS_OF(LANE(n)))
#else
/* Run 1 is in lane 1. */
#define MAY_END(n)                                                             \
	((n) == ROOT(1) -> met & BIT(ROOT(0)) : \
	 ((n) == ROOT(0) -> waited >= 1 : 1))
#endif

/* Runner `me` of turn t. */
proctype runner(byte me, t)
{
	byte hand, n, i, k, c, w, ws, r;
	bool found, ended, ww;
	{
	atomic {
		if
		:: !(crew & BIT(me)) || turn[me] != t -> goto out
		:: else
		fi
	}
	atomic {
		found = (begun >> me) & 1;
		begun = begun | BIT(me)
	}
	if
	:: !found -> goto loop
	:: else -> found = 0
	fi;
	/* recover */
	hungry = hungry & ~BIT(me);
	n = 0;
	do
	:: n < N ->
		atomic {
			r = no[LANE(n)];
			c = (AT_WORK(LANE(n)) && of_run[n] == r -> st[n] : WAITING);
			if
			:: c == RUN && by[n] != me -> c = WAITING
			:: else
			fi
		}
		if
		:: c == RUN ->
			atomic { in_call = in_call & ~BIT(n); st[n] = READY; c = 0 }
		:: c == DONE ->
#ifndef M_NOREFOLLOW
			follow()
#else
			skip
#endif
		:: else
		fi;
		c = 0;
		n++
	:: else -> break
	od;
	n = 0;
	look();
	found = 0;
#ifndef M_NOREBELL
	RING;
#endif
	ended = 1;
loop:
	if
	:: ended -> goto over
	:: !ended && hand == 0 -> goto await
	:: else
	fi;
	/* run a node */
	atomic {
		if
		:: hand & 1 -> n = 0
		:: hand & 2 -> n = 1
		:: hand & 4 -> n = 2
		:: hand & 8 -> n = 3
		fi;
		hand = hand & ~BIT(n)
	}
	atomic {
		r = of_run[n];
		if
		:: st[n] == READY && r == no[LANE(n)] ->
			st[n] = RUN;
			by[n] = me;
			met = met | BIT(n);
			assert(!(in_call & BIT(n)));
			in_call = in_call | BIT(n)
		:: else -> n = 0; r = 0; goto share
		fi
	}
	MAY_END(n);
	atomic { in_call = in_call & ~BIT(n); st[n] = DONE; by[n] = 0 };
	follow();
	atomic { n = 0; r = 0 }
share:
#ifndef M_NOSHARE
	if
	:: COUNT(hand) > 1 && hungry ->
		offer(COUNT(hand) / 2);
#ifndef M_NOSHAREBELL
		RING
#endif
	:: else
	fi;
#endif
	goto loop;

over:
	atomic {
		ended = 0;
		w = crew;
		ws = stamp;
		ww = want
	}
o_again:
	if
	:: !ww || done[wanted % WINDOW] != wanted -> w = 0; ws = 0; ww = 0; goto loop
	:: else
	fi;
	if
	:: hand -> atomic { bits = bits | hand; hand = 0 }; RING
	:: else
	fi;
	atomic {
		if
		:: crew == w && stamp == ws && want == ww ->
			crew = crew & ~BIT(me);
			want = 0;
			goto out
		:: else -> w = crew; ws = stamp; ww = want; goto o_again
		fi
	}

await:
	take();
	if
	:: hand -> goto loop
	:: else
	fi;
#ifdef M_LOOKFIRST
	look();
#endif
	hungry = hungry | BIT(me);
#if !defined(M_BELLLATE) && !defined(M_BELLLAST)
	rung = rung & ~BIT(me);
#endif
	take();
	if
	:: hand -> goto fed
	:: else
	fi;
#ifndef M_LOOKFIRST
	look();
#endif
	if
	:: found -> found = 0; goto fed
	:: else
	fi;
	atomic { w = crew; ws = stamp; ww = want };
	if
	:: HAS_WORK -> w = 0; ws = 0; ww = 0; goto sleep
	:: else
	fi;
#ifndef M_STAYSHUNGRY
	hungry = hungry & ~BIT(me);
#endif
	atomic {
		if
		:: crew == w && stamp == ws && want == ww ->
			crew = crew & ~BIT(me);
#ifdef M_STAYSHUNGRY
			goto off
#else
			goto out
#endif
		:: else -> w = 0; ws = 0; ww = 0; goto fed
		fi
	}
#ifdef M_STAYSHUNGRY
off:	hungry = hungry & ~BIT(me);
	goto out;
#endif
sleep:
#ifdef M_BELLLATE
	rung = rung & ~BIT(me);
#endif
	if
	:: HAS_WORK -> take()
	:: else -> goto fed
	fi;
#ifdef M_BELLLAST
	rung = rung & ~BIT(me);
#endif
	if
	:: hand
	:: hand == 0 && (rung >> me) & 1
	fi;
fed:
	atomic { hungry = hungry & ~BIT(me); goto loop };
out:
	atomic {
		hand = 0; w = 0; ws = 0; ww = 0; ended = 0;
		if
		:: turn[me] == t -> res[me] = 1
		:: else
		fi
	}
	}
#if KILLS
	unless {
		atomic {
			die == me + 1 -> die = 0;
			hand = 0; n = 0; i = 0; k = 0; c = 0; w = 0; ws = 0; r = 0;
			found = 0; ended = 0; ww = 0;
			run runner(me, t)
		}
	}
#endif
}

/* Submits those that are missing; of a first run none is of an earlier turn. */
inline man_all()
{
	l = 0;
	do
	:: l < R ->
		if
		:: crew & BIT(l)
		:: else ->
			d_step { held[l] = 0; res[l] = 0; turn[l] = turn[l] + 1 };
			begun = begun & ~BIT(l);
			crew = crew | BIT(l);
			atomic { held[l] = 1; run runner(l, turn[l]) }
		fi;
		l++
	:: else -> break
	od;
	l = 0;
}

proctype driver()
{
	byte l, i;

	goto begin;

	/* Those that are missing; then as `i` says. */
man:
#if RUNS == 1
	atomic { man_all() }
#else
	man_all();
#endif
	if
	:: i == 1 -> i = 0; goto begun_one
	:: i == 2 -> i = 0; goto manned
	:: i == 3 -> i = 0; goto begin
	fi;

begin:
	if
	:: started == RUNS || started - waited == WINDOW -> goto wait
	:: else
	fi;
	atomic {
		l = (started + 1) % WINDOW;
		met = met & ~NODES_OF(l);
		of_run[ROOT(l)] = started + 1;
		st[ROOT(l)] = READY
	}
	no[l] = started + 1;
	bits = bits | BIT(ROOT(l));
	l = 0;
#ifndef M_NOSTAMP
	stamp = started + 1;
#endif
#ifndef M_NOBELL
	RING;
#endif
	i = 1;
	goto man;
begun_one:
	started++;
	goto begin;

wait:
	l = 0;
	if
	:: waited == RUNS -> goto end
	:: POLL && waited < RUNS -> done[(waited + 1) % WINDOW] == waited + 1; goto got
	:: else
	fi;
w_again:
	if
	:: done[(waited + 1) % WINDOW] == waited + 1 -> goto got
	:: else
	fi;
	/* collect */
	d_step {
		do
		:: l < R ->
			if
			:: held[l] && res[l] -> held[l] = 0; res[l] = 0
			:: else
			fi;
			l++
		:: else -> break
		od;
		l = 0;
		i = 2
	}
	goto man;
manned:
	wanted = waited + 1;
#ifndef M_WANTEDLATE
	want = 1;
#endif
	if
	:: done[(waited + 1) % WINDOW] == waited + 1
	:: else ->
#ifdef M_WANTEDLATE
		want = 1;
#endif
#if R == 2
		held[0] && res[0] || held[1] && res[1]
#else
		held[0] && res[0] || held[1] && res[1] || held[2] && res[2]
#endif
	fi;
	want = 0;
	goto w_again;
got:
	waited++;
	if
	:: started > waited -> i = 3; goto man
	:: else -> goto begin
	fi;
end:
	skip
}

#if OTHER
proctype other()
{
	byte n, i, r, c, hand;
	bool ended;

	atomic {
		if
		:: st[1] == READY -> n = 1
		:: st[2] == READY -> n = 2
		:: st[3] == READY -> n = 3
		fi;
		st[n] = RUN;
		by[n] = R;
		r = of_run[n];
		met = met | BIT(n);
		bits = bits & ~BIT(n)
	}
	MAY_END(n);
	atomic { st[n] = DONE; by[n] = 0 };
	follow()
}
#endif

proctype killer()
{
	do
	:: atomic { kills > 0 && die == 0 -> kills--; die = 1 }
	:: atomic { kills > 0 && die == 0 -> kills--; die = 2 }
	:: break
	od
}

init
{
	atomic {
		run driver();
#if OTHER
		run other();
#endif
		if
		:: KILLS -> run killer()
		:: else
		fi
	}
}
