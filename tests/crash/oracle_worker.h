/* SPDX-License-Identifier: Apache-2.0 */
/* A process that works on a store, and says in the oracle what it did. */
#ifndef ORACLE_WORKER_H
#define ORACLE_WORKER_H

#include "oracle_compare.h"

#define WORKERS 4
#define MINE_MAX 14
#define VIEWS_MAX 2
#define NAMES 40 /* that there can be */
#define LARGE_MAX (250 * KIB)

enum {
	OP_PUT,
	OP_CREATE,
	OP_REFS,
	OP_RANGE,
	OP_STREAM,
	OP_GET,
	OP_UNVIEW,
	OP_DROP,
	OP_SYNC,
	OP_SEAL,
	OP_HOLD,
	OP_NAME_PUT,
	OP_NAME_GET,
	OP_NAME_REMOVE,
	OP_PIN,
	OP_UNPIN,
	OP_FREE,
	OPS
};

struct shared {
	mobi_a32 number[WORKERS]; /* in the store, of each that lives */
	mobi_a32 failed;
	mobi_a32 pause;
	mobi_a32 end;
	mobi_a64 version[NAMES]; /* that each name has had */
	mobi_a32 evicted;        /* some were, since the last comparison */
	mobi_a64 ops[OPS];
	char dir[64];
	char name[MOB_STORE_NAME_MAX + 1];
};

/* One that is being written. */
struct draft {
	struct mob_ref ref;
	void *at;
	uint64_t size;
};

struct worker {
	struct mob_store *s;
	struct shared *sh;
	struct oracle o;
	uint64_t random;
	uint32_t proc;
	struct mob_ref mine[MINE_MAX]; /* held; one may be there twice */
	uint32_t n_mine;
	struct mob_view view[VIEWS_MAX];
	uint32_t n_views;
	struct draft draft;
	bool has_draft;
	int beat; /* written to now and then: the parent kills by it */
};

/* ---- operations; what is an error ends the process ---- */

/* Those that only concern this process: beside the others. */
void oracle_do_drop(struct worker *w);
void oracle_do_put(struct worker *w);
void oracle_do_create(struct worker *w);
void oracle_do_refs(struct worker *w);
void oracle_do_range(struct worker *w);
void oracle_do_stream(struct worker *w);
void oracle_do_get(struct worker *w);
void oracle_do_unview(struct worker *w);
void oracle_do_sync(struct worker *w);
/* Those that others depend on: under the oracle's lock. */
void oracle_do_seal(struct worker *w);
void oracle_do_hold(struct worker *w);
void oracle_do_name_put(struct worker *w);
void oracle_do_name_get(struct worker *w);
void oracle_do_name_remove(struct worker *w);
void oracle_do_pin(struct worker *w);
void oracle_do_unpin(struct worker *w);
void oracle_do_free(struct worker *w);

/* ---- help ---- */

_Noreturn void oracle_give_up(struct worker *w, int line, const char *fmt, ...)
	MOB_PRINTF(3, 4);
#define FAIL(w, ...) oracle_give_up((w), __LINE__, __VA_ARGS__)

static inline void oracle_expect(struct worker *w, int rc, int line)
{
	if (rc < 0) {
		oracle_give_up(w, line, "%s: %s", mob_err_name(rc),
			       mob_err_detail(rc));
	}
}
#define EXPECT(w, rc) oracle_expect((w), (rc), __LINE__)

static inline uint64_t rnd(struct worker *w, uint64_t below)
{
	return next_random(&w->random) % below;
}

void random_bytes(struct worker *w, void *at, uint64_t size);
uint64_t random_size(struct worker *w);
struct mob_ref any_of_mine(struct worker *w);
void keep(struct worker *w, struct mob_ref r);
void forget(struct worker *w, uint32_t i);
void begin(struct worker *w);
void commit(struct worker *w);

#endif /* ORACLE_WORKER_H */
