/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.pml - the lock that survives its owner (core/lock.c).
 *
 * PROTOCOL IN WORDS
 *   word     {process, CONTENDED}, 0 is free.
 *   take     CAS 0 -> {me}; {a dead owner} -> {me}: told OWNER_DIED. CONTENDED
 *            stays as it was seen, and is set by who has slept.
 *   wait     v = bell; load word; free: again; CAS CONTENDED in (failed:
 *            again); FUTEX_WAIT(bell, v); again.
 *   release  w = exchange 0; CONTENDED was set: bell++, wake one.
 *   A sleeper looks again after 50 ms: nobody rings for a dead owner, nor if
 *   the one that was woken dies or gives up before it takes the lock.
 *
 * Two processes, the first with two threads: an owner of my own process is an
 * owner like any other. A process dies with all its threads.
 *
 * ASSERTED
 *   (a) one thread at a time is inside
 *   (b) who enters after a death inside is told OWNER_DIED, nobody else is; if
 *       it dies before the repair is done, the next is told
 *   (c) nobody sleeps for ever; without a death or a time-out not even for 50 ms
 *
 * MUTANTS (-DM_...): STORETAKE NOMARK BELLLATE NOBELL DROPCONT SELFOWN PLAINWAKE
 *   NOTTOLD
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef GIVEUP
#define GIVEUP 0 /* 1: a thread of process 2 may time out */
#endif
#define NTH 3
#define NP 2
#define PROC(t) ((t) < 2 -> 1 : 2)
#define OW(x) ((x) >> 1)
#define CONT 1

byte word;
bool rang[NTH];   /* the bell changed since the thread read it */
bool asleep[NTH];
/* ghosts */
bool dead[NP + 1];
bool broken;      /* somebody died inside and nobody has repaired it */
byte inside;      /* thread + 1 */
byte fin;
bool gaveup;

inline ring()
{
	/* bell++ */
#ifndef M_NOBELL
	atomic { rang[0] = 1; rang[1] = 1; rang[2] = 1 };
#endif
	/* wake one */
	atomic {
		if
		:: asleep[0] -> asleep[0] = 0
		:: asleep[1] -> asleep[1] = 0
		:: asleep[2] -> asleep[2] = 0
		:: else
		fi
	}
}

proctype thread(byte t)
{
	byte me = PROC(t), seen, mark, n;
	bool died;
	{ skip;
again:
	mark = 0;
look:
	seen = word;
	if
#ifdef M_SELFOWN
	:: atomic { seen == 0 || dead[OW(seen)] || OW(seen) == me } ->
#else
	:: atomic { seen == 0 || dead[OW(seen)] } ->
#endif
		atomic {
			if
#ifdef M_STORETAKE
			:: true ->
#else
			:: word == seen ->
#endif
#ifdef M_DROPCONT
				word = (me << 1);
#else
				word = (me << 1) | mark | (seen & CONT);
#endif
#ifndef M_NOTTOLD
				died = (seen != 0);
#endif
				assert(inside == 0);
				assert(died == broken);
				inside = t + 1; seen = 0; goto in
			:: else -> seen = 0; goto look
			fi
		}
	:: atomic { else -> seen = 0 }
	fi;
	/* bell_wait */
#ifndef M_BELLLATE
	rang[t] = 0;
#endif
	atomic { seen = word; if :: seen == 0 -> mark = CONT; goto look
				 :: else fi };
	if
	:: !(seen & CONT) ->
		atomic {
			if
			:: word == seen -> word = seen | CONT
			:: else -> seen = 0; mark = CONT; goto look
			fi
		}
	:: else
	fi;
#ifdef M_BELLLATE
	rang[t] = 0;
#endif
	atomic { seen = 0; if :: !rang[t] -> asleep[t] = 1 :: else fi };
	if
	:: atomic { !asleep[t] }
	:: atomic { asleep[t] && (dead[1] || dead[2] || gaveup) ->
		asleep[t] = 0 } /* 50 ms */
#if GIVEUP
	:: atomic { t == 2 -> asleep[t] = 0; gaveup = 1; goto done }
#endif
	fi;
#ifndef M_NOMARK
	mark = CONT;
#endif
	goto look;
in:
	if
	:: died -> broken = 0
	:: else
	fi;
	assert(!broken);
	atomic { inside = 0; seen = word; word = 0 };
	if
#ifdef M_PLAINWAKE
	:: false
#else
	:: seen & CONT -> ring()
#endif
	:: else
	fi;
done:
	atomic {
		seen = 0; died = 0; n++;
		if
		:: n < ROUNDS -> goto again
		:: else -> n = 0; mark = 0; fin = fin | (1 << t)
		fi
	}
	} unless {
		atomic {
			dead[me] -> seen = 0; mark = 0; n = 0; died = 0;
			asleep[t] = 0
		}
	}
}

proctype killer()
{
	byte k;
	do
	:: atomic { k < KILLS && !dead[1] && (fin & 3) != 3 ->
		dead[1] = 1; k++;
		if :: OW(word) == 1 -> broken = 1 :: else fi;
		if :: inside == 1 || inside == 2 -> inside = 0 :: else fi }
	:: atomic { k < KILLS && !dead[2] && (fin & 4) == 0 ->
		dead[2] = 1; k++;
		if :: OW(word) == 2 -> broken = 1 :: else fi;
		if :: inside == 3 -> inside = 0 :: else fi }
	:: break
	od
}

proctype audit()
{
	timeout;
	d_step {
		assert((fin & 3) == 3 || dead[1]);
		assert((fin & 4) || dead[2]);
		assert(word == 0 || dead[OW(word)])
	}
}

init {
	atomic {
		run thread(0); run thread(1); run thread(2);
		run killer(); run audit()
	}
}
