/* SPDX-License-Identifier: Apache-2.0 */
/* Operations beside those of step_operations.h that reach failpoints. */
#ifndef POINT_OPERATIONS_H
#define POINT_OPERATIONS_H

#include "step_operations.h"

enum point_store {
	POINT_COMMON, /* the store of all operations */
	POINT_FRESH,  /* one in which nothing has been yet */
	POINT_DURABLE /* the durable one */
};

struct point_operation {
	struct operation op;
	enum point_store in;
	const char *also; /* a failpoint that fails meanwhile, or NULL */
};

extern const struct point_operation point_operations[];
extern const size_t point_operations_n;

#endif /* POINT_OPERATIONS_H */
