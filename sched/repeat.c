/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large values that are given to call after call; see repeat.h.
 *
 * The last few memories that objects were made from are known, with the ids of these
 * objects. Nothing is held for that: an object goes with the last call that needs it,
 * as if it were not known, and its generation says so. So neither does a loop need
 * more memory than before, nor is there anything to give back when a store is full or
 * a process ends. Whether the bytes are the same is seen by comparing all of them.
 */
#include "repeat.h"

#include "log.h"
#include "object.h"
#include "runtime.h"
#include "slot.h"

#include <pthread.h>
#include <string.h>

#define ROWS 16u
#define TELL_AT 8u /* calls with the same bytes */

struct row {
	const void *at;
	uint64_t bytes;
	mob_type_id type;
	uint32_t times; /* it was given again, unchanged */
	bool told;
	uint64_t id;
	uint64_t session; /* that the id is of; 0: an empty row */
	uint64_t used;    /* the lowest one goes first */
};

static struct {
	pthread_mutex_t lock;
	struct row row[ROWS];
	uint64_t clock;
} known = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const void *memory_of(const struct mob_type *type, const void *value)
{
	const void *at;

	if (type->kind == MOB_KIND_POD) {
		return value;
	}
	memcpy(&at, value, sizeof(at)); /* of a span, or a string */
	return at;
}

/* The row of this memory, or NULL. Under the lock. */
static struct row *row_of(const struct mob_type *type, const void *at,
			  uint64_t bytes)
{
	uint64_t session = mobi_rt_serial();

	for (uint32_t i = 0; i < ROWS; i++) {
		struct row *r = &known.row[i];

		if (r->session == session && r->at == at && r->bytes == bytes &&
		    r->type == type->id) {
			r->used = ++known.clock;
			return r;
		}
	}
	return NULL;
}

/* Holds the object if it is there yet and has these bytes. */
static bool hold_same(uint64_t id, const void *at, uint64_t bytes)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_view v;
	bool same = false;

	if (mobi_slot_hold(s, id) < 0) {
		return false;
	}
	/* What lies in a file is not read for that. */
	if (!(mobi_load(&s->slots[(uint32_t)id].word) &
	      (MOBI_F_SPILL | MOBI_F_GONE)) &&
	    mobi_object_view_now(s, id, &v) == 0) {
		same = v.size == bytes && !memcmp(v.at, at, bytes);
		mob_view_release(s, &v);
	}
	if (!same) {
		(void)mobi_slot_release(s, id);
	}
	return same;
}

static void tell(const struct mob_task_def *def, uint64_t bytes)
{
	mobi_log(MOBI_LOG_WARN,
		 "the same %llu bytes were given to %u calls, the last of %s "
		 "(%s:%u): put them once (mob_put) and give the ref; each call "
		 "compares them",
		 (unsigned long long)bytes, TELL_AT, def->name, def->file,
		 def->line);
}

bool mobi_repeat_find(const struct mob_task_def *def,
		      const struct mob_type *type, const void *value,
		      uint64_t bytes, uint64_t *out_id)
{
	const void *at = memory_of(type, value);
	struct row *r;
	uint64_t id = 0;
	uint32_t times = 0;
	bool some;

	if (bytes < MOBI_REPEAT_BYTES) {
		return false;
	}
	(void)pthread_mutex_lock(&known.lock);
	r = row_of(type, at, bytes);
	some = r != NULL;
	id = some ? r->id : 0;
	(void)pthread_mutex_unlock(&known.lock);
	/* Not under the lock: other threads may submit meanwhile. */
	if (!some || !hold_same(id, at, bytes)) {
		return false;
	}
	(void)mobi_fetch_add(&mobi_rt.sched->repeated, UINT64_C(1));
	(void)pthread_mutex_lock(&known.lock);
	r = row_of(type, at, bytes);
	if (r && r->id == id) {
		times = ++r->times;
		if (r->told || times < TELL_AT - 1) {
			times = 0;
		}
		r->told |= times != 0;
	}
	(void)pthread_mutex_unlock(&known.lock);
	if (times) {
		tell(def, bytes);
	}
	*out_id = id;
	return true;
}

void mobi_repeat_note(const struct mob_type *type, const void *value,
		      uint64_t bytes, uint64_t id)
{
	const void *at = memory_of(type, value);
	struct row *r;
	bool told = false;

	if (bytes < MOBI_REPEAT_BYTES) {
		return;
	}
	(void)pthread_mutex_lock(&known.lock);
	r = row_of(type, at, bytes);
	if (r) {
		told = r->told;
	} else {
		r = &known.row[0];
		for (uint32_t i = 1; i < ROWS; i++) {
			r = known.row[i].used < r->used ? &known.row[i] : r;
		}
	}
	*r = (struct row){ .at = at,
			   .bytes = bytes,
			   .type = type->id,
			   .told = told,
			   .id = id,
			   .session = mobi_rt_serial(),
			   .used = ++known.clock };
	(void)pthread_mutex_unlock(&known.lock);
}
