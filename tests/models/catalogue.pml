/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue.pml - dirty bits, rows and the mark `indexed` (store/catalogue.c).
 *
 * PROTOCOL IN WORDS
 *   resolve   CAS word -> SEALED; THEN touch.
 *   free      CAS word -> FREE gen + 1; THEN read indexed; not 0: touch.
 *   touch     bit of the chunk in leaf unless set, of the leaf in mid unless
 *             set, of mid in root unless set.
 *   drain     under LMDB's writer lock, which a dead owner loses, and what it
 *             had not committed is undone. My transaction id is the one in
 *             `doing`: the one before me did not commit; its range is touched
 *             again. For each dirty chunk, ascending: doing = {id, first, this};
 *             clear root, mid, leaf, in this order; leaf has more: set mid
 *             again; mid has more: set root again. Then the slot: resolved and
 *             its row is another: indexed = gen; read the word AGAIN: another:
 *             touch, else put the row. Not resolved: delete the row; indexed
 *             is not 0: to be cleared. Commit (nothing changed: doing = 0,
 *             abort); unlock; CAS indexed from the noted mark to 0.
 *   name      (NAMER) a transaction about names (store/name.c): begins as a drain
 *             does, takes no chunk, and commits, which gives it the id that a
 *             drain killed before it had.
 *   janitor   after the death of who resolves or frees: frees what nobody holds
 *             any more, then sets all bits. (The program does it after every
 *             death; a dead writer needs no janitor, which is shown here.)
 *
 * ASSERTED
 *   (a) whenever LMDB has a row, indexed is not 0
 *   (b) quiescent: rows are what the slots say, no bit is set; indexed is not 0
 *       only where there is a row, unless a writer died or failed (then a mark
 *       is left, which costs one look)
 *   (c) the bits are never stuck: a set leaf bit is reached from the root, once
 *       everybody has come to rest
 *
 * MUTANTS (-DM_...): TOUCHFIRST FREEFIRST MARKLATE NODOING NORESTORE
 *   NOREREAD NORESET CLEARFIRST BADCLEAR ROOTFIRST LATETAKE NAMEDOING
 */
#ifndef LIVES
#define LIVES 2 /* objects born in slot 0; slot 1 has one */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef NWR
#define NWR 2
#endif
#ifndef NS
#define NS 1 /* chunks, of one slot each, below one word of leaf */
#endif
#ifndef FAILS
#define FAILS 0 /* transactions that fail, for want of space */
#endif
#ifndef NAMER
#define NAMER 0 /* transactions about names */
#endif
#define NONE 9
/* processes: writers 0 and 1, owners of the slots 2 and 3 */
#define W(g, s) (((g) << 1) | (s))
#define GEN(x) ((x) >> 1)
#define ALIVE(x) ((x) & 1)

byte word[NS] = W(1, 0);
byte indexed[NS];
byte row[NS];              /* committed: generation, 0 none */
byte leaf;
bool mid, root;
byte d_id, d_first, d_last; /* one word; d_id 0: nothing */
byte txid = 1;             /* of the last commit */
byte wlock;                /* writer + 1 */
bool dead[5], fin[4], reset[4]; /* dead[4]: the namer, who never is */

#if NS > 1
#define INVARIANT \
	(!(row[0] && !indexed[0]) && !(row[1] && !indexed[1]))
#else
#define INVARIANT (!(row[0] && !indexed[0]))
#endif
byte fails;

inline touch(s)
{
#ifdef M_ROOTFIRST
	root = 1;
	mid = 1;
	leaf = leaf | (1 << (s));
#else
	if
	:: !(leaf & (1 << (s))) -> leaf = leaf | (1 << (s))
	:: else
	fi;
	if
	:: !mid -> mid = 1
	:: else
	fi;
	if
	:: !root -> root = 1
	:: else
	fi
#endif
}
/* of a SEALED slot, by its last holder or for a dead one */
inline free_slot(s)
{
#ifdef M_FREEFIRST
	atomic { m = indexed[s] };
	word[s] = W(GEN(word[s]) + 1, 0);
	if
	:: m -> touch(s)
	:: else
	fi;
	m = 0
#else
	word[s] = W(GEN(word[s]) + 1, 0);
	if
	:: indexed[s] -> touch(s)
	:: else
	fi
#endif
}

proctype owner(byte s)
{
	byte n, m;
	{ skip;
	do
	:: atomic { n < (s -> 1 : LIVES) -> n++ };
#ifdef M_TOUCHFIRST
		touch(s);
		word[s] = W(GEN(word[s]), 1);
#else
		word[s] = W(GEN(word[s]), 1);
		touch(s);
#endif
		if
		:: free_slot(s)
		:: atomic { n >= (s -> 1 : LIVES) -> break } /* keeps it */
		fi
	:: atomic { n >= (s -> 1 : LIVES) -> break }
	od;
	atomic { n = 0; fin[2 + s] = 1 }
	} unless { atomic { dead[2 + s] -> n = 0; m = 0 } }
}

proctype writer(byte me)
{
	byte s, w, m, pos, id, first, st0, st1;
	byte r[NS]; /* the rows as of my transaction */
	bool ch;
	{ skip;
idle:
	atomic { s = 0; w = 0; m = 0; pos = 0; id = 0; first = 0 };
end_idle:
	atomic { root != 0 ||
		 (d_id == txid + 1 && (wlock == 0 || dead[wlock - 1])) };
txn:
	atomic { (wlock == 0 || dead[wlock - 1]) ->
		wlock = me + 1; id = txid + 1;
		r[0] = row[0];
#if NS > 1
		r[1] = row[1];
#endif
		first = NONE; ch = 0 };
#ifndef M_NODOING
	if
	:: d_id == id ->
		s = d_first;
		w = d_last;
		do
		:: s <= w -> touch(s); s++
		:: atomic { s > w -> s = 0; w = 0; break }
		od
	:: else
	fi;
#endif
	do
	::
		/* next dirty chunk from pos on; LMDB's limits end it early */
		atomic {
			if
			:: pos < NS && root && mid &&
			   ((leaf >> pos) != 0) ->
				if
				:: (leaf >> pos) & 1 -> s = pos
				:: !((leaf >> pos) & 1) -> s = pos + 1
				fi
			:: else -> break
			fi;
			if
			:: first == NONE -> first = s
			:: else
			fi
		}
#ifndef M_LATETAKE
		atomic { d_id = id; d_first = first; d_last = s };
		/* take */
		root = 0;
		mid = 0;
		leaf = leaf & ~(1 << s);
#ifndef M_NORESTORE
		if
		:: leaf -> mid = 1
		:: else
		fi;
		if
		:: mid -> root = 1
		:: else
		fi;
#endif
#endif
		/* the slot */
		atomic { w = word[s] };
		atomic { m = indexed[s] };
		if
		:: ALIVE(w) && r[s] == GEN(w) && m == GEN(w)
		:: ALIVE(w) && !(r[s] == GEN(w) && m == GEN(w)) ->
#ifndef M_MARKLATE
			atomic { if :: indexed[s] != GEN(w) ->
				indexed[s] = GEN(w) :: else fi };
#endif
			atomic { m = 0 };
			if
#ifndef M_NOREREAD
			:: word[s] != w -> touch(s)
			:: word[s] == w -> r[s] = GEN(w); ch = 1
#else
			:: true -> r[s] = GEN(w); ch = 1
#endif
			fi
		:: !ALIVE(w) ->
			atomic { if :: r[s] -> r[s] = 0; ch = 1 :: else fi;
				 if
				 :: m && s == 0 -> st0 = m
				 :: m && s == 1 -> st1 = m
				 :: else
				 fi }
#ifdef M_CLEARFIRST
			indexed[s] = 0
#endif
		fi;
#ifdef M_LATETAKE
		atomic { d_id = id; d_first = first; d_last = s };
		root = 0;
		mid = 0;
		leaf = leaf & ~(1 << s);
		if
		:: leaf -> mid = 1
		:: else
		fi;
		if
		:: mid -> root = 1
		:: else
		fi;
#endif
		atomic { pos = s + 1; s = 0; w = 0; m = 0 };
#if NS > 1
		if
		:: true
		:: atomic { pos < NS -> break }
		fi
#endif
	od;
	if
	:: ch && fails < FAILS ->
		atomic { fails++; wlock = 0; r[0] = 0; ch = 0; st0 = 0;
			 st1 = 0; goto idle }
	:: ch ->
		atomic { row[0] = r[0]; txid++;
#if NS > 1
			 row[1] = r[1];
#endif
#ifndef M_MARKLATE
			 assert(INVARIANT)
#endif
		}
#ifdef M_MARKLATE
		atomic { if :: r[0] -> indexed[0] = r[0] :: else fi };
#endif
	:: else -> atomic { d_id = 0; d_first = 0; d_last = 0 }
	fi;
	atomic { wlock = 0; r[0] = 0; ch = 0;
#if NS > 1
		 r[1] = 0;
#endif
	};
	/* marks whose rows are gone */
#ifdef M_BADCLEAR
	atomic { if :: st0 -> indexed[0] = 0; st0 = 0 :: else fi };
#else
	atomic { if :: st0 && indexed[0] == st0 -> indexed[0] = 0 :: else fi;
		 st0 = 0 };
#if NS > 1
	atomic { if :: st1 && indexed[1] == st1 -> indexed[1] = 0 :: else fi;
		 st1 = 0 };
#endif
#endif
	atomic {
		id = 0; first = 0;
#ifndef M_MARKLATE
		assert(INVARIANT);
#endif
		if
		:: pos < NS && leaf >> pos -> goto txn
		:: else -> goto idle
		fi
	}
	} unless {
		atomic {
			dead[me] -> s = 0; w = 0; m = 0; pos = 0; id = 0;
			first = 0; st0 = 0; st1 = 0; r[0] = 0; ch = 0
#if NS > 1
			; r[1] = 0
#endif
		}
	}
}

#if NAMER
proctype namer()
{
	byte n, s;
end_idle:
	do
	:: atomic { n < NAMER && (wlock == 0 || dead[wlock - 1]) ->
		wlock = 5; n++ };
#ifndef M_NAMEDOING
		if
		:: d_id == txid + 1 ->
			s = d_first;
			do
			:: s <= d_last -> touch(s); s++
			:: atomic { s > d_last -> s = 0; break }
			od
		:: else
		fi;
#endif
		if
		:: txid++ /* commit */
		:: skip   /* abort */
		fi;
		wlock = 0
	:: n == NAMER -> break
	od
}
#endif

proctype janitor()
{
	byte i, m;
end_idle:
	atomic {
		if
		:: dead[2] && !reset[2] -> i = 2
		:: dead[3] && !reset[3] -> i = 3
		fi
	}
	/* what the dead one held is freed, or others hold it still */
	if
	:: ALIVE(word[i - 2]) -> free_slot(i - 2)
	:: true
	fi;
#ifndef M_NORESET
	leaf = (1 << NS) - 1;
	mid = 1;
	root = 1;
#endif
	atomic { reset[i] = 1; i = 0; goto end_idle }
}

proctype killer()
{
	byte k;
	do
	:: atomic { k < KILLS && !dead[0] && NWR > 1 -> dead[0] = 1; k++ }
	:: atomic { k < KILLS && !dead[2] && !fin[2] -> dead[2] = 1; k++ }
#if NS > 1
	:: atomic { k < KILLS && !dead[3] && !fin[3] -> dead[3] = 1; k++ }
#endif
	:: break
	od
}

proctype audit()
{
	byte s;
	timeout;
	d_step {
		assert(!root && !mid && !leaf);
		do
		:: s < NS ->
			assert(row[s] == (ALIVE(word[s]) -> GEN(word[s]) : 0));
			assert(!row[s] || indexed[s] == row[s]);
			assert(row[s] || !indexed[s] || dead[0] || fails);
			s++
		:: else -> break
		od
	}
}

init {
	atomic {
		run owner(0);
#if NS > 1
		run owner(1);
#endif
#if NWR > 1
		run writer(0);
#endif
		run writer(1);
#if NAMER
		run namer();
#endif
		run janitor(); run killer(); run audit()
	}
}
