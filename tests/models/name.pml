/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.pml - names and pins against the bit that keeps an object (store/name.c).
 *
 * PROTOCOL IN WORDS
 *   hold      set my bit; the object is gone: clear it, give up.
 *   change    hold; begin a transaction (LMDB's writer lock, which a dead owner
 *             loses, and what it had not committed is undone); rows + 1 or - 1;
 *             set the kept bit if there are rows; commit; clear it if there are
 *             none; unlock; release.
 *   release   clear my bit; no bit is left: the object is freed. (The steps of
 *             freeing are those of hold_free.pml: here it is one.)
 *   janitor   a dead one's bit is cleared, and looked at; recount = 1.
 *   recount   under the writer lock: recount = 0; rows of an object that is gone
 *             are taken away; rows and alive (held meanwhile): the bit is set; no
 *             rows: the bit is cleared, and looked at. Commit. Whoever begins a
 *             change does it first.
 *
 * Two processes give one name (or pin) each and take it away again, or keep it;
 * one is killed at any step.
 *
 * ASSERTED
 *   (a) while I have a row that is committed and I am alive and not about to
 *       take it away, the object is alive
 *   (b) what has a row that is committed is alive
 *   (c) quiescent and recounted: rows and alive and the bit, or none of them
 *
 * MUTANTS (-DM_...): BITAFTER CLEARBEFORE NOHOLD NORECOUNT NOLOCK
 */
#ifndef KILLS
#define KILLS 1
#endif

byte rows;     /* committed */
bool kept;     /* bit 0 */
bool hold[3]; /* hold[2]: who counts again without a change of its own */
bool alive = 1;
bool driver = 1; /* somebody else's hold, which goes some time */
byte wlock;    /* process + 1 */
bool recount;
bool dead[3], reaped[2], fin[2];

inline look()
{
	if
	:: atomic { alive && !kept && !hold[0] && !hold[1] && !hold[2] &&
		!driver ->
		assert(!rows);
		alive = 0 }
	:: else
	fi
}

inline lock(me)
{
#ifdef M_NOLOCK
	skip
#else
	atomic { (wlock == 0 || dead[wlock - 1]) -> wlock = me + 1 }
#endif
}

inline unlock()
{
#ifndef M_NOLOCK
	wlock = 0
#else
	skip
#endif
}

/* Under the lock. r: rows as of the transaction. */
inline count_again(me, r)
{
	recount = 0;
	r = rows;
	if
	:: r ->
		hold[me] = 1;
		if
		:: !alive -> r = 0
		:: alive -> kept = 1
		fi;
		if
		:: me == 2 -> hold[me] = 0; look()
		:: else /* the change holds it yet */
		fi
	:: !r && kept -> kept = 0; look()
	:: !r && !kept
	fi;
	rows = r;
	r = 0
}

/* One transaction of process me: rows + 1 or - 1. */
inline change(me, plus, ok)
{
	ok = 0;
#ifndef M_NOHOLD
	hold[me] = 1;
	if
	:: !alive -> hold[me] = 0
	:: alive -> ok = 1
	fi;
#else
	ok = alive;
#endif
	if
	:: ok ->
		lock(me);
#ifndef M_NORECOUNT
		if
		:: recount -> count_again(me, r)
		:: else
		fi;
#endif
		r = rows;
		if
		:: plus -> r = r + 1
		:: !plus && r -> r = r - 1
		:: else
		fi;
#ifndef M_BITAFTER
		if
		:: r -> kept = 1
#ifdef M_CLEARBEFORE
		:: else -> kept = 0
#else
		:: else
#endif
		fi;
		rows = r; /* commit */
		if
		:: r
		:: else -> kept = 0
		fi;
		unlock();
#else
		rows = r;
		unlock();
		if
		:: r -> kept = 1
		:: else -> kept = 0
		fi;
#endif
		atomic { r = 0; hold[me] = 0 };
		look()
	:: else
	fi
}

proctype namer(byte me)
{
	byte r;
	bool ok;
	{ skip;
	change(me, 1, ok);
	if
	:: ok ->
		assert(alive);
		if
		:: change(me, 0, ok)
		:: true
		fi
	:: else
	fi;
	atomic { ok = 0; fin[me] = 1 }
	} unless { atomic { dead[me] -> r = 0; ok = 0 } }
}

proctype other()
{
	driver = 0;
	look()
}

/* One dead process's bit; then somebody counts again. */
proctype janitor()
{
	byte i, r;
end_idle:
	do
	:: atomic { dead[0] && !reaped[0] -> i = 0 };
		hold[i] = 0;
		look();
		atomic { recount = 1; reaped[i] = 1; i = 0 }
	:: atomic { dead[1] && !reaped[1] -> i = 1 };
		hold[i] = 0;
		look();
		atomic { recount = 1; reaped[i] = 1; i = 0 }
#ifndef M_NORECOUNT
	:: atomic { recount && (wlock == 0 || dead[wlock - 1]) -> wlock = 3 };
		count_again(2, r);
		wlock = 0
#endif
	od
}

proctype killer()
{
	byte k;
	do
	:: atomic { k < KILLS && !dead[0] && !fin[0] -> dead[0] = 1; k++ }
	:: atomic { k < KILLS && !dead[1] && !fin[1] -> dead[1] = 1; k++ }
	:: break
	od
}

proctype audit()
{
	timeout;
	assert((rows > 0) == kept);
	assert(!kept || alive);
	assert(!alive || kept)
}

init {
	atomic {
		run namer(0); run namer(1); run other(); run janitor();
		run killer(); run audit()
	}
}
