/* SPDX-License-Identifier: Apache-2.0 */
/*
 * late.pml - a task whose time is over, with another attempt after it, while it is
 * cancelled, dies, or ends (sched/time_limits.c, task_cancel.c, run.c, sched_reap.c).
 * Time is not modelled: the timer may find it late at any moment.
 *
 * PROTOCOL IN WORDS
 *   late      by the daemon. READY: CAS -> RUN(daemon) with LATE and TAKEN; then it
 *             ends. RUN: CAS of the word that was read, with LATE. The children are
 *             left to who ends the attempt: the next may have others.
 *   run       at its end: CANCEL: children, CANCELLED, retired. LATE: children; THEN
 *             CAS of the word as it is -> READY with attempt + 1, without flags; if
 *             none is left: TIMEOUT, retired. An error: the same CAS, without LATE.
 *   janitor   RUN(dead): return resolved: retired. CANCEL, or LATE and TAKEN: ended.
 *             LATE: as who runs it. Else READY with attempt + 1.
 *
 * ASSERTED
 *   (a) LATE is of the attempt that was looked at; what is told to end is never run
 *       again if it was cancelled, nor if its time was over before it ran
 *   (b) no attempt begins while a child of a late one before it lives, and none loses
 *       a child because one before it was late
 *   (c) quiescent: retired, with a result; told before that was decided: CANCELLED
 *
 * MUTANTS (-DM_...): BLINDLATE DAEMONKILLS LOSTCANCEL REAPTAKEN CHILDRENAFTER
 */
#ifndef WKILLS
#define WKILLS 1 /* of a worker, client 3 */
#endif
#ifndef DKILLS
#define DKILLS 1 /* of the daemon, client 1 */
#endif

#define READY 1
#define RUN 2
#define RETIRED 3
#define PENDING 0
#define SEALED 1
#define CANC 2
#define TOUT 3
#define CRASH 4
#define LAST 1 /* attempts: 0 to LAST */

byte st = READY, ow, att, ret;
bool canc, late, taken;
byte child[2]; /* of each attempt: 1 lives, 2 cancelled, 3 over */
/* ghosts */
bool dead[5], told, over, waslate[2];
byte reaped;

inline resolve(how)
{
	atomic {
		if
		:: ret == PENDING -> ret = how;
			/* decided by flags that were read before */
			told = (how == CANC -> told : 0)
		:: else
		fi
	}
}
inline retire(me)
{
	atomic { assert(st == RUN && ow == me); st = RETIRED; ow = 0 }
}
/* of the task, whatever attempt made them: a is who asks */
inline cancel_children(a)
{
	atomic {
		assert(child[0] != 1 || 0 <= a);
		assert(child[1] != 1 || 1 <= a);
		child[0] = (child[0] == 1 -> 2 : child[0]);
		child[1] = (child[1] == 1 -> 2 : child[1])
	}
}

/* RUN of me, or of a dead one, whose attempt a was late or failed: ends it, or puts it
 * back. */
inline put_back(me, a)
{
	do
	:: atomic { v = canc; l = late };
		if
		:: v -> cancel_children(a); resolve(CANC); retire(me); break
		:: !v && (!l || a < LAST) ->
#ifndef M_CHILDRENAFTER
			if
			:: l -> cancel_children(a)
			:: else
			fi;
#endif
			atomic {
				if
#ifdef M_LOSTCANCEL
				:: true ->
#else
				:: canc == v && late == l ->
#endif
					assert(!l || child[a] != 1);
					st = READY; ow = 0; canc = 0; late = 0;
					att = a + 1; k = 1
				:: else
				fi
			}
			if
			:: k -> k = 0; break
			:: else
			fi
		:: else -> cancel_children(a); resolve(TOUT); retire(me); break
		fi
	od;
	v = 0; l = 0
}

proctype canceller()
{
	if
	:: atomic { st == READY -> st = RUN; ow = 2; canc = 1; taken = 1;
		    told = 1 };
		cancel_children(LAST);
		resolve(CANC);
		retire(2)
	:: atomic { st == RUN && !taken -> canc = 1; told = (ret == PENDING) }
	:: atomic { st == RETIRED -> skip }
	fi
}

proctype daemon()
{
	byte k, n, a, o;
	{ do
	:: n < 2 -> n++;
		if
		:: atomic { st == READY -> st = RUN; ow = 1; late = 1; taken = 1;
			    over = 1 };
			cancel_children(LAST);
			resolve(TOUT);
			retire(1); break
		:: atomic { st == RUN && !taken && !late -> a = att; o = ow };
			atomic {
				if
#ifdef M_BLINDLATE
				:: st == RUN && !taken ->
#else
				:: st == RUN && !taken && att == a && ow == o ->
#endif
					assert(att == a);
					waslate[a] = 1; late = 1; k = 1
				:: else
				fi
			}
#ifdef M_DAEMONKILLS
			if
			:: k -> cancel_children(a)
			:: else
			fi;
#endif
			atomic { k = 0; a = 0; o = 0 }
		:: break
		fi
	:: else -> break
	od
	} unless { dead[1] }
}

proctype worker(byte me)
{
	byte k, a;
	bool v, l;
	{ skip;
end_turn:
	atomic {
		st == READY -> assert(!told && !over);
		st = RUN; ow = me; a = att;
		assert(a == 0 || !waslate[a - 1] || child[a - 1] != 1)
	}
	if
	:: child[a] = 1
	:: skip
	fi;
	atomic { v = canc; l = late };
	if
	:: v -> cancel_children(a); resolve(CANC); retire(me)
	:: !v && l -> put_back(me, a)
	:: !v && !l ->
		if
		:: a < LAST -> put_back(me, a) /* an error that is retried */
		:: atomic { ret = (ret == PENDING -> SEALED : ret); told = 0;
			    child[a] = (child[a] == 1 -> 3 : child[a]) };
			retire(me)
		fi
	fi;
	atomic { a = 0; v = 0; l = 0; goto end_turn }
	} unless { dead[me] }
}

proctype janitor()
{
	byte k, d;
	bool v, l;
end_idle:
	atomic {
		(dead[1] && !(reaped & 2)) || (dead[3] && !(reaped & 8)) ->
		d = (dead[1] && !(reaped & 2) -> 1 : 3)
	}
	if
	:: st == RUN && ow == d && ret != PENDING -> retire(d)
	:: st == RUN && ow == d && ret == PENDING ->
		if
#ifndef M_REAPTAKEN
		:: taken -> cancel_children(LAST); resolve((canc -> CANC : TOUT));
			retire(d)
		:: !taken && (canc || late || att < LAST) -> put_back(d, att)
#else
		:: canc || late || att < LAST -> put_back(d, att)
#endif
		:: else -> resolve(CRASH); retire(d)
		fi
	:: else
	fi;
	atomic { reaped = reaped | (1 << d); d = 0; goto end_idle }
}

proctype killer()
{
	byte x, n;
	do
	:: atomic { x < DKILLS && !dead[1] -> dead[1] = 1; x++ }
	:: atomic { n < WKILLS && !dead[3] -> dead[3] = 1; n++ }
	:: break
	od
}

proctype audit()
{
	timeout;
	assert(st == RETIRED && ret != PENDING);
	assert(!told || ret == CANC)
}

init {
	atomic {
		run canceller(); run daemon(); run worker(3); run worker(4);
		run janitor(); run killer(); run audit()
	}
}
