/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs, inside: what a graph looks like in the store, and what its files have of
 * each other.
 *
 * A graph is one sealed object, which is not spilled, and whose bytes those that run
 * it go on to change: lanes, each with all that a run needs, its results included. Who
 * runs it has a reference on it, so it is there as long as anybody writes to it.
 *
 *   node    {run 32, inputs that are there 8, runner 8, of those bad 8, deaths 4, state 4}
 *
 *             the last input comes      a CAS by who runs it      its result is there
 *   WAITING -----------------------> READY ----------------> RUN -----------------> DONE
 *                                                             |                  FAILED
 *                                                             +--- no result -----^
 *
 * A node of an earlier run is WAITING, without inputs: nothing is put back between
 * runs. Every step may be done again: a node that is DONE gives a bit to each that
 * takes its result, not a count. So what a runner leaves that was killed is derived
 * from the nodes. Its next attempt makes those READY again that it RUNs, and gives
 * once more what all that are DONE give. The bits of nodes that are READY are an
 * index: a runner that finds none looks at the nodes themselves.
 *
 * LANES. Run k is in lane k modulo their number, which is one more than the runs that
 * may be in flight: the values of the last run that was waited for, and those that
 * a channel brings from the run before, are where no run writes. The offsets in the
 * nodes of a lane are into that lane; those of a channel, into the lane before it.
 * A node gives a bit to the readers of its channels in the next lane, whether or not
 * the run there has begun; and it does so BEFORE the readers in its own run get
 * theirs, so that a run that is done has told the next one.
 *
 * RUNNERS run nodes of all lanes, and stay as long as there are any to run.
 *
 *   crew    {last run that began 32, somebody waits 1, runners that are there 31}
 *
 * A runner leaves by a CAS on that, so that a run that begins at the same time knows
 * who is there. Who waits for a run is woken by a runner that leaves: a wait for tasks,
 * as any other.
 */
#ifndef MOBI_GRAPH_H
#define MOBI_GRAPH_H

#include "runtime.h"

#include <mobula/graph.h>

/* ---- layout of the object ---- */

#define MOBI_GRAPH_MAGIC UINT64_C(0x6870617267626f6d)
#define MOBI_GRAPH_LEVELS 5u
#define MOBI_GRAPH_FAN 32u /* of the tree of ends */
#define MOBI_GRAPH_RUNNERS 31u
#define MOBI_GRAPH_WANTED 0x80000000u /* in crew: somebody waits */
#define MOBI_GRAPH_DEATHS 14u         /* so many are counted of a node */
#define MOBI_GRAPH_FOR_EVER 15u
#define MOBI_GRAPH_ERROR 8192u /* bytes of an error, with its time */

enum {
	MOBI_N_WAITING = 0,
	MOBI_N_READY,
	MOBI_N_RUN,
	MOBI_N_DONE,
	MOBI_N_FAILED
};
#define MOBI_N_WORD(run, here, runner, bad, deaths, state)                     \
	((uint64_t)(run) << 32 | (uint64_t)(here) << 24 |                      \
	 (uint64_t)(runner) << 16 | (uint64_t)(bad) << 8 |                     \
	 (uint64_t)(deaths) << 4 | (state))
#define MOBI_N_OF_RUN(w) ((uint32_t)((w) >> 32))
#define MOBI_N_HERE(w) ((uint32_t)((w) >> 24) & 255u)
#define MOBI_N_RUNNER(w) ((uint32_t)((w) >> 16) & 255u)
#define MOBI_N_BAD(w) ((uint32_t)((w) >> 8) & 255u)
#define MOBI_N_DEATHS(w) ((uint32_t)((w) >> 4) & 15u)
#define MOBI_N_STATE(w) ((uint32_t)(w)&15u)

/* An argument: an offset in the object; or, with this bit, one of its objects. */
#define MOBI_GRAPH_OUTER 0x80000000u

struct mobi_graph_node {
	mobi_a64 word;
	uint32_t arg[MOB_ARGS_MAX];
	uint32_t ret;    /* offset of the first result */
	uint32_t next;   /* first of those that take its results ... */
	uint32_t n_next; /* so many; 0: it is the next-th end */
	uint16_t fn;     /* number of the function */
	uint8_t need;    /* a bit for each argument that a node gives */
	uint8_t set;     /* a bit for each that is not of the run before now */
	uint32_t later;  /* first of those that read it in the next run ... */
	uint32_t n_later;
};
_Static_assert(sizeof(struct mobi_graph_node) == 64, "a node is a line");

/* What a node has of its options. */
struct mobi_graph_opts {
	uint8_t name;    /* row of its own name + 1, or 0 */
	uint8_t retries; /* after its worker died; or MOBI_GRAPH_FOR_EVER */
};

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
	uint32_t n_tails;
	uint32_t n_lanes;
	uint32_t n_runners;
	uint32_t n_levels;
	/* Offsets. */
	uint32_t
		next; /* MOBI_GRAPH_NEXT of nodes, of the same run and the next */
	uint32_t outer;
	uint32_t opts; /* struct mobi_graph_opts of each node */
	uint32_t root; /* nodes that need no other */
	uint32_t tail; /* MOBI_GRAPH_NEXT of those that read channels */
	uint32_t lane; /* the first */
	uint32_t lane_size;
	/* Offsets in a lane. */
	uint32_t node;
	uint32_t ready; /* a bit a node */
	uint32_t some; /* a bit for each word of those: hint that it is not 0 */
	uint32_t error;                  /* of each runner */
	uint32_t end[MOBI_GRAPH_LEVELS]; /* words {run 32, children 32} */
	/* Who runs. */
	_Alignas(MOBI_CACHELINE) mobi_a64 crew;
	mobi_a64 wanted; /* {run 32, lane 32} that somebody waits for */
	mobi_a32 stop;   /* none begins another node */
	mobi_a32 begun;  /* runners that have, a bit each */
	mobi_a32 hungry; /* those that have nothing to run: a hint */
	mobi_a32 turn[MOBI_GRAPH_RUNNERS]; /* how often each was submitted */
	/* For runners that sleep. */
	_Alignas(MOBI_CACHELINE) mobi_a32 bell;
	mobi_a32 asleep;
};

/* Numbers of runs wrap. */
static inline bool mobi_graph_newer(uint32_t run, uint32_t than)
{
	return (int32_t)(run - than) > 0;
}

/* How a lane begins. It is at work as long as its run is not the one that is done. */
struct mobi_graph_lane {
	_Alignas(MOBI_CACHELINE) mobi_a32 run;
	mobi_a32 done;
	mobi_a64 failed; /* {run 32, runners that have an error of it 32} */
};

/* An error of a node: that of a run is the oldest of its runners'. */
struct mobi_graph_error {
	uint64_t at_ns;
	uint64_t size;
	unsigned char bytes[MOBI_GRAPH_ERROR - 16];
};

static inline struct mobi_graph_lane *
mobi_graph_lane(const struct mobi_graph_head *h, uint32_t lane)
{
	return (void *)((unsigned char *)(uintptr_t)h + h->lane +
			(size_t)lane * h->lane_size);
}

static inline void *mobi_graph_in(const struct mobi_graph_lane *l, uint32_t off)
{
	return (unsigned char *)(uintptr_t)l + off;
}

static inline bool mobi_graph_at_work(const struct mobi_graph_lane *l)
{
	return mobi_load(&l->run) != mobi_load(&l->done);
}

/* ---- a runner ---- */

#define MOBI_GRAPH_HAND 256u

MOB_TASK_DECLARE(int32_t, mobi_graph_runner, mob_ref, graph, uint32_t, turn,
		 uint32_t, me, mob_args, outer);

/* A node of a lane. */
struct mobi_graph_at {
	uint32_t lane;
	uint32_t n;
};

/* Who runs nodes, in private memory. */
struct mobi_graph_run {
	unsigned char *at; /* the object, which may be written to */
	struct mobi_graph_head *h;
	uint32_t me;
	uint32_t lane;   /* to begin with */
	uint32_t cursor; /* word of bits to begin with */
	bool ended;      /* a run is done by what this one did */
	uint32_t n;
	/* Nodes that were READY, to run next. */
	struct mobi_graph_at hand[MOBI_GRAPH_HAND];
	void **outer; /* values of objects; of this process */
};

static inline struct mobi_graph_lane *
mobi_graph_lane_of(const struct mobi_graph_run *r, uint32_t lane)
{
	return mobi_graph_lane(r->h, lane);
}

static inline struct mobi_graph_node *
mobi_graph_node(const struct mobi_graph_run *r, struct mobi_graph_at n)
{
	struct mobi_graph_node *node =
		mobi_graph_in(mobi_graph_lane(r->h, n.lane), r->h->node);

	return &node[n.n];
}

static inline uint32_t mobi_graph_lane_after(const struct mobi_graph_head *h,
					     uint32_t lane)
{
	return lane + 1 < h->n_lanes ? lane + 1 : 0;
}

static inline uint32_t mobi_graph_lane_before(const struct mobi_graph_head *h,
					      uint32_t lane)
{
	return (lane ? lane : h->n_lanes) - 1;
}

/* The object of a graph, or NULL: it is damaged. */
unsigned char *mobi_graph_of(uint64_t id);

/* Puts the bits of nodes that are READY in runs that have begun: all, or one. */
uint32_t mobi_graph_look(const struct mobi_graph_run *r);
void mobi_graph_offer(const struct mobi_graph_run *r, struct mobi_graph_at n);
/* Wakes runners that sleep. */
void mobi_graph_ring(const struct mobi_graph_run *r);
/* Takes nodes that have bits into the hand. False: there are none. */
bool mobi_graph_take(struct mobi_graph_run *r);
/* The inputs `args` of a node are there for a run. True: it is READY, by this. */
bool mobi_graph_arrive(struct mobi_graph_node *node, uint32_t run,
		       uint32_t args, bool bad);
/* What follows from a node being DONE, or FAILED, which its word w says. May be done
 * again, even if the run is over and the lane has another. */
void mobi_graph_follow(struct mobi_graph_run *r, struct mobi_graph_at n,
		       uint64_t w);
/* Part of the hand is for others: half if any has nothing, or all. */
void mobi_graph_share(struct mobi_graph_run *r, bool all);

/* ---- errors (graph_error.c) ---- */

/* Has a run failed? *out_e is its oldest error; NULL if it has not. */
bool mobi_graph_failed(const struct mobi_graph_head *h, uint32_t lane,
		       uint32_t run, struct mobi_error **out_e);
/* Runner `me` has error e of a run, which is the first that it has. NULL: it was of
 * another runner, which has taken it back. */
void mobi_graph_fail(const struct mobi_graph_run *r, uint32_t lane,
		     uint32_t run, const struct mobi_error *e);
/* It has none. */
void mobi_graph_unfail(const struct mobi_graph_run *r, uint32_t lane,
		       uint32_t run);

/* ---- recording (graph_capture.c, graph_build.c) ---- */

/* A string or a span, where values are: this, and its bytes. */
struct mobi_graph_sized {
	uint64_t len;
	uint64_t max; /* of what mob_graph_room allowed; constant */
};

struct mobi_graph_value {
	const struct mob_type *type;
	uint32_t size; /* bytes that it takes */
	uint32_t max;  /* of a string or a span */
	uint32_t call; /* that gives it; MOBI_GRAPH_INPUT: nobody */
	uint32_t off;  /* in the first lane; while recording, of its results */
	uint32_t from; /* of a channel: the value that is written to it */
	uint32_t room; /* of inputs and channels: offset in what is set */
	uint64_t
		set; /* number of the set; 0: never. A channel: 0 for the next */
};
#define MOBI_GRAPH_INPUT UINT32_MAX
#define MOBI_GRAPH_CHANNEL (UINT32_MAX - 1)
#define MOBI_GRAPH_NOBODY UINT32_MAX /* writes it */

/* An argument of a call that was recorded. */
enum { MOBI_GA_CONST, MOBI_GA_VALUE, MOBI_GA_OUTER };
struct mobi_graph_call {
	const struct mob_task_def *def;
	uint32_t kind[MOB_ARGS_MAX];
	uint32_t arg[MOB_ARGS_MAX]; /* offset of constants, value, or outer */
	uint32_t first;             /* value */
	uint32_t n_next;
	uint32_t n_later;
	uint32_t level;
	struct mobi_graph_opts opts;
};

#define MOBI_GRAPH_BYTES_MAX (1u << 30) /* of constants, or of inputs */

/* An array that grows. */
struct mobi_graph_list {
	void *at;
	uint32_t n;
	uint32_t max;
};

/* A runner whose task has failed. */
struct mobi_graph_broken {
	struct mobi_error *error; /* NULL: mobi_graph_why gave it */
	uint32_t run;             /* the last that had begun then */
	bool is;
	bool fatal; /* others cannot do what it did */
};

struct mob_graph {
	uint64_t serial; /* of its session */
	uint32_t tag;    /* of refs of its capture */
	bool records;    /* a context has it */
	bool made;       /* there is an object */
	bool ran;        /* the last run went well */
	bool linked; /* what the last run writes to channels is, or will be there */
	int rc;      /* first error of recording */
	char why[400];     /* and its text */
	uint64_t id;       /* of the object, which it holds */
	unsigned char *at; /* the object, which may be written to */
	uint32_t room_max; /* of strings and spans that are recorded; 0: none */
	uint32_t window;   /* runs that may be in flight */
	uint32_t run;      /* the last that began */
	uint32_t lane;     /* of it */
	uint32_t n_flying; /* runs in flight, the last included */
	uint32_t seen;     /* lane of the last that was waited for */
	uint32_t n_workers;            /* of the session */
	uint32_t width;                /* nodes of the widest level */
	struct mobi_graph_list values; /* struct mobi_graph_value */
	struct mobi_graph_list calls;  /* struct mobi_graph_call */
	struct mobi_graph_list consts; /* bytes */
	struct mobi_graph_list outers; /* struct mobi_graph_outer */
	struct mobi_graph_list refs; /* uint64_t, held: objects that are read */
	struct mobi_graph_list kept; /* uint64_t, held: refs passed on */
	struct mobi_graph_list inputs; /* uint32_t: values that are set */
	struct mobi_graph_list stage;  /* bytes of those */
	uint64_t sets;                 /* so far */
	uint64_t copied[MOB_GRAPH_WINDOW_MAX + 1]; /* sets that a lane has */
	uint64_t runner[MOBI_GRAPH_RUNNERS];       /* results, held; 0: none */
	struct mobi_graph_broken broken[MOBI_GRAPH_RUNNERS];
};

/* Room for n more; NULL, and an error, without memory or beyond a limit. */
void *mobi_graph_grow(struct mobi_graph_list *l, size_t size, uint32_t n,
		      uint32_t max);

/* Does it still? One of a session that has ended does not. */
bool mobi_graph_records(struct mobi_context *c);
/* MOB_E_STATE, which names the call, if this thread records: the tasks that it would submit
 * are no nodes. The capture goes on as if it had not been called. */
int mobi_graph_refuses(const char *call);
struct mob_ref mobi_graph_ref(const struct mob_graph *g, uint32_t value);
/* n values more, which a call gives, or are inputs or channels. */
int mobi_graph_add(struct mob_graph *g, uint32_t n, uint32_t call,
		   const struct mob_type *const *types);
static inline bool mobi_graph_is_sized(const struct mob_type *type)
{
	return type->kind == MOB_KIND_STR || type->kind == MOB_KIND_SPAN;
}

/* The capture fails with that. */
void mobi_graph_refuse(struct mob_graph *g, int rc);
/* mob_submit_raw while c records. */
int mobi_graph_record(struct mobi_context *c, const struct mob_task_def *def,
		      const struct mob_task_opts *o, const struct mob_arg *args,
		      size_t n_refs, struct mob_ref *out_refs);
/* Value of a ref of the capture; BAD_REF. */
int mobi_graph_value_of(const struct mob_graph *g, struct mob_ref ref,
			const char *call, struct mobi_graph_value **out_value);
/* Is the graph one that can run? */
int mobi_graph_check(const struct mob_graph *g, const char *call);
/* Writes a value to where it is; LIMIT: it is too large. what: for the message. */
int mobi_graph_store(const struct mob_type *type, const void *value, void *to,
		     const char *what);
/* Reads it; strings and spans point to it. */
int mobi_graph_load(const struct mob_type *type, const void *at,
		    const char *what, void *out);
/* A view of the graph as those that run it have. */
struct mobi_graph_run mobi_graph_view(const struct mob_graph *g);
/* All nodes are as after run g->run. Nobody runs any. */
void mobi_graph_reset(const struct mob_graph *g);
/* Makes the object. */
int mobi_graph_build(struct mob_graph *g);

/* ---- runners, for who begins runs (graph_crew.c) ---- */

/* The run that began first, of those in flight, of which there are some. */
uint32_t mobi_graph_oldest(const struct mob_graph *g, uint32_t *out_lane);
/* Submits those that are missing. An error: there is none. */
int mobi_graph_man(struct mob_graph *g);
/* Looks at those that have ended. */
void mobi_graph_collect(struct mob_graph *g);
/* Is nobody left who could do the oldest run, because of an error? */
bool mobi_graph_broke(const struct mob_graph *g);
/* That error, which is the caller's; once for all that are broken. */
struct mobi_error *mobi_graph_why(struct mob_graph *g);
/* Waits for one or more to end. */
int mobi_graph_wait_some(struct mob_graph *g, int64_t timeout_ns);
/* Ends all runs in flight, and waits for those that run. */
void mobi_graph_stop(struct mob_graph *g);

static inline uint32_t mobi_graph_up(uint64_t n, uint32_t align)
{
	return (uint32_t)((n + align - 1) / align * align);
}

#endif /* MOBI_GRAPH_H */
