/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_has.pml - who has a stream that nobody has read (sched/waits_room.c). Processes
 * pass it on: by a bit of their own, or by an edge of a task, which is pushed at the
 * head of the stream's list, and unlinked under LOCK once it is released. Who decides
 * whether nobody but those that wait has it looks at the list and the bits. One that
 * gets on may have it all the time, and must then be seen.
 *
 * PROTOCOL IN WORDS
 *   push     while I have it by a bit or a live edge, or have the LOCK: the edge LIVE;
 *            THEN CAS head.
 *   release  LIVE -> RELEASED; the bit is cleared.
 *   sweep    under LOCK: unlinks what is RELEASED; then it may be pushed again.
 *   decide   LOCK; head; the edges from there on; THEN the bits; THEN head again: the
 *            same, and none LIVE and no bit: nobody has it. UNLOCK.
 *
 * ASSERTED what is decided is true then, and for ever (who has nothing gets nothing).
 *
 * MUTANTS (-DM_...): NOLOCK NOAGAIN BITSFIRST
 */
#ifndef MOVES
#define MOVES 4
#endif
#define P 2 /* processes */
#define E 2 /* edges */
#define NONE 255

mtype = { FREE, LIVE, RELEASED };
mtype edge[E] = FREE;
byte next[E] = NONE, owner[E] = NONE; /* owner: a ghost */
byte head = NONE, lock = NONE;
bool held[P];

#define HAS(p) (held[p] || (edge[0] == LIVE && owner[0] == p) || \
		(edge[1] == LIVE && owner[1] == p))
#define ANY (HAS(0) || HAS(1))

#define linked(n) (head == n || (head != NONE && next[head] == n))

/* p, which has it, gives an edge to q: a task of q's that it submits. */
inline push(p, q)
{
	n = NONE;
	if
	:: d_step { edge[0] == FREE && HAS(p) -> edge[0] = LIVE; owner[0] = q; n = 0 }
	:: d_step { edge[1] == FREE && HAS(p) -> edge[1] = LIVE; owner[1] = q; n = 1 }
	:: else
	fi;
	do
	:: n != NONE ->
		h = head; next[n] = h;
		if
		:: atomic { head == h -> head = n }; break
		:: else
		fi
	:: else -> break
	od;
	n = 0; h = 0
}

/* LIVE edges are in the list by then: who runs the task has found it there. */
inline release(p)
{
	if
	:: d_step { edge[0] == LIVE && owner[0] == p && linked(0) -> edge[0] = RELEASED }
	:: d_step { edge[1] == LIVE && owner[1] == p && linked(1) -> edge[1] = RELEASED }
	:: else
	fi
}
/* Under LOCK: the first or the second of the list. */
inline sweep()
{
	if
	:: d_step { lock == NONE -> lock = me };
		h = head;
		if
		:: h != NONE && edge[h] == RELEASED ->
			d_step {
				if
				:: head == h -> head = next[h]; edge[h] = FREE;
					next[h] = NONE
				:: else
				fi
			}
		:: h != NONE && edge[h] != RELEASED && next[h] != NONE ->
			n = next[h];
			if
			:: edge[n] == RELEASED ->
				next[h] = next[n];
				d_step { edge[n] = FREE; next[n] = NONE }
			:: else
			fi
		:: else
		fi;
		lock = NONE; h = 0; n = 0
	:: else
	fi
}

proctype process(byte me)
{
	byte m, n, h;

	do
	:: m < MOVES ->
		m++;
		if
		:: skip; push(me, me)
		:: skip; push(me, 1 - me)
		:: skip; release(me)
		:: d_step { HAS(me) -> held[me] = 1 }
		:: held[me] = 0
		:: skip; sweep()
		fi
	:: break
	od
}

proctype decider()
{
	byte n, h, steps;
	bool seen;

#ifndef M_NOLOCK
	d_step { lock == NONE -> lock = P };
#endif
	h = head;
#ifdef M_BITSFIRST
	seen = held[0] || held[1];
#endif
	n = h;
	do
	:: n != NONE && steps < 3 * E ->
		if
		:: edge[n] == LIVE -> seen = 1
		:: else
		fi;
		n = next[n]; steps++
	:: else -> break
	od;
#ifndef M_BITSFIRST
	seen = seen || held[0] || held[1];
#endif
#ifndef M_NOAGAIN
	if
	:: head != h -> seen = 1
	:: else
	fi;
#endif
#ifndef M_NOLOCK
	lock = NONE;
#endif
	if
	:: seen || n != NONE
	:: else ->
		assert(!ANY); /* and whenever that is looked at: */
		assert(!ANY)
	fi
}

init {
	atomic {
		held[0] = 1;
		run process(0); run process(1); run decider()
	}
}
