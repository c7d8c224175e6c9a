/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs, inside: what a graph looks like in the store, and what its files have of
 * each other.
 *
 * A graph is one sealed object, which is not spilled, and whose bytes those that run
 * it go on to change: its nodes, their results, and bits that say where to look. Who
 * runs it has a reference on it, so it is there as long as anybody writes to it.
 *
 *   node    {run 32, inputs that are there 8, runner 8, deaths 8, state 8}
 *
 *             the last input comes      a CAS by who runs it      its result is there
 *   WAITING -----------------------> READY ----------------> RUN -----------------> DONE
 *
 * A node of an earlier run is WAITING, without inputs: nothing is put back between
 * runs. Every step may be done again: a node that is DONE gives a bit to each that
 * takes its result, not a count. So what a runner leaves that was killed is derived
 * from the nodes. Its next attempt makes those READY again that it RUNs, and gives
 * once more what all that are DONE give. The bits of nodes that are READY are an
 * index: a runner that finds none looks at the nodes themselves.
 */
#ifndef MOBI_GRAPH_H
#define MOBI_GRAPH_H

#include "runtime.h"

#include <mobula/graph.h>

/* ---- layout of the object ---- */

#define MOBI_GRAPH_MAGIC UINT64_C(0x6870617267626f6d)
#define MOBI_GRAPH_LEVELS 5u
#define MOBI_GRAPH_FAN 32u /* of the tree of ends */
#define MOBI_GRAPH_RUNNERS 64u
#define MOBI_GRAPH_DEATHS 3u /* times that a node is run again for them */

enum { MOBI_N_WAITING = 0, MOBI_N_READY, MOBI_N_RUN, MOBI_N_DONE };
#define MOBI_N_WORD(run, here, runner, deaths, state)                          \
	((uint64_t)(run) << 32 | (uint64_t)(here) << 24 |                      \
	 (uint64_t)(runner) << 16 | (uint64_t)(deaths) << 8 | (state))
#define MOBI_N_OF_RUN(w) ((uint32_t)((w) >> 32))
#define MOBI_N_HERE(w) ((uint32_t)((w) >> 24) & 255u)
#define MOBI_N_RUNNER(w) ((uint32_t)((w) >> 16) & 255u)
#define MOBI_N_DEATHS(w) ((uint32_t)((w) >> 8) & 255u)
#define MOBI_N_STATE(w) ((uint32_t)(w)&255u)

/* An argument: an offset in the object; or, with this bit, one of its objects. */
#define MOBI_GRAPH_OUTER 0x80000000u

struct mobi_graph_node {
	mobi_a64 word;
	uint32_t arg[MOB_ARGS_MAX];
	uint32_t ret;    /* offset of the first result */
	uint32_t next;   /* first of those that take its results ... */
	uint32_t n_next; /* so many; 0: it is the next-th end */
	uint16_t fn;     /* number of the function */
	uint8_t need;    /* a bit for each argument that another node gives */
	uint8_t reserved;
	uint64_t reserved2;
};
_Static_assert(sizeof(struct mobi_graph_node) == 64, "a node is a line");

/* One that takes a result: {node 24, arguments 8}. */
#define MOBI_GRAPH_NEXT(node, args) ((node) << 8 | (args))

/* A value that is read of an object: of which, and as which argument of which
 * node, whose function gives the type. */
struct mobi_graph_outer {
	uint32_t ref; /* of those that a runner is given */
	uint32_t node;
	uint32_t arg;
	uint32_t reserved;
};

struct mobi_graph_head {
	uint64_t magic;
	uint64_t size;
	uint32_t n_nodes;
	uint32_t n_ends;
	uint32_t n_outer;
	uint32_t n_roots;
	/* Offsets. */
	uint32_t node;
	uint32_t next;
	uint32_t outer;
	uint32_t root;
	uint32_t ready; /* a bit a node */
	uint32_t some; /* a bit for each word of those: hint that it is not 0 */
	uint32_t end[MOBI_GRAPH_LEVELS]; /* words {run 32, children 32} */
	uint32_t n_levels;
	/* Changes at the ends of a run. */
	_Alignas(MOBI_CACHELINE) mobi_a32 run;
	mobi_a32 over;   /* that run: none begins another node */
	mobi_a32 done;   /* that run: all nodes are DONE */
	mobi_a64 failed; /* {run, runner} that ended it, + 1 */
	mobi_a64 begun;  /* runners that have begun, a bit each */
	mobi_a64 hungry; /* those that have nothing to run: a hint */
	/* For runners that sleep. */
	_Alignas(MOBI_CACHELINE) mobi_a32 bell;
	mobi_a32 asleep;
};

/* ---- a runner ---- */

#define MOBI_GRAPH_HAND 256u

MOB_TASK_DECLARE(int32_t, mobi_graph_runner, mob_ref, graph, uint32_t, run,
		 uint32_t, me, mob_args, outer);

/* Who runs nodes, in private memory. */
struct mobi_graph_run {
	unsigned char *at; /* the object, which may be written to */
	struct mobi_graph_head *h;
	struct mobi_graph_node *node;
	uint32_t run;
	uint32_t me;
	uint32_t cursor; /* word of bits to begin with */
	uint32_t n;
	uint32_t hand[MOBI_GRAPH_HAND]; /* nodes that were READY, to run next */
	void **outer;                   /* values of objects; of this process */
};

/* The object of a graph, or NULL: it is damaged. */
unsigned char *mobi_graph_at(uint64_t id);

/* Puts the bits of nodes that are READY: all, or one. */
uint32_t mobi_graph_look(const struct mobi_graph_run *r);
void mobi_graph_offer(const struct mobi_graph_run *r, uint32_t n);
/* Wakes runners that sleep. */
void mobi_graph_ring(const struct mobi_graph_run *r);
/* Takes nodes that have bits into the hand. False: there are none. */
bool mobi_graph_take(struct mobi_graph_run *r);
/* What follows from node n being DONE. May be done again. */
void mobi_graph_follow(struct mobi_graph_run *r, uint32_t n);
/* Half of the hand is for others, if any has nothing. */
void mobi_graph_share(struct mobi_graph_run *r);

/* ---- recording (graph_capture.c, graph_build.c) ---- */

struct mobi_graph_value {
	const struct mob_type *type;
	uint32_t call; /* that gives it; MOBI_GRAPH_INPUT: nobody */
	uint32_t off;  /* while recording: of its node's results */
	bool set;
};
#define MOBI_GRAPH_INPUT UINT32_MAX

/* An argument of a call that was recorded. */
enum { MOBI_GA_CONST, MOBI_GA_VALUE, MOBI_GA_OUTER };
struct mobi_graph_call {
	const struct mob_task_def *def;
	uint32_t kind[MOB_ARGS_MAX];
	uint32_t arg[MOB_ARGS_MAX]; /* offset of constants, value, or outer */
	uint32_t first;             /* value */
	uint32_t n_next;
	uint32_t level;
};

/* An array that grows. */
struct mobi_graph_list {
	void *at;
	uint32_t n;
	uint32_t max;
};

struct mob_graph {
	uint64_t serial;               /* of its session */
	uint32_t tag;                  /* of refs of its capture */
	bool records;                  /* a context has it */
	bool made;                     /* there is an object */
	bool runs;                     /* runners are there */
	bool ran;                      /* the last run went well */
	int rc;                        /* first error of recording */
	char why[400];                 /* and its text */
	uint64_t id;                   /* of the object, which it holds */
	unsigned char *at;             /* the object, which may be written to */
	uint32_t run;                  /* the last */
	uint32_t n_workers;            /* runners of a run */
	uint32_t width;                /* nodes of the widest level */
	struct mobi_graph_list values; /* struct mobi_graph_value */
	struct mobi_graph_list calls;  /* struct mobi_graph_call */
	struct mobi_graph_list consts; /* bytes */
	struct mobi_graph_list outers; /* struct mobi_graph_outer */
	struct mobi_graph_list refs; /* uint64_t, held: objects that are read */
	struct mobi_graph_list kept; /* uint64_t, held: refs passed on */
	uint64_t runner[MOBI_GRAPH_RUNNERS]; /* results, held; 0: none */
	uint32_t n_runners;
};

/* Room for n more; NULL, and an error, without memory or beyond a limit. */
void *mobi_graph_grow(struct mobi_graph_list *l, size_t size, uint32_t n,
		      uint32_t max);

/* Does it still? One of a session that has ended does not. */
bool mobi_graph_records(struct mobi_context *c);
/* mob_submit_raw while c records. */
int mobi_graph_record(struct mobi_context *c, const struct mob_task_def *def,
		      bool has_opts, const struct mob_arg *args, size_t n_refs,
		      struct mob_ref *out_refs);
/* Value of a ref of the capture; BAD_REF. */
int mobi_graph_value_of(const struct mob_graph *g, struct mob_ref ref,
			const char *call, struct mobi_graph_value **out_value);
/* Makes the object. */
int mobi_graph_build(struct mob_graph *g);

static inline uint32_t mobi_graph_up(uint64_t n, uint32_t align)
{
	return (uint32_t)((n + align - 1) / align * align);
}

#endif /* MOBI_GRAPH_H */
