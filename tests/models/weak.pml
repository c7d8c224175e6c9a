/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pairs of docs/memory-order.md on machines that reorder: ARMv8 and x86.
 *
 * The other models take the steps of a process in the order of the program. Here a
 * process does its accesses in any order that its machine allows, each of them at
 * once for all (ARMv8 is multi-copy atomic, Pulte and others, POPL 2018; x86 is TSO,
 * Sewell and others, CACM 2010). What has to stay in order:
 *
 *   ARM   accesses to one word; what comes after a load-acquire (LDAR), what comes
 *         before a store-release (STLR), and a load-acquire after a store-release.
 *         A read-modify-write is LDAXR and STLXR: two accesses between which nobody
 *         else writes the word (only those that succeed are looked at), and others
 *         of the process may come.
 *   x86   all but a load after a plain store to another word; a sequentially
 *         consistent store is XCHG, a read-modify-write is locked: both are fences.
 *
 * A load that takes the value of an own store before others see it is not modelled:
 * in these shapes nobody reads what it has written itself.
 *
 * SHAPE
 *   SB    two processes write one word each by read-modify-write, and then read the
 *         other's: hold and free, wait and seal, bell and asleep, announce and sum,
 *         idle bit and board, dirty bit and slot, row and free. Not both may miss.
 *   SBST  the same with stores: tickets, `used`.
 *   MP    relaxed stores, then the read-modify-write that publishes them: value and
 *         seal, edge and link. Who sees the second sees the first.
 *   MPS   a release store that is scanned: `ref` and `word` of an edge.
 *   ISA   three processes: value and seal; seal seen, ready bit set; bit seen, value
 *         read: what a worker reads of an argument whose seal it never looked at.
 *
 * Mutants: M_LOADRELAXED (SB, SBST: the loads are plain), M_RMWRELAXED (SB, MP: the
 * read-modify-writes are), M_STRELEASE (SBST: release stores and acquire loads as
 * C11 has them on ARMv8.3 with LDAPR, and on x86), M_SEALRELAXED (MP, MPS: who
 * publishes), M_READRELAXED (MP, MPS, ISA: who reads).
 */
#ifndef SHAPE
#define SHAPE SB
#endif
#define SB 1
#define SBST 2
#define MP 3
#define MPS 4
#define ISA 5

#define NA 4 /* accesses of a process */
#define NT 3

#define NONE 0
#define R 1
#define W 2
#define RX 3 /* of a read-modify-write */
#define WX 4

#define AT(t, i) ((t) * NA + (i))

byte kind[12];
byte word[12];
bool acq[12];  /* a load: LDAR, LDAXR */
bool rel[12];  /* a store: STLR, STLXR; on x86: a fence */
bool rcpc[12]; /* a load that a store-release does not wait for: LDAPR */
bool done[12];
byte got[12];
byte mem[4];
byte excl[4]; /* process + 1 between its RX and WX */
byte ended;

#define IS_W(x) (kind[x] == W || kind[x] == WX)

/* Must the access x of the program come before y? */
#ifdef TSO
#define BEFORE(x, y)                                                           \
	(!(kind[x] == W && !rel[x] && kind[y] == R) || word[x] == word[y])
#else
#define BEFORE(x, y)                                                           \
	(word[x] == word[y] || (!IS_W(x) && acq[x]) || (IS_W(y) && rel[y]) ||  \
	 (IS_W(x) && rel[x] && !IS_W(y) && acq[y] && !rcpc[y]))
#endif

#define OVER(t, j, i)                                                          \
	(j >= i || kind[AT(t, j)] == NONE || done[AT(t, j)] ||                 \
	 !BEFORE(AT(t, j), AT(t, i)))
#define READY(t, i)                                                            \
	(kind[AT(t, i)] != NONE && !done[AT(t, i)] && OVER(t, 0, i) &&         \
	 OVER(t, 1, i) && OVER(t, 2, i) &&                                     \
	 (kind[AT(t, i)] == R || excl[word[AT(t, i)]] == 0 ||                  \
	  excl[word[AT(t, i)]] == t + 1))

#define DO(t, i)                                                               \
	atomic {                                                               \
		READY(t, i);                                                   \
		if                                                             \
		:: kind[AT(t, i)] == W -> mem[word[AT(t, i)]] = 1              \
		:: kind[AT(t, i)] == R ->                                      \
			got[AT(t, i)] = mem[word[AT(t, i)]]                    \
		:: kind[AT(t, i)] == RX ->                                     \
			got[AT(t, i)] = mem[word[AT(t, i)]];                   \
			excl[word[AT(t, i)]] = t + 1                           \
		:: kind[AT(t, i)] == WX ->                                     \
			mem[word[AT(t, i)]] = 1;                               \
			excl[word[AT(t, i)]] = 0                               \
		fi;                                                            \
		done[AT(t, i)] = true                                          \
	}

#define ALL_DONE(t)                                                            \
	((kind[AT(t, 0)] == NONE || done[AT(t, 0)]) &&                         \
	 (kind[AT(t, 1)] == NONE || done[AT(t, 1)]) &&                         \
	 (kind[AT(t, 2)] == NONE || done[AT(t, 2)]) &&                         \
	 (kind[AT(t, 3)] == NONE || done[AT(t, 3)]))

proctype Process(byte t)
{
	do
	:: DO(t, 0)
	:: DO(t, 1)
	:: DO(t, 2)
	:: DO(t, 3)
	:: ALL_DONE(t) -> break
	od;
	ended++
}

/* An access of process t: kind, word, acquire or release. */
#define SET(t, i, k, w, strong)                                                \
	kind[AT(t, i)] = k;                                                    \
	word[AT(t, i)] = w;                                                    \
	acq[AT(t, i)] = (k == R || k == RX) && (strong);                       \
	rel[AT(t, i)] = (k == W || k == WX) && (strong)
#define RMW(t, i, w, strong)                                                   \
	SET(t, i, RX, w, strong);                                              \
	SET(t, i + 1, WX, w, strong)

#ifdef M_LOADRELAXED
#define LOAD false
#else
#define LOAD true
#endif
#ifdef M_RMWRELAXED
#define CHANGE false
#else
#define CHANGE true
#endif
#ifdef M_SEALRELAXED
#define SEAL false
#else
#define SEAL true
#endif
#ifdef M_READRELAXED
#define READ false
#else
#define READ true
#endif

init {
	atomic {
#if SHAPE == SB
		RMW(0, 0, 0, CHANGE);
		SET(0, 2, R, 1, LOAD);
		RMW(1, 0, 1, CHANGE);
		SET(1, 2, R, 0, LOAD);
#elif SHAPE == SBST
		SET(0, 0, W, 0, true);
		SET(0, 1, R, 1, LOAD);
		SET(1, 0, W, 1, true);
		SET(1, 1, R, 0, LOAD);
#ifdef M_STRELEASE
		rcpc[AT(0, 1)] = true;
		rcpc[AT(1, 1)] = true;
#ifdef TSO
		rel[AT(0, 0)] = false; /* MOV, not XCHG */
		rel[AT(1, 0)] = false;
#endif
#endif
#elif SHAPE == MP
		SET(0, 0, W, 0, false);
		SET(0, 1, W, 1, false);
		RMW(0, 2, 2, SEAL);
		SET(1, 0, R, 2, READ);
		SET(1, 1, R, 0, false);
		SET(1, 2, R, 1, false);
#elif SHAPE == MPS
		SET(0, 0, W, 0, true);
		SET(0, 1, W, 1, SEAL);
		SET(1, 0, R, 1, READ);
		SET(1, 1, R, 0, false);
#else
		SET(0, 0, W, 0, false);
		RMW(0, 1, 1, true);
		SET(1, 0, R, 1, READ);
		RMW(1, 1, 2, true);
		SET(2, 0, R, 2, READ);
		SET(2, 1, R, 0, false);
#endif
		run Process(0);
		run Process(1);
		run Process(2)
	}
	ended == 3;
#if SHAPE == SB
	assert(got[AT(0, 2)] || got[AT(1, 2)])
#elif SHAPE == SBST
	assert(got[AT(0, 1)] || got[AT(1, 1)])
#elif SHAPE == MP
	assert(!got[AT(1, 0)] || (got[AT(1, 1)] && got[AT(1, 2)]))
#elif SHAPE == MPS
	assert(!got[AT(1, 0)] || got[AT(1, 1)])
#else
	/* The bit is set whatever was seen; it says something only if it was. */
	assert(!got[AT(1, 0)] || !got[AT(2, 0)] || got[AT(2, 1)])
#endif
}
