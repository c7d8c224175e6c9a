/* SPDX-License-Identifier: Apache-2.0 */
/* A task that yields waits for whoever reads: room in its stream. */
#include "yield_out.h"

#include "block.h"
#include "domain.h"
#include "object.h"
#include "os_clock.h"
#include "slot.h"
#include "wait.h"

#include <string.h>

/* Who waits for the reader looks again so often: the stream may have been let go. */
#define SLICE_NS (100 * MOB_MS)
/* At the bound of workers, nobody may be there to read: it looks so often then, and
 * so often it does if no task waits for a worker. */
#define STUCK_NS (20 * MOB_MS)
#define QUIET_MAX 50u

bool mobi_stream_is_gone(const struct mob_store *s, struct mobi_stream_out *out)
{
	uint64_t w = mobi_load(&s->slots[(uint32_t)out->id].word);

	if (!out->gone) {
		out->gone = MOBI_GEN(w) != MOBI_GEN(out->id) || !mobi_living(w);
	}
	return out->gone;
}

static bool fits(const struct mobi_stream_out *out, uint64_t unread,
		 uint64_t bytes, uint32_t shift)
{
	return shift >= 40 ||
	       ((!out->max_items || unread < out->max_items << shift) &&
		(!out->max_bytes || bytes <= out->max_bytes << shift));
}

static bool has_room(struct mob_store *s, struct mobi_stream_out *out,
		     uint64_t bytes)
{
	const struct mobi_stream *st = mobi_stream_at(s, out->id);
	uint64_t unread = out->first + out->n - mobi_load(&st->read);

	bytes += out->bytes - mobi_load(&st->read_bytes);
	if (!unread || fits(out, unread, bytes, 0)) {
		out->shift = 0;
		return true;
	}
	return fits(out, unread, bytes, out->shift);
}

/* Does the reader wait below this task, on the stack of this thread? */
static bool reader_below(const struct mob_store *s,
			 const struct mobi_context *c, uint64_t id)
{
	uint64_t reader = mobi_load(&mobi_stream_at(s, id)->reader);

	for (const struct mobi_context *o = c->outer; o && reader;
	     o = o->outer) {
		if (o->def && mobi_stream_reader(s, o) == reader) {
			return true;
		}
	}
	return false;
}

/* An object for the reader to resolve when it has read enough. It is known from
 * `room` of the stream alone: a process that dies takes it along. */
static int make_bell(struct mob_store *s, const struct mobi_stream_out *out,
		     uint64_t bytes, uint64_t *out_bell)
{
	uint64_t written = out->first + out->n;
	uint64_t limit = out->max_bytes << out->shift;
	uint64_t when[MOBI_ROOM_WORDS] = { 0 };
	void *at;
	int rc = mobi_object_new(s, sizeof(when), MOBI_TYPE_INTERNAL, out_bell,
				 &at);

	if (rc < 0) {
		return rc;
	}
	when[MOBI_ROOM_ALL] = written;
	if (out->max_items) {
		uint64_t most = out->max_items << out->shift;

		when[MOBI_ROOM_FEW] = written >= most ? written - most + 1 : 0;
		/* Half of it, so that the two do not wake each other for each
		 * item. */
		most /= 2;
		when[MOBI_ROOM_ITEMS] = written > most ? written - most : 0;
	}
	if (out->max_bytes && out->bytes + bytes > limit) {
		when[MOBI_ROOM_BYTES] = out->bytes + bytes - limit;
	}
	memcpy(at, when, sizeof(when));
	mobi_slot_unlock(s, *out_bell);
	return 0;
}

/* Tells the reader of the bell; false: the stream is gone. */
static bool hang_bell(struct mob_store *s, struct mobi_stream_out *out,
		      uint64_t bell)
{
	if (mobi_slot_hold(s, out->id) < 0) {
		out->gone = true;
		return false;
	}
	mobi_store(&mobi_stream_at(s, out->id)->room, bell + 1);
	(void)mobi_slot_release(s, out->id);
	return !mobi_stream_is_gone(s, out);
}

/* A while has passed at the bound of workers, and nothing was read. Nobody may be
 * left to read: rather more memory than none that goes on. If no task waits for a
 * worker, it is more likely that the reader is slow. True: the bound is another. */
static bool stuck(struct mob_store *s, struct mobi_stream_out *out)
{
	out->quiet++;
	if (!mobi_domain_work(s) && out->quiet < QUIET_MAX) {
		return false;
	}
	out->quiet = 0;
	out->shift++;
	return true;
}

/* One sleep; 0: look again. At the bound of workers it is no wait without another way
 * out: it may be given more room. */
static int sleep_for_room(struct mob_store *s, struct mobi_stream_out *out,
			  uint64_t bell, int64_t timeout_ns, int64_t end)
{
	const struct mobi_stream *st = mobi_stream_at(s, out->id);
	uint64_t read = mobi_load(&st->read);
	bool bound = mobi_block_at_bound(s);
	int64_t ns = bound ? STUCK_NS : SLICE_NS;
	int64_t left = timeout_ns;
	uint32_t was;
	int rc;

	if (timeout_ns > 0) {
		left = end - (int64_t)mobi_now_ns();
		left = left > 0 ? left : 0;
	}
	if (timeout_ns >= 0 && left < ns) {
		return mobi_wait_one(s, bell, left);
	}
	was = mobi_wait_through(timeout_ns == MOB_FOREVER && !bound ?
					MOBI_WAIT_ROOM :
					MOBI_WAIT_GET);
	rc = mobi_wait_one(s, bell, ns);
	(void)mobi_wait_through(was);
	if (rc != MOB_E_TIMEOUT) {
		return rc;
	}
	if (!bound || mobi_stream_is_gone(s, out) ||
	    mobi_load(&st->read) != read) {
		out->quiet = 0;
	} else if (stuck(s, out)) {
		/* It says how much is to be read: another is made. */
		(void)mobi_slot_resolve_made(s, bell, s->me, MOBI_S_CANCELLED);
	}
	return 0;
}

int mobi_stream_await_room(struct mob_store *s, struct mobi_context *c,
			   uint64_t bytes, int64_t timeout_ns)
{
	struct mobi_stream_out *out = c->out;
	int64_t end = mobi_deadline(timeout_ns);
	uint64_t bell = 0;
	bool made = false;
	int rc = 0;

	while (rc >= 0 && !mobi_stream_is_gone(s, out) &&
	       !has_room(s, out, bytes) && !reader_below(s, c, out->id)) {
		if (made &&
		    mobi_resolved(mobi_load(&s->slots[(uint32_t)bell].word))) {
			(void)mobi_slot_release(s, bell);
			made = false;
		}
		if (!made) {
			rc = make_bell(s, out, bytes, &bell);
			made = rc >= 0;
			if (!made || !hang_bell(s, out, bell)) {
				break;
			}
			continue; /* it may have been read meanwhile */
		}
		rc = sleep_for_room(s, out, bell, timeout_ns, end);
	}
	if (made) {
		(void)mobi_slot_resolve_made(s, bell, s->me, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, bell);
	}
	return rc < 0 ? rc : 0;
}
