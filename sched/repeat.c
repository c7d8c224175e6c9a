/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large values that are given to call after call; see repeat.h.
 *
 * The last few memories that objects were made from are known, with the ids of these
 * objects. An object goes with the last call that needs it, as if it were not known,
 * and its generation says so. Where each call has ended before the next one is made, it
 * always has gone: then a sum of the bytes tells that they were the same, and from the
 * third time on a driver holds the object, while such ones are a small part of the store
 * and it has room. Whether the bytes are the same as those of an object that is there is
 * seen by comparing all of them.
 */
#include "repeat.h"

#include "crc32c.h"
#include "log.h"
#include "object.h"
#include "runtime.h"
#include "slot.h"

#include <pthread.h>
#include <string.h>

#define ROWS 16u
#define TELL_AT 8u /* calls with the same bytes */
/* Of the store: what is held at most. */
#define PART 16u

struct row {
	const void *at;
	uint64_t bytes;
	mob_type_id type;
	uint32_t times; /* it was given again, unchanged */
	uint32_t sum;   /* of the bytes, if it was given before; a hint */
	bool summed;
	bool told;
	bool held;
	uint64_t id;
	uint64_t session; /* that the id is of; 0: an empty row */
	uint64_t used;    /* the lowest one goes first */
};

static struct {
	pthread_mutex_t lock;
	struct row row[ROWS];
	uint64_t clock;
	uint64_t held; /* bytes */
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

/* One more time with the same bytes. True: it is time to tell of it. Under the lock. */
static bool count(struct row *r)
{
	bool tells = !r->told && ++r->times >= TELL_AT - 1;

	r->told |= tells;
	return tells;
}

bool mobi_repeat_find(const struct mob_task_def *def,
		      const struct mob_type *type, const void *value,
		      uint64_t bytes, uint64_t *out_id)
{
	const void *at = memory_of(type, value);
	struct row *r;
	uint64_t id = 0;
	bool tells = false;
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
		tells = count(r);
	}
	(void)pthread_mutex_unlock(&known.lock);
	if (tells) {
		tell(def, bytes);
	}
	*out_id = id;
	return true;
}

/* ---- what is held ---- */

/* What a row held has to be released by who has the lock no more. */
static uint64_t let_go(struct row *r)
{
	uint64_t id = r->held && r->session == mobi_rt_serial() ? r->id + 1 : 0;

	if (r->held) {
		known.held -= r->bytes;
		r->held = false;
	}
	return id;
}

/* What was held in a session that has been left is gone. */
static void forget_others(void)
{
	uint64_t session = mobi_rt_serial();

	for (uint32_t i = 0; i < ROWS; i++) {
		if (known.row[i].session != session) {
			(void)let_go(&known.row[i]);
		}
	}
}

static void release(uint64_t held)
{
	if (held) {
		(void)mobi_slot_release(mobi_rt.store, held - 1);
	}
}

bool mobi_repeat_drop(void)
{
	bool some = false;

	for (uint32_t i = 0; i < ROWS; i++) {
		uint64_t held;

		(void)pthread_mutex_lock(&known.lock);
		held = let_go(&known.row[i]);
		(void)pthread_mutex_unlock(&known.lock);
		release(held);
		some = some || held;
	}
	return some;
}

int mobi_repeat_object_new(struct mob_store *s, uint64_t size, mob_type_id type,
			   uint64_t *out_id, void **out_at)
{
	int rc;

	do {
		rc = mobi_object_new(s, size, type, out_id, out_at);
	} while (rc == MOB_E_STORE_FULL && mobi_repeat_drop());
	return rc;
}

int mobi_repeat_slot_value(struct mob_store *s, uint64_t id, uint64_t size,
			   mob_type_id type, void **out_at)
{
	int rc;

	do {
		rc = mobi_slot_value(s, id, size, type, out_at);
	} while (rc == MOB_E_STORE_FULL && mobi_repeat_drop());
	return rc;
}

/* The row that was not used for longest. Under the lock. */
static struct row *row_oldest(void)
{
	struct row *r = &known.row[0];

	for (uint32_t i = 1; i < ROWS; i++) {
		r = known.row[i].used < r->used ? &known.row[i] : r;
	}
	return r;
}

void mobi_repeat_note(const struct mob_task_def *def,
		      const struct mob_type *type, const void *value,
		      uint64_t bytes, uint64_t id)
{
	const void *at = memory_of(type, value);
	struct mob_store *s = mobi_rt.store;
	struct row now = { .at = at,
			   .bytes = bytes,
			   .type = type->id,
			   .id = id,
			   .session = mobi_rt_serial() };
	struct row *was;
	struct row *r;
	uint64_t held;
	bool tells = false;

	if (bytes < MOBI_REPEAT_BYTES) {
		return;
	}
	(void)pthread_mutex_lock(&known.lock);
	forget_others();
	now.summed = row_of(type, at, bytes) != NULL;
	(void)pthread_mutex_unlock(&known.lock);
	if (now.summed) {
		now.sum = mobi_crc32c(0, at, bytes);
	}
	(void)pthread_mutex_lock(&known.lock);
	was = row_of(type, at, bytes);
	r = was ? was : row_oldest();
	held = let_go(r);
	if (was) {
		now.told = was->told;
	}
	if (was && now.summed && was->summed && was->sum == now.sum) {
		now.times = was->times;
		tells = count(&now);
		/* Of a driver, or as many would be held as there are workers. */
		now.held = !s->is_worker &&
			   known.held + bytes <= s->hdr->arena_bytes / PART &&
			   mobi_slot_hold(s, id) >= 0;
		known.held += now.held ? bytes : 0;
	}
	now.used = ++known.clock;
	*r = now;
	(void)pthread_mutex_unlock(&known.lock);
	release(held);
	if (tells) {
		tell(def, bytes);
	}
}
