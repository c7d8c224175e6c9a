/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cancel.pml - cancelling a task that has a child, with the end, the retry and the
 * submit of the child in its way (sched/task_cancel.c, run.c, task.c, sched_reap.c).
 * Slots and edges: seal_wait.pml, submit.pml; queues: take_gen.pml.
 *
 * PROTOCOL IN WORDS
 *   cancel    READY: CAS -> RUN(me) with CANCEL and TAKEN; then end it. RUN: CAS the
 *             flag CANCEL into the word; then the children of the record.
 *   run       CAS READY -> RUN(me). The function. CANCEL is read: set: the children
 *             are cancelled, the return is CANCELLED; else it is SEALED. THEN the
 *             record is retired, whatever flags it has by then.
 *   submit    by a task: the child is published with its parent; THEN the parent's
 *             word is read: CANCEL is set: the child is cancelled.
 *   janitor   RUN(dead): return resolved: retired. CANCEL: children, return
 *             CANCELLED, retired. Else CAS, of the word that was read, -> READY.
 *
 * ASSERTED
 *   (a) a task that was cancelled before it ran never runs; none runs again after
 *       its flag was set; a flag that was set before the function ended is the
 *       result
 *   (b) quiescent: every record that was published is retired and its return
 *       resolved: the child, which ends only when it is told or its parent ended
 *       well, too
 *
 * MUTANTS (-DM_...): BLINDRETRY NOENDCHILD BLINDTAKE NOREAPCHILD
 */
#ifndef XKILLS
#define XKILLS 1 /* of who cancels, client 1 */
#endif
#ifndef WKILLS
#define WKILLS 1 /* of a worker, client 3 */
#endif

#define FREE 0
#define READY 1
#define RUN 2
#define RETIRED 3
#define PENDING 0
#define SEALED 1
#define CANC 2

byte st[2], ow[2], ret[2];
bool canc[2], taken[2];
/* ghosts */
bool dead[5], told[2], early[2];
byte reaped;

/* who has it in hand ends it; again after a kill does no harm */
inline resolve(r, how)
{
	atomic {
		if
		:: ret[r] == PENDING -> ret[r] = how
		:: else
		fi
	}
}
inline retire(r, me)
{
	atomic {
		assert(st[r] == RUN && ow[r] == me);
		st[r] = RETIRED; ow[r] = 0
	}
}
/* of the child, which has none of its own: v is the word that was read */
#define WORD1 (st[1] | (ow[1] << 2) | (canc[1] << 5))
inline cancel_child(me)
{
	do
	:: v = WORD1;
		if
		:: (v & 3) == READY ->
			atomic {
				if
#ifdef M_BLINDTAKE
				:: true ->
#else
				:: v == WORD1 ->
#endif
					st[1] = RUN; ow[1] = me; canc[1] = 1;
					taken[1] = 1; told[1] = 1; k = 1
				:: else
				fi
			}
			if
			:: k -> k = 0; resolve(1, CANC); retire(1, me); break
			:: else
			fi
		:: (v & 3) == RUN && !(v & 32) ->
			atomic {
				if
				:: v == WORD1 -> canc[1] = 1; told[1] = 1; v = 0
				:: else
				fi
			}
			if
			:: !v -> break
			:: else
			fi
		:: else -> break
		fi
	od;
	v = 0
}

proctype canceller()
{
	byte k, v;
	{ if
	:: atomic { st[0] == READY -> st[0] = RUN; ow[0] = 1; canc[0] = 1;
		    taken[0] = 1; told[0] = 1 };
		/* an attempt before may have had children */
		cancel_child(1);
		resolve(0, CANC);
		retire(0, 1)
	:: atomic { st[0] == RUN -> canc[0] = 1; told[0] = 1 };
		cancel_child(1)
	:: atomic { st[0] == RETIRED -> skip }
	fi;
	k = 0
	} unless { atomic { dead[1] -> k = 0; v = 0 } }
}

proctype worker(byte me)
{
	byte r, k, v;
	bool seen;
	{ skip;
end_turn:
	atomic {
		if
		:: st[0] == READY -> r = 0
		:: st[1] == READY -> r = 1
		fi;
		assert(!told[r]);
		st[r] = RUN; ow[r] = me; canc[r] = 0
	}
	assert(ret[r] == PENDING);
	if
	:: r == 0 ->
		atomic {
			if
			:: st[1] == FREE -> st[1] = READY
			:: else
			fi
		}
		if
		:: canc[0] -> cancel_child(me)
		:: else
		fi
	:: else -> /* until it is told, unless nobody has to */
end_child:
		atomic { canc[1] || ret[0] == SEALED || st[0] == READY -> skip }
	fi;
	atomic { seen = canc[r]; early[r] = told[r] };
	if
	:: seen ->
#ifndef M_NOENDCHILD
		if
		:: r == 0 -> cancel_child(me)
		:: else
		fi;
#endif
		resolve(r, CANC)
	:: else -> resolve(r, SEALED)
	fi;
	assert(!early[r] || ret[r] == CANC);
	retire(r, me);
	atomic { r = 0; seen = 0; goto end_turn }
	} unless { atomic { dead[me] -> r = 0; k = 0; v = 0; seen = 0 } }
}

proctype janitor()
{
	byte i, k, v, w, d;
	bool c;
end_idle:
	atomic {
		(dead[1] && !(reaped & 2)) || (dead[3] && !(reaped & 8)) ->
		d = (dead[1] && !(reaped & 2) -> 1 : 3)
	}
	do
	:: i < 2 ->
		atomic { w = (st[i] == RUN && ow[i] == d); c = canc[i] };
		if
		:: !w
		:: w && ret[i] != PENDING -> retire(i, d)
		:: w && ret[i] == PENDING && c ->
#ifndef M_NOREAPCHILD
			if
			:: i == 0 -> cancel_child(2)
			:: else
			fi;
#endif
			resolve(i, CANC);
			retire(i, d)
		:: w && ret[i] == PENDING && !c ->
#ifdef M_BLINDRETRY
			atomic { st[i] = READY; ow[i] = 0; canc[i] = 0; k = 1 };
#else
			atomic {
				if
				:: !canc[i] -> st[i] = READY; ow[i] = 0; k = 1
				:: else -> k = 0
				fi
			}
#endif
			if
			:: k -> k = 0
			:: else ->
				if
				:: i == 0 -> cancel_child(2)
				:: else
				fi;
				resolve(i, CANC);
				retire(i, d)
			fi
		fi;
		i++
	:: atomic { i >= 2 -> i = 0; c = 0; w = 0; break }
	od;
	atomic { reaped = reaped | (1 << d); d = 0; goto end_idle }
}

proctype killer()
{
	byte x, n;
	do
	:: atomic { x < XKILLS && !dead[1] -> dead[1] = 1; x++ }
	:: atomic { n < WKILLS && !dead[3] -> dead[3] = 1; n++ }
	:: break
	od
}

proctype audit()
{
	timeout;
	d_step {
		assert(st[0] == RETIRED && ret[0] != PENDING);
		assert(st[1] == FREE || (st[1] == RETIRED && ret[1] != PENDING));
		assert(!taken[0] || ret[0] == CANC)
	}
}

init {
	atomic {
		st[0] = READY;
		run canceller(); run worker(3); run worker(4); run janitor();
		run killer(); run audit()
	}
}
