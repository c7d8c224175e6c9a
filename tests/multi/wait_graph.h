/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs of tasks that wait for each other: a node is a task; for what each waits
 * stands in a ledger, in which they find each other's refs, too.
 */
#ifndef MOBI_TEST_WAIT_GRAPH_H
#define MOBI_TEST_WAIT_GRAPH_H

#include "live.h"

/* A sanitizer may have a thread of its own in each process. */
#if defined(__SANITIZE_THREAD__)
#define WG_HAS_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WG_HAS_THREAD 1
#endif
#endif
#ifndef WG_HAS_THREAD
#define WG_HAS_THREAD 0
#endif

#define WG_NODES 6
#define WG_ROUNDS 2

/* Words of the ledger. */
enum {
	WG_GO,      /* the refs are there */
	WG_VICTIMS, /* waits that ended in the error */
	WG_DONE,    /* nodes that waited to the end */
	WG_MADE,    /* nodes that have made what others wait for */
	WG_FREE,    /* a node that stands may go on */
	WG_BEGUN,
	WG_LOOPS, /* time-outs that have passed */
	WG_REFS,  /* {lo, hi} of the result of each node */
	/* What each waits for, one round after the other. */
	WG_PLAN = WG_REFS + 2 * WG_NODES,
	WG_WORDS = WG_PLAN + WG_NODES * WG_ROUNDS
};
extern struct live_ledger wg_ledger;

enum wg_kind {
	WG_NOTHING,
	WG_GET,
	WG_GET_ALL,
	WG_WAIT,
	WG_QUEUE,
	WG_ARGUMENT, /* of a task that is submitted and got */
	WG_TIMED,    /* get with a time-out, again and again */
	WG_TOKEN,    /* get, with a token */
	WG_STREAM,   /* item of a stream that the other node writes */
	WG_OBJECT,   /* object that the other node seals */
	WG_STAND,    /* until word FREE */
	WG_KINDS
};

/* {kind 8, need 8, n 8, targets of 5 bits}: a node waits for `need` of n others. */
uint64_t wg_plan(uint32_t kind, uint32_t need, uint32_t n,
		 const uint32_t *target);

struct wg {
	uint32_t n;
	uint64_t plan[WG_NODES][WG_ROUNDS];
	mob_ref result[WG_NODES];
	int rc[WG_NODES];
	char text[WG_NODES][1024];
	bool makers; /* d_maker, not d_node */
};

/* For tasks: the result of a node; waits until the word is n. */
mob_ref wg_ref_of(const char *path, uint64_t node);
void wg_await_word(const char *path, uint64_t word, uint64_t n);
/* For tasks: the wait itself ended in a deadlock, not what it waited for. */
bool wg_is_victim(int rc);

/* One plan of one or two targets; each waits for the next, the last for the first. */
void wg_link_node(struct wg *g, uint32_t from, uint32_t kind, uint32_t to);
void wg_link_two(struct wg *g, uint32_t from, uint32_t kind, uint32_t need,
		 uint32_t a, uint32_t b);
void wg_ring(struct wg *g, uint32_t n, uint32_t kind);

/* All nodes run when the first may wait: none is run inside the wait of another. */
void wg_submit(struct wg *g);
/* Waits until all have ended, and keeps how. */
void wg_collect(struct wg *g);
void wg_run(struct wg *g);
/* The same, and all went to the end. */
void wg_is_well(struct wg *g);

/* Workers that wait for ever, as they have published; so many, for live_await. */
uint32_t wg_sleepers(void);
bool wg_so_many_sleep(void *n);
/* So many do in the end, and none of them is in a deadlock. */
void wg_sleep_well(uint32_t n);
/* The worker that runs the task of a result. */
uint32_t wg_worker_of(mob_ref r);
/* It is stopped by a signal. */
bool wg_is_stopped(mob_ref r);

/* As new: nobody has counted anything. */
void wg_forget(void);

/* Set-up and tear-down: a session of WG_NODES workers, of one, or with two devices. */
int wg_open_many(void **state);
int wg_open_one(void **state);
int wg_open_devices(void **state);
int wg_close_test(void **state);

/* A session of four workers with the ledger, for live_begin and live_each_fault. */
extern const struct live_session wg_four;

#endif /* MOBI_TEST_WAIT_GRAPH_H */
