/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retry.pml - a retry that waits: the record in DELAY, its bit among the timers, the
 * hint that some bit is set, what the daemon remembers (sched/timer.c, run.c,
 * sched_reap.c). Time is not modelled: what is due may be made READY at any look, or
 * be left for the next.
 * Two levels of bits are one here: submit.pml has the board of three.
 *
 * PROTOCOL IN WORDS
 *   put back  RUN(me) -> DELAY; the bit; THEN some := 1.
 *   daemon    some: some := 0; THEN the bits are taken by exchange. These, and what it
 *             remembers: DELAY and due: CAS -> READY, the bit of the board; not due: it
 *             remembers it.
 *   janitor   after a death: RUN(dead) -> DELAY; every DELAY: bit, some; every READY:
 *             the bit of the board. A dead daemon is replaced, by one that remembers
 *             nothing.
 *
 * ASSERTED quiescent: every task has run twice, none is left in DELAY or READY.
 *
 * MUTANTS (-DM_...): SOMELATE SOMEFIRST NOREAP NOKEEP
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef NT
#define NT 1 /* tasks: 1 or 2 */
#endif
#define READY 1
#define RUN 2
#define DELAY 3
#define DONE 4

byte st[2], ow[2], att[2];
bool tbit[2], board[2], some;
/* ghosts */
bool dead[5], fin;
byte reaped;

inline set_timer(r)
{
#ifdef M_SOMEFIRST
	some = 1;
	tbit[r] = 1
#else
	tbit[r] = 1;
	some = 1
#endif
}

proctype worker(byte me)
{
	byte r;
	{ skip;
end_turn:
	atomic {
		if
		:: st[0] == READY && board[0] -> r = 0
		:: st[1] == READY && board[1] -> r = 1
		fi;
		board[r] = 0; st[r] = RUN; ow[r] = me
	}
	if
	:: atomic { att[r] == 0 -> st[r] = DELAY; ow[r] = 0; att[r] = 1 };
		set_timer(r)
	:: atomic { att[r] > 0 -> st[r] = DONE; ow[r] = 0 }
	fi;
	goto end_turn
	} unless { dead[me] }
}

proctype daemon(byte me)
{
	byte r;
	bool had[2], mine[2];
	{ skip;
end_turn:
	atomic { some || mine[0] || mine[1] -> skip };
#ifndef M_SOMELATE
	some = 0;
#endif
	r = 0;
	do
	:: r < 2 ->
		atomic { had[r] = tbit[r]; tbit[r] = 0 };
		if
		:: (had[r] || mine[r]) && st[r] == DELAY ->
			if
			:: atomic { st[r] == DELAY -> st[r] = READY };
				mine[r] = 0;
				board[r] = 1
#ifndef M_NOKEEP
			:: mine[r] = 1 /* not due yet */
#else
			:: mine[r] = 0
#endif
			fi
		:: else -> mine[r] = 0
		fi;
		r++
	:: else -> break
	od;
#ifdef M_SOMELATE
	some = 0;
#endif
	goto end_turn
	} unless { dead[me] }
}

/* also the daemon that comes after one that died: client 4 after 3 */
proctype janitor()
{
	byte i, d;
end_idle:
	atomic {
		if
		:: dead[1] && !(reaped & 2) -> d = 1
		:: dead[3] && !(reaped & 8) -> d = 3; run daemon(4)
		fi
	}
	do
	:: i < 2 ->
		atomic {
			if
			:: st[i] == RUN && ow[i] == d -> st[i] = DELAY;
				ow[i] = 0; att[i] = 1
			:: else
			fi
		}
		if
#ifndef M_NOREAP
		:: st[i] == DELAY -> set_timer(i)
#endif
		:: st[i] == READY -> board[i] = 1
		:: else
		fi;
		i++
	:: else -> i = 0; break
	od;
	atomic { reaped = reaped | (1 << d); d = 0; goto end_idle }
}

proctype killer()
{
	byte n;
	do
	:: atomic { n < KILLS && !dead[1] -> dead[1] = 1; n++ }
	:: atomic { n < KILLS && !dead[3] -> dead[3] = 1; n++ }
	:: break
	od
}

proctype audit()
{
	timeout;
	assert(st[0] == DONE && st[1] == DONE)
}

init {
	atomic {
		st[0] = READY; board[0] = 1;
		st[1] = (NT == 2 -> READY : DONE); board[1] = (NT == 2);
		run worker(1); run worker(2); run daemon(3); run janitor();
		run killer(); run audit()
	}
}
