/* SPDX-License-Identifier: Apache-2.0 */
/* Reading results, inside. The public half is in <mobula/task.h>. */
#ifndef MOBI_GET_H
#define MOBI_GET_H

#include "runtime.h"

/* Reads a viewed object as a value of the type; refs in it belong to the innermost
 * frame of c from then on. what: as of mobi_value_load. TYPE, NOMEM, BAD_REF. */
int mobi_get_load(struct mobi_context *c, const struct mob_type *type,
		  const struct mob_view *v, const char *what, void *out);

/* Is a value of the type read in place, so that a view of the object stays? */
bool mobi_reads_in_place(const struct mob_type *type);

/* Reads an object that is resolved and that the caller holds into *out as the type,
 * which may be NULL, for the frames of c; its error, or ours, is pending then. */
int mobi_get_value(struct mobi_context *c, uint64_t id,
		   const struct mob_type *type, void *out);

/* What a wait that failed returns. A time-out and a token are no error of what was
 * waited for: nothing is pending after them. In a task that is cancelled there is
 * nothing to go on with. */
int mobi_wait_failed(int rc);

int mobi_check_timeout(const char *call, int64_t timeout_ns);

#endif /* MOBI_GET_H */
