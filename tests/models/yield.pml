/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yield.pml - a stream of a task: nodes that hold several items, a reader that waits,
 * a producer that waits for the reader, dies, and is run again (sched/yield*.c). A
 * node that is pending or SEALED stands for the object, and waiting for it for
 * seal_wait.pml. Time is not modelled: nobody looks again after a while.
 *
 * PROTOCOL IN WORDS
 *   yield    the item; THEN the count; THEN wanted is looked at: if it is this node, or
 *            the node is full, the next node.
 *   next     next of the old one; THEN the old one is SEALED.
 *   end      the return is resolved; THEN the last node is SEALED, without a next.
 *   read     the state of the node, THEN its count; if there is none: wanted; THEN the
 *            count again; THEN it waits until the node is SEALED. SEALED and no item
 *            left: the next node, or the end.
 *   room     the bell in `room`; THEN what is read again; THEN it waits for the bell.
 *            The reader: what is read; THEN room.
 *   attempt  from head to the last node, SEALing those that have a next; as many items
 *            as there are are left out; if the node has some and is waited for, the next
 *            node: the one before may not have got to that.
 *   janitor  the return is resolved: the last node is SEALED. Else the task is run
 *            again.
 *
 * ASSERTED items are read in order, each once, and written before that; at the end all
 * are, and the return is resolved; nobody waits for ever.
 *
 * MUTANTS (-DM_...): NORECHECK WANTEDFIRST NOROOMCHECK SEALFIRST RETLATE NOSKIP NOOVER
 *                    ITEMLATE STATELATE NOATTACH
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef ITEMS
#define ITEMS 3
#endif
#ifndef BOUND
#define BOUND 2
#endif
#define CAP 2
#define NODES 9
#define NONE 255

byte count[NODES], next[NODES], first[NODES], nodes = 1;
bool sealed[NODES];
byte val[18]; /* [NODES * CAP]: item + 1 */
byte head, rd, wanted = NONE;
bool room, bell, ret;
/* ghosts */
byte kills = KILLS;
bool dead, gone, over;

inline seal_tail()
{
	t = head;
	do
	:: next[t] != 0 -> sealed[t] = 1; t = next[t]
	:: else -> break
	od
}

proctype producer()
{
	byte n, i, t, w, m;
	{
	seal_tail();
	n = t;
#ifndef M_NOSKIP
	i = first[n] + count[n];
#endif
#ifndef M_NOATTACH
	if
	:: count[n] > 0 && wanted == n -> goto roll
	:: else
	fi;
#endif
	do
	:: i < ITEMS ->
		/* room */
		do
		:: first[n] + count[n] - rd < BOUND -> break
		:: else ->
			atomic { bell = 0; room = 1 };
#ifndef M_NOROOMCHECK
			if
			:: first[n] + count[n] - rd < BOUND -> break
			:: else
			fi;
#endif
			bell
		od;
		if
		:: count[n] == CAP -> goto roll
		:: else
		fi;
#ifdef M_WANTEDFIRST
		w = wanted;
#endif
#ifndef M_ITEMLATE
		val[n * CAP + count[n]] = i + 1;
		count[n] = count[n] + 1;
#else
		count[n] = count[n] + 1;
		val[n * CAP + count[n] - 1] = i + 1;
#endif
		i++;
#ifndef M_WANTEDFIRST
		w = wanted;
#endif
		if
		:: w == n || count[n] == CAP ->
roll:
			atomic {
				m = nodes; nodes++;
				first[m] = first[n] + count[n]
			};
#ifdef M_SEALFIRST
			sealed[n] = 1;
			next[n] = m;
#else
			next[n] = m;
			sealed[n] = 1;
#endif
			n = m
		:: else
		fi
	:: else -> break
	od;
#ifdef M_RETLATE
	sealed[n] = 1;
	ret = 1;
#else
	ret = 1;
	sealed[n] = 1;
#endif
	over = 1
	} unless { atomic { dead -> dead = 0; gone = 1 } }
}

/* Kills the producer at any moment; what comes then. */
proctype janitor()
{
	byte t;
end_idle:
	do
	:: atomic { kills > 0 && !over -> kills--; dead = 1 };
		atomic { gone -> gone = 0 };
		if
		:: ret ->
#ifndef M_NOOVER
			seal_tail();
			sealed[t] = 1;
#endif
			break
		:: else -> run producer()
		fi
	od
}

proctype reader()
{
	byte h, c, s;
	do
	:: h = head;
#ifdef M_STATELATE
		c = count[h];
		s = sealed[h];
#else
		s = sealed[h];
		c = count[h];
#endif
		if
		:: rd < first[h] + c ->
			assert(val[h * CAP + rd - first[h]] == rd + 1);
			rd++;
			if
			:: room -> atomic { room = 0; bell = 1 }
			:: else
			fi
		:: rd >= first[h] + c && s ->
			assert(rd == first[h] + count[h]);
			if
			:: next[h] == 0 ->
				assert(ret && rd == ITEMS);
				break
			:: else -> head = next[h]
			fi
		:: else ->
			wanted = h;
#ifndef M_NORECHECK
			if
			:: count[h] == c && !sealed[h] -> sealed[h]
			:: else
			fi
#else
			sealed[h]
#endif
		fi
	od
}

init
{
	atomic { run producer(); run janitor(); run reader() }
}
