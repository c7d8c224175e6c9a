/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill.pml - a sealed object that goes to a file and comes back
 * (store/spill.c, spill.h; object.c mobi_object_view; reap.c take_over).
 *
 * PROTOCOL IN WORDS
 *   word     {SPILL, LOCK(owner)}
 *   spill    no LOCK, no SPILL, no view: CAS LOCK(me). valid = 0; CAS SPILL in;
 *            load the view bits: any: CAS SPILL away, unlock. Write the file; old
 *            = loc; valid = 1; loc = SPILLED; free block old; old = 0; unlock.
 *   view     set my bit; load the word: no SPILL: read the block that loc names.
 *            Else restore: LOCKed: later. CAS LOCK(me); take a block: loc, then
 *            its tag; read the file; valid = 0; remove the file; CAS SPILL away;
 *            unlock. At the end clear my bit.
 *   janitor  LOCK(dead) -> LOCK(janitor). SPILL and valid: free what loc and old
 *            name; loc = SPILLED; old = 0. SPILL and not valid: remove the file;
 *            CAS SPILL away. Unlock. A janitor may die, too; the next begins
 *            again. Bits of the dead are cleared first.
 *
 *   move     (-DMOVER, in place of a viewer: two containers become one) SPILL and
 *            no LOCK: CAS LOCK(me). valid, and loc is SPILLED: the new file takes
 *            the place of the old in one step. Unlock.
 *
 * ASSERTED
 *   (a) who reads, reads the object's bytes in a block that is its own, to the end
 *   (b) quiescent: no LOCK; either SPILL, the file and no block, or no SPILL, no
 *       file and one block with the bytes
 *   (c) nobody waits for ever (an invalid end state)
 *
 * MUTANTS (-DM_...): NOLOOK VIEWFIRST VALIDLATE NOOLD FILELATE VALIDSTAYS
 *   NOVALID BITLATE UNDOFILE; of the mover MVREMOVE (the old name goes before the
 *   new one is there) MVNOLOCK (without the LOCK)
 */
#ifndef ROUNDS
#define ROUNDS 2 /* how often the spiller tries */
#endif
#ifndef NV
#define NV 2 /* viewers, clients 2 and 3 */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef RKILLS
#define RKILLS 0 /* deaths of the janitor */
#endif
#define SP 1 /* the spiller */
#define JA 4 /* the janitor */
#define SPILLED 3

byte lock;      /* the word is {spill, lock}: changed and read as one */
bool spill;
bool view[4];
byte loc = 1;   /* 0 none, 1 and 2 blocks, SPILLED */
bool tag[3];    /* of blocks 1 and 2 */
bool good[3];   /* the block has the bytes */
byte old;
bool valid;
bool file;      /* it is there, with the bytes */
bool dead[5], fin[5];
byte reaped;    /* bits */
byte rkilled;
bool kdone;

#define ANYVIEW (view[2] || view[3])

inline free_block(b)
{
	atomic {
		if
		:: b == 1 || b == 2 -> tag[b] = 0; good[b] = 0
		:: else
		fi
	}
}

proctype spiller()
{
	byte round, x;
	{ skip;
	do
	:: round < ROUNDS ->
		round++;
		if
		:: atomic { lock == 0 && !spill && !ANYVIEW && loc != SPILLED ->
			   lock = SP }
		:: atomic { else -> goto next }
		fi;
#ifndef M_NOVALID
		valid = 0;
#endif
#ifdef M_VIEWFIRST
		x = ANYVIEW;
		spill = 1;
#else
		spill = 1;
		x = ANYVIEW;
#endif
#ifdef M_NOLOOK
		x = 0;
#endif
		if
		:: x -> x = 0;
			spill = 0
		:: else ->
			file = 1;
#ifndef M_NOOLD
			old = loc;
#endif
			x = loc;
#ifdef M_VALIDLATE
			loc = SPILLED;
			free_block(x);
			valid = 1;
#else
			valid = 1;
			loc = SPILLED;
			free_block(x);
#endif
			x = 0;
			old = 0
		fi;
		lock = 0;
next:		skip
	:: round >= ROUNDS -> break
	od;
	fin[SP] = 1
	} unless { dead[SP] }
}

proctype viewer(byte me)
{
	byte b;
	bool x;
	{ skip;
#ifndef M_BITLATE
	view[me] = 1;
#endif
	x = spill;
#ifdef M_BITLATE
	view[me] = 1;
#endif
	do
	:: !x -> break
	:: x ->
		if
		:: atomic { !spill -> x = 0 }
		:: atomic { spill && lock == 0 -> lock = me };
			atomic { if :: !tag[1] -> b = 1 :: else -> b = 2 fi };
			loc = b;
			atomic { assert(!tag[b]); tag[b] = 1 };
			good[b] = file;
			valid = 0;
#ifdef M_FILELATE
			spill = 0;
			lock = 0;
			file = 0;
#else
#ifdef M_VALIDSTAYS
			valid = 1;
#endif
			file = 0;
			spill = 0;
			lock = 0;
#endif
			b = 0;
			x = 0
		fi
	od;
	atomic { b = loc; assert((b == 1 || b == 2) && tag[b] && good[b]) };
	atomic { assert(loc == b && tag[b] && good[b]); b = 0 };
	view[me] = 0;
	fin[me] = 1
	} unless { dead[me] }
}

#ifdef MOVER
proctype mover()
{
	byte n;
	{ skip;
	do
	:: n < 2 ->
		n++;
		if
#ifdef M_MVNOLOCK
		:: atomic { lock == 0 && spill -> skip }
#else
		:: atomic { lock == 0 && spill -> lock = 3 }
#endif
		:: atomic { else -> goto next }
		fi;
		if
		:: valid && loc == SPILLED ->
#ifdef M_MVREMOVE
			file = 0;
#endif
			file = 1
		:: else
		fi;
#ifndef M_MVNOLOCK
		lock = 0;
#endif
next:		skip
	:: n >= 2 -> break
	od;
	fin[3] = 1
	} unless { dead[3] }
}
#endif

#define TODO (dead[1] * 2 + dead[2] * 4 + dead[3] * 8)

proctype janitor()
{
	byte set;
start:	set = 0;
	{ skip;
end_idle:
	atomic { (TODO & ~reaped) -> set = TODO & ~reaped };
	if :: set & 4 -> view[2] = 0 :: else fi;
	if :: set & 8 -> view[3] = 0 :: else fi;
	if
	:: atomic { lock != 0 && (lock == JA || ((TODO >> lock) & 1)) ->
		   lock = JA };
		if
		:: spill && valid ->
			free_block(loc);
			free_block(old);
			loc = SPILLED;
			old = 0
		:: spill && !valid ->
#ifdef M_UNDOFILE
			spill = 0;
			lock = 0;
			file = 0;
#else
			file = 0;
			spill = 0
#endif
		:: else
		fi;
		if
		:: lock == JA -> lock = 0
		:: else
		fi
	:: atomic { else }
	fi;
	atomic { reaped = reaped | set; set = 0 };
	goto end_idle
	} unless { dead[JA] };
	atomic { dead[JA] = 0; goto start }
}

proctype killer()
{
	byte n;
	do
	:: atomic { n < KILLS && !dead[SP] && !fin[SP] -> dead[SP] = 1; n++ }
	:: atomic { n < KILLS && !dead[2] && !fin[2] -> dead[2] = 1; n++ }
#if NV > 1 || defined(MOVER)
	:: atomic { n < KILLS && !dead[3] && !fin[3] -> dead[3] = 1; n++ }
#endif
	:: atomic { rkilled < RKILLS && (TODO & ~reaped) ->
		   dead[JA] = 1; rkilled++ }
	:: break
	od;
	kdone = 1
}

#define OVER(c) (fin[c] || dead[c])

active proctype audit()
{
	atomic {
		tag[1] = 1;
		good[1] = 1;
		if :: valid = 1 :: valid = 0 fi; /* bytes of an earlier value */
		run spiller();
		run viewer(2);
#ifdef MOVER
		run mover();
#elif NV > 1
		run viewer(3);
#else
		fin[3] = 1;
#endif
		run janitor();
		run killer()
	}
	atomic {
		OVER(1) && OVER(2) && OVER(3) && kdone && !dead[JA] &&
			!(TODO & ~reaped) ->
		assert(lock == 0);
		assert(!ANYVIEW);
		if
		:: spill -> assert(file && loc == SPILLED && !tag[1] && !tag[2])
		:: else -> assert(!file && (loc == 1 || loc == 2) &&
				  tag[loc] && good[loc] && !tag[3 - loc])
		fi
	}
}
