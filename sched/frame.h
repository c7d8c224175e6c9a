/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what a task, a scope or a thread got and has not given back. A frame
 * has at most one hold and one view on each object.
 */
#ifndef MOBI_FRAME_H
#define MOBI_FRAME_H

#include "runtime.h"

#define MOBI_HAS_HOLD 1u
#define MOBI_HAS_VIEW 2u

struct mobi_frame_entry {
	uint64_t id; /* {gen, slot} + 1; 0 is empty */
	uint32_t has;
	uint32_t more; /* of a kept ref */
};

/* Space of mob_new: a pending object of this process. */
struct mobi_space {
	uint64_t id;
	unsigned char *at;
	uint64_t size;
};

struct mobi_frame {
	struct mobi_frame *outer;
	uint64_t serial;                /* of mob_scope */
	struct mobi_frame_entry *entry; /* open addressing, power of two */
	uint32_t n;
	uint32_t size;
	struct mobi_space *space;
	uint32_t n_space;
	uint32_t max_space;
};

void mobi_frame_init(struct mobi_frame *f, struct mobi_frame *outer);
/* Releases everything. */
void mobi_frame_end(struct mobi_frame *f);

/* Gives the frame one hold (`has` is MOBI_HAS_HOLD) or view that the caller
 * has; one too many is given back. NOMEM: the caller keeps it. */
int mobi_frame_add(struct mobi_frame *f, uint64_t id, uint32_t has);
/* What the innermost frame of the thread that has it has; 0: none. */
uint32_t mobi_frame_find(struct mobi_context *c, uint64_t id,
			 struct mobi_frame **out_frame);
/* Takes it out without giving back. */
void mobi_frame_remove(struct mobi_frame *f, uint64_t id);

/* Gives the view that a frame of the thread has on it back. */
void mobi_frame_drop_view(struct mobi_context *c, uint64_t id);

/* ---- kept refs: of the process ---- */
int mobi_kept_add(uint64_t id, uint32_t has);
/* Takes one out; what it has. */
uint32_t mobi_kept_remove(uint64_t id);
/* Has it been kept? What it has. */
uint32_t mobi_kept_find(uint64_t id);
/* Notes one view more of a kept ref; false if it has one (or is not kept). */
bool mobi_kept_view(uint64_t id);
void mobi_kept_clear(void);

/* ---- spaces ---- */
int mobi_space_new(struct mobi_context *c, uint64_t size, mob_type_id type,
		   void **out_at);
/* Finds the space that begins at `at` in the frames of this context and takes
 * it out. False: there is none. */
bool mobi_space_take(struct mobi_context *c, const void *at,
		     struct mobi_space *out_space);

#endif /* MOBI_FRAME_H */
