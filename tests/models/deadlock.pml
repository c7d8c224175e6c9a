/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadlock.pml - waits that close a cycle (sched/deadlock.c, waits.c). Executor i makes
 * object i when it ends; before that it waits for up to WAITS objects, one after the
 * other, each chosen freely. Killed, it begins again. For k of n: the reduction of
 * waits.c is not of this model, what is read for it is.
 *
 * PROTOCOL IN WORDS
 *   sleep    what[me] = object; THEN seq[me]++ (odd); THEN look: from me on: copy the
 *            seq of all; follow what[] of those that are odd from me on, as long as
 *            the object is not made and its executor waits; back at me: a cycle. THEN
 *            the seq of all of it is read again: the same: it is true.
 *   end      lock; look again; still true: seq[me]++ (even), the wait ends in an error;
 *            unlock. Else sleep.
 *   wake     the object is made: seq[me]++ (even)
 *   janitor  dead: seq++ if it is odd; then it runs again
 *
 * ASSERTED
 *   (a) a wait that ends in an error is of a cycle of waits that none can leave at
 *       that moment; with kills: or could not, before one of it was killed, which is
 *       not asserted
 *   (b) one wait of each cycle: when it ends no other of the same cycle has
 *   (c) quiescent: all have ended (no cycle is left)
 *
 * MUTANTS (-DM_...): LOOKFIRST NOSEQ SEQFIRST NOLOCK NOREAP
 */
#ifndef N
#define N 3
#endif
#ifndef WAITS
#define WAITS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif

#define NOBODY 255

byte what[N], seq[N], lock = NOBODY;
bool made[N], dead[N], gone[N];
/* ghosts: sleeps on what[], or is about to */
bool really[N];
byte kills;

/* is there a cycle of real waits through x? */
inline real_cycle(x)
{
	r = x; n = 0;
	do
	:: n < N && really[r] && !made[what[r]] -> r = what[r]; n++;
		if
		:: r == x -> break
		:: else
		fi
	:: else -> r = NOBODY; break
	od
}

/* found: a cycle from me on */
inline look()
{
	found = 0; at = me; n = 0;
	do
	:: n < N ->
		s[at] = seq[at];
		if
#ifdef M_NOSEQ
		:: !(s[at] & 1) && at != me -> break
#else
		:: !(s[at] & 1) -> break
#endif
		:: else
		fi;
		next = what[at];
		if
		:: made[next] -> break
		:: else
		fi;
		at = next; n++;
		if
		:: at == me -> found = 1; break
		:: else
		fi
	:: else -> break
	od;
#ifndef M_NOSEQ
	at = me;
	do
	:: found ->
		if
		:: seq[at] != s[at] -> found = 0
		:: else -> at = what[at]
		fi;
		if
		:: at == me -> break
		:: else
		fi
	:: else -> break
	od;
#endif
	at = 0; next = 0; n = 0
}

inline reap()
{
	atomic {
		if
		:: lock == i -> lock = NOBODY
		:: else
		fi;
#ifndef M_NOREAP
		if
		:: seq[i] & 1 -> seq[i]++
		:: else
		fi;
#endif
		really[i] = 0
	}
	atomic {
		dead[i] = 0; gone[i] = 0;
		if
		:: !made[i] -> run executor(i)
		:: else
		fi;
		i = 0
	}
}

proctype executor(byte me)
{
	byte left, at, next, n, r, goal;
	byte s[N];
	bool found;
	{
	left = WAITS;
again:
	do
	:: left > 0 ->
		left--;
		if
		:: goal = 0
		:: goal = 1
#if N > 2
		:: goal = 2
#endif
		fi;
		if
		:: made[goal] -> goto again
		:: else
		fi;
#ifdef M_LOOKFIRST
		look();
#endif
#ifdef M_SEQFIRST
		seq[me]++;
		atomic { what[me] = goal; really[me] = 1 };
#else
		what[me] = goal;
		atomic { seq[me]++; really[me] = 1 };
#endif
#ifndef M_LOOKFIRST
		look();
#endif
		if
		:: found ->
#ifndef M_NOLOCK
			atomic { lock == NOBODY -> lock = me };
			look();
#endif
			if
			:: found ->
				d_step {
					real_cycle(me);
					assert(r == me || kills);
					really[me] = 0; seq[me]++; r = 0; n = 0
				}
			:: else
			fi;
#ifndef M_NOLOCK
			lock = NOBODY;
#endif
			if
			:: found -> found = 0; break /* its error is its result */
			:: else
			fi
		:: else
		fi;
end_sleep:
		atomic { made[what[me]] -> really[me] = 0 };
		seq[me]++
	:: break
	od;
	made[me] = 1
	} unless { atomic { dead[me] -> gone[me] = 1 } }
}

proctype janitor()
{
	byte i;
end_idle:
	do
	:: atomic { gone[0] -> i = 0 }; reap()
	:: atomic { gone[1] -> i = 1 }; reap()
	od
}

proctype killer()
{
	do
	:: atomic { kills < KILLS && !made[0] && !dead[0] -> dead[0] = 1; kills++ }
	:: atomic { kills < KILLS && !made[1] && !dead[1] -> dead[1] = 1; kills++ }
	:: break
	od
}

proctype audit()
{
	byte i;
	timeout;
	d_step {
		do
		:: i < N -> assert(made[i]); i++
		:: else -> break
		od
	}
}

init {
	byte i;
	atomic {
		do
		:: i < N -> run executor(i); i++
		:: else -> break
		od;
#if KILLS
		run janitor(); run killer();
#endif
		run audit()
	}
}
