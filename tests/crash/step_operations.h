/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the store that test_crash_step steps through. */
#ifndef STEP_OPERATIONS_H
#define STEP_OPERATIONS_H

#include "store_fixture.h"

#define SHARED_REFS 8

/* What parent, child and waiter tell each other. */
struct shared {
	struct mob_ref ref[SHARED_REFS];
	mobi_a32 ready;
};

/* What an operation works with. */
struct work {
	struct mob_store *s;
	struct shared *sh;
	struct mob_ref ref[SHARED_REFS];
	struct mob_view view;
	struct mob_cq *cq;
	void *at;
};

struct operation {
	const char *name;
	/* In the parent, before the child exists. */
	void (*before)(struct work *w);
	/* In the child: not stepped, then stepped. Returns nonzero if wrong. */
	int (*prepare)(struct work *w);
	int (*step)(struct work *w);
	/* In the parent, once the child is ready to be stepped. */
	void (*between)(struct work *w);
	/* In the parent, after the kill and the reaping. */
	void (*after)(struct work *w);
};

extern const struct operation step_operations[];
extern const size_t step_operations_n;

/* In the parent: what the operations need. */
void step_begin(struct work *w);
void step_end(struct work *w);
/* In the child: what is done once a process (memory for a thread, symbols) is
 * not part of the operation. Nonzero if it failed. */
int step_warm_up(struct work *w);

#endif /* STEP_OPERATIONS_H */
