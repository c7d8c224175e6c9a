/* SPDX-License-Identifier: Apache-2.0 */
/* Large values that are given to call after call, from the same memory. */
#ifndef MOBI_REPEAT_H
#define MOBI_REPEAT_H

#include <mobula/task.h>

#include <stdbool.h>
#include <stdint.h>

/* Smaller ones are copied: comparing would cost what the copy does. */
#define MOBI_REPEAT_BYTES (UINT64_C(64) << 10)

/*
 * An object that was made from the memory of this value, has the same bytes and is
 * needed by somebody yet: then *out_id has one more hold of this process. Says once
 * for each memory in the log that it is so. Thread: any.
 */
bool mobi_repeat_find(const struct mob_task_def *def,
		      const struct mob_type *type, const void *value,
		      uint64_t bytes, uint64_t *out_id);
/* The object id was made from this value. It may go at any time, unless the same bytes
 * have been put before and it had gone each time: then a driver holds it. */
void mobi_repeat_note(const struct mob_task_def *def,
		      const struct mob_type *type, const void *value,
		      uint64_t bytes, uint64_t id);
/* Lets go what is held for that, as there is no room. False: nothing was. */
bool mobi_repeat_drop(void);
/* mobi_object_new, for which what is held gives up its room. For all that is made in the
 * name of a user. */
int mobi_repeat_object_new(struct mob_store *s, uint64_t size, mob_type_id type,
			   uint64_t *out_id, void **out_at);
/* The same for a slot that is there. */
int mobi_repeat_slot_value(struct mob_store *s, uint64_t id, uint64_t size,
			   mob_type_id type, void **out_at);

#endif /* MOBI_REPEAT_H */
