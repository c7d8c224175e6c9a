/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of a task as they lie in its record or in an object: one item for
 * each parameter, a head of 8 bytes {how 8, bytes 56} and what belongs to it,
 * aligned to 8, or to 16 if it is longer than 8. The bytes of values are those
 * that an object of the type has, so reading one copies nothing.
 */
#ifndef MOBI_ARGS_H
#define MOBI_ARGS_H

#include "runtime.h"

enum {
	MOBI_ENC_VALUE = 1,    /* the bytes of the value */
	MOBI_ENC_OBJECT = 2,   /* u64 id of the object that is the value */
	MOBI_ENC_SLICE = 3,    /* u64 id, first, n */
	MOBI_ENC_LIST = 4,     /* u64 ids: list of arguments */
	MOBI_ENC_FUNCTION = 5, /* u64 number of the function */
	MOBI_ENC_PASSED = 6,   /* u64 id of an object that is only passed on */
	MOBI_ENC_STREAM = 7    /* u64 id of the stream of what it yields; the
				* first item, and no parameter's */
};

/* A value longer than this becomes an object of its own. */
#define MOBI_VALUE_MAX 4096u

/* What is needed to encode: made by plan, ended by end. */
struct mobi_args_plan {
	const struct mob_task_def *def;
	const struct mob_arg *arg;
	uint64_t big[MOB_ARGS_MAX];   /* object made for a long value, + 1 */
	uint64_t bytes[MOB_ARGS_MAX]; /* of a value */
	uint64_t total;
	uint64_t stream; /* + 1, if the task yields; set before encode */
};
int mobi_args_plan(struct mobi_args_plan *p, const struct mob_task_def *def,
		   const struct mob_arg *args);
void mobi_args_encode(const struct mobi_args_plan *p, unsigned char *to);
/* Gives the objects back that plan made. */
void mobi_args_end(struct mobi_args_plan *p);

/* Calls fn for every object that the arguments name: needed is true if the task
 * waits for it, false for refs that are only passed on. Stops at nonzero. */
int mobi_args_refs(const struct mobi_args_plan *p,
		   int (*fn)(uint64_t id, bool needed, uint32_t arg, void *ctx),
		   void *ctx);

/* The encoded arguments of a record, read only. */
const unsigned char *mobi_args_at(const struct mob_store *s, uint32_t rec,
				  uint64_t *out_len);

/* {gen, slot} + 1 of the stream of the record's task; 0: it has none. */
uint64_t mobi_args_stream(const struct mob_store *s, uint32_t rec);

/* Index-th object that the task waits for, in order; false after the last. A
 * walk goes on from *cursor (0 at first). */
struct mobi_args_walk {
	const unsigned char *at;
	uint64_t len;
	uint64_t item;  /* offset of the item */
	uint64_t inner; /* index inside a list */
};
bool mobi_args_next(struct mobi_args_walk *w, uint64_t *out_id);

/* Arguments decoded for a call; views are held until mobi_args_drop. */
struct mobi_args_ready {
	const void *arg[MOB_ARGS_MAX];
	_Alignas(16) unsigned char store[MOB_ARGS_MAX][24];
	struct mob_view view[MOB_ARGS_MAX];
	struct mob_args list[MOB_ARGS_MAX];
	uint32_t n;
};
/* Not a code: the value of an argument is GONE, and is to be made again first. */
#define MOBI_ARGS_GONE INT32_MIN
/* MOB_E_TASK: an argument holds an error, which is *out_error. */
int mobi_args_load(const struct mob_task_def *def, const unsigned char *at,
		   uint64_t len, struct mobi_args_ready *r,
		   struct mobi_error **out_error);
void mobi_args_drop(struct mobi_args_ready *r);

#endif /* MOBI_ARGS_H */
