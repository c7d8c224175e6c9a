/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps, inside: what a chunk of calls looks like in the store, the tasks that run
 * them, and what the files of maps have of each other.
 *
 * All of it is of processes and of sealed objects: nothing here is shared that can
 * be half written. What a process that dies had in flight is undone as any refs
 * and tasks of it are.
 */
#ifndef MOBI_MAP_H
#define MOBI_MAP_H

#include "frame.h"
#include "runtime.h"

#include <mobula/map.h>

/* ---- objects ---- */

/* Calls of one function: this, then each call. The object keeps alive what the
 * arguments name. */
MOB_ARRAY(mobi_map_calls, unsigned char);
struct mobi_batch {
	uint32_t fn; /* number of the function */
	uint32_t op; /* number + 1 of what folds their results; 0: nothing */
	uint32_t n;
	/* Bytes of a call, whose arguments are plain bytes at off; 0: each has a
	 * struct mobi_call, and its arguments as args.h has them. */
	uint32_t stride;
	uint32_t off[MOB_ARGS_MAX];
};
struct mobi_call {
	uint64_t len;
	uint64_t reserved; /* the arguments are aligned to 16 */
};

/* Results of a chunk: this; if row, n values in a row; then of each call that
 * has no value there a struct mobi_part_item and its bytes, in order. */
MOB_ARRAY(mobi_map_part, unsigned char);
struct mobi_part {
	uint32_t n;
	uint32_t row;    /* 1: the values have a fixed size: */
	uint64_t stride; /* this */
};
struct mobi_part_item {
	uint64_t len;
	uint32_t index;
	uint32_t failed; /* the bytes are a struct mobi_error */
};

static inline uint64_t mobi_up16(uint64_t n)
{
	return (n + 15) / 16 * 16;
}

/* ---- tasks of the library (map_run.c) ---- */

MOB_TASK_DECLARE(mobi_map_part, mobi_map_chunk, mobi_map_calls, calls, uint32_t,
		 first, uint32_t, n);
MOB_TASK_DECLARE(int32_t, mobi_map_parts, uint32_t, op, mob_args, parts);

/* Every process that runs tasks has those of the library. */
void mobi_map_register(void);

/* ---- loops (map_loop.c, map_for.c) ---- */

/* Behind the one call in the batch of a loop (map_loop.c). */
struct mobi_loop_opts {
	struct mob_task_opts o;
	int codes[8];
	char name[64];
	char resources[512];
	struct mobi_surround around;
	/* An object that who called the loop could make, and never does: it is
	 * resolved when the loop is to end early, also by that one's death. */
	uint64_t stop;
	uint32_t maker;
	uint32_t reserved;
};

/* One more task of a loop, for [lo, hi). with: the loop's object, and those that the
 * body waits for. Gives both its results. */
int mobi_loop_submit(const struct mob_task_opts *o, uint64_t lo, uint64_t hi,
		     const struct mob_args *with, struct mob_ref *out_refs);
/*
 * Waits for n / 2 tasks of a loop, for those that they gave away, and so on. The first
 * error is *out_error, and ends the loop. An error of the wait is
 * returned; then not all have ended.
 */
int mobi_loop_join(const struct mobi_loop_opts *l, const struct mob_ref *refs,
		   size_t n, struct mobi_error **out_error);
/* The tasks of the loop end as soon as they look. */
void mobi_loop_stop(const struct mobi_loop_opts *l);
/* Both results of one that could not be submitted are looked at and released. */
void mobi_loop_drop(const struct mob_ref *refs);

/* ---- calling (map_call.c) ---- */

/* Space for the result of a function that is called. */
struct mobi_call_ret {
	const struct mob_task_def *def;
	struct mobi_frame frame; /* of the call */
	struct mobi_context *c;
	void *at; /* malloc'd */
};
int mobi_call_begin(struct mobi_call_ret *r, const struct mob_task_def *def);
/* Calls it in a frame of its own, which lasts until mobi_call_leave. False: an
 * error is pending. to: where its result goes, zeroed; NULL: r->at. */
bool mobi_call_enter(struct mobi_call_ret *r, const void *const *arg, void *to);
void mobi_call_leave(struct mobi_call_ret *r);
void mobi_call_end(struct mobi_call_ret *r);
/* Is the task that runs to be run again for the error that is pending? */
bool mobi_call_again(const struct mobi_context *c);
/* The definition with that number; NULL, and an error is pending. */
const struct mob_task_def *mobi_call_def(uint32_t fn);

/* A value that lasts: an operator's left operand. */
struct mobi_acc {
	const struct mob_task_def *op;
	struct mobi_call_ret ret;
	unsigned char *buf[2];
	size_t size[2];
	uint32_t in; /* the buffer that has it */
	bool some;
	/* The value in C, if it is not the bytes themselves. */
	_Alignas(16) unsigned char value[16];
};
int mobi_acc_begin(struct mobi_acc *a, const struct mob_task_def *op);
/* Folds one more value in; false: an error is pending. */
bool mobi_acc_add(struct mobi_acc *a, const void *value);
/* Makes it the result of the task that runs, as one of op. */
int mobi_acc_return(struct mobi_acc *a);
void mobi_acc_end(struct mobi_acc *a);

/* ---- the caller's side (map.c, map_feed.c, map_buffer.c, map_fold.c) ---- */

#define MOBI_FOLD_MAX 16u /* parts of one task */
#define MOBI_FOLD_LEVELS 32u

/* Tasks in flight, or their results: one call, or some of a batch. */
struct mobi_map_task {
	struct mobi_map_task *next;
	struct mobi_map_task *prev;
	const struct mob_task_def *def;
	uint64_t id;    /* result, which the map holds */
	uint64_t calls; /* batch + 1, which it holds, too; 0: none */
	uint64_t bytes; /* that count for the window */
	uint64_t index; /* of its first call */
	uint32_t first; /* of the batch */
	uint32_t n;
};

/* Calls that are not handed over yet, all of one function. */
struct mobi_map_buf {
	unsigned char *at;
	size_t len;
	size_t size;
	uint32_t n;
	uint32_t stride;
	uint64_t bytes;
	uint64_t index;       /* of the first */
	struct mob_ref *refs; /* each held once */
	size_t n_refs;
	size_t max_refs;
	uint64_t last[MOB_ARGS_MAX]; /* ref of the call before + 1 */
};

/* The tree of a fold: parts that wait for neighbours, by level. */
struct mobi_fold {
	const struct mob_task_def *op;
	struct {
		uint64_t id[MOBI_FOLD_MAX];
		uint32_t n;
	} level[MOBI_FOLD_LEVELS];
	uint64_t *late; /* ring of tasks that fold, each held */
	uint32_t max_late;
	uint64_t n_late; /* ever */
	bool given;
};

struct mob_map {
	uint64_t serial; /* of its session */
	struct mob_map_opts o;
	struct mob_task_opts given; /* of each task, whatever it calls */
	int codes[8];
	bool over;
	uint32_t workers;

	/* The function of the last call. */
	const struct mob_task_def *def;
	struct mob_task_opts task; /* with what it has of its own */
	bool singly;               /* each call is a task */
	uint32_t fn;
	bool plain_bytes; /* its arguments can be such */
	uint32_t stride;
	uint32_t off[MOB_ARGS_MAX];

	/* Grain and window. */
	uint32_t chunk;     /* calls of the next one */
	uint32_t grown;     /* the most calls of one that has ended */
	uint64_t limit;     /* calls */
	uint64_t arg_bytes; /* of the last call */
	uint64_t ret_bytes; /* of a result: a mean */
	bool sized;         /* some result is known */
	uint64_t last_ns;   /* when a call was given */
	uint64_t shared[MOB_ARGS_MAX];

	/* Where calls come from. */
	int (*from)(struct mob_map *map, void *ctx);
	void *ctx;
	bool asking;
	bool source;
	const struct mob_task_def *over_def;
	struct mob_map_column column[MOB_ARGS_MAX];
	uint64_t over_n;
	uint64_t over_i;
	int failed; /* what from returned */

	struct mobi_map_buf buf;
	struct mobi_map_task *head;
	struct mobi_map_task *tail;
	struct mob_cq *cq; /* unordered */
	uint64_t n_given;
	uint64_t n_out;
	uint64_t bytes_out;

	/* The chunk whose results are being taken. */
	struct mobi_map_task *cur;
	struct mob_view view;
	struct mobi_error *error; /* of all of it */
	uint32_t i;
	uint64_t at;
	uint64_t index;

	struct mobi_fold *fold;
};

/* Takes the hold of a ref that was just made out of its frame. */
int mobi_map_own(struct mob_ref ref, uint64_t *out_id);
/* A call into the buffer. 1: it has to be a task of its own: mobi_map_alone, which
 * hands over the buffer before. bytes: what it takes. */
int mobi_map_buffer(struct mob_map *m, const struct mob_arg *args,
		    uint64_t bytes);
int mobi_map_alone(struct mob_map *m, const struct mob_arg *args,
		   uint64_t bytes);
/* Hands over what is in the buffer. */
int mobi_map_flush(struct mob_map *m);
/* Asks the source for calls, as long as there is room. */
int mobi_map_fill(struct mob_map *m);
bool mobi_map_has_room(const struct mob_map *m);
/* Calls of the next chunk and the window, anew. */
void mobi_map_plan(struct mob_map *m);
/* Runs the calls of c as a task; its result is held. */
int mobi_map_submit(const struct mob_task_opts *o, struct mobi_map_task *c);
/* Puts a chunk behind another, or in front of all. */
int mobi_map_link(struct mob_map *m, struct mobi_map_task *c,
		  struct mobi_map_task *behind);
/* Releases what a chunk has, and the chunk. */
void mobi_map_drop(struct mob_map *m, struct mobi_map_task *c);
void mobi_map_drop_buf(struct mob_map *m);
/* Waits for the next chunk, and takes it out of the list. 1; 0: there is none. */
int mobi_map_await(struct mob_map *m, int64_t timeout_ns,
		   struct mobi_map_task **out_c);
/* Cancels the task that makes object id. */
void mobi_map_cancel(uint64_t id);
/* The error in an object that is resolved; NULL: it has none, and *out_v views it. */
struct mobi_error *mobi_map_look(uint64_t id, struct mob_view *out_v);
int mobi_map_pend(const struct mobi_error *e);
/* Reads the result of call i of the current chunk; type NULL: only its error. */
int mobi_map_read(struct mob_map *m, const struct mob_type *type, void *out);

/* A fold: a chunk was handed over, or has ended. */
int mobi_fold_sent(struct mob_map *m, struct mobi_map_task *c);
int mobi_fold_room(struct mob_map *m);
int mobi_fold_next(struct mob_map *m, const struct mob_type *type,
		   int64_t timeout_ns, void *out);
void mobi_fold_drop(struct mob_map *m);

#endif /* MOBI_MAP_H */
