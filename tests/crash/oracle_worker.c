/* SPDX-License-Identifier: Apache-2.0 */
/* What a process does on its own: a new object, a view, letting go. The oracle learns
 * of it when it is done; of letting go, before. */
#define _GNU_SOURCE

#include "oracle_worker.h"

#include <mobula/object.h>
#include <mobula/stream.h>

/* ---- help ---- */

_Noreturn void oracle_give_up(struct worker *w, int line, const char *fmt, ...)
{
	va_list ap;

	mobi_store(&w->sh->failed, 1u);
	(void)fprintf(stderr, "process %u, line %d: ", w->proc, line);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	_exit(1);
}
void random_bytes(struct worker *w, void *at, uint64_t size)
{
	/* Half of them can be compressed. */
	uint64_t same = rnd(w, 2) ? 0 : next_random(&w->random) | 1;

	for (uint64_t i = 0; i < size; i += 8) {
		uint64_t v = same ? same : next_random(&w->random);

		memcpy((char *)at + i, &v, size - i < 8 ? size - i : 8);
	}
}

uint64_t random_size(struct worker *w)
{
	static const uint64_t limits[] = {
		1, 49, 2000, 20000, 60000, LARGE_MAX
	};

	return rnd(w, limits[rnd(w, sizeof(limits) / sizeof(limits[0]))]);
}

void begin(struct worker *w)
{
	oracle_begin(&w->o);
	w->o.evicted = false;
}

void commit(struct worker *w)
{
	if (w->o.evicted) {
		mobi_store(&w->sh->evicted, 1u);
	}
	oracle_commit(&w->o);
}

void keep(struct worker *w, struct mob_ref r)
{
	w->mine[w->n_mine++] = r;
}

struct mob_ref any_of_mine(struct worker *w)
{
	return w->mine[rnd(w, w->n_mine)];
}

void forget(struct worker *w, uint32_t i)
{
	w->mine[i] = w->mine[--w->n_mine];
}

/* What is no error in a full store: nothing was done. */
static bool is_full(int rc)
{
	return rc == MOB_E_STORE_FULL;
}

/* ---- alone ---- */

/* A new object of this process, which nobody else knows yet. */
static void note_new(struct worker *w, struct mob_ref ref, const void *at,
		     const struct oracle_row *more)
{
	struct mob_object_info info;
	struct oracle_row r = *more;

	EXPECT(w, mob_object_stat(w->s, ref, &info));
	r.id = ref.lo;
	r.size = info.size;
	r.born_ms = info.born_ms;
	r.type = info.type;
	r.state = info.state;
	r.creator = info.creator;
	r.maker = w->proc;
	if (info.creator != w->s->me) {
		FAIL(w, "it is made by %u, not %u", info.creator, w->s->me);
	}
	begin(w);
	oracle_add(&w->o, &r, at, w->s->me);
	commit(w);
}

void oracle_do_drop(struct worker *w)
{
	if (w->n_mine) {
		uint32_t i = (uint32_t)rnd(w, w->n_mine);
		struct mob_ref r = w->mine[i];

		begin(w);
		oracle_keep(&w->o, r.lo, w->proc, w->s->me, -1, 0);
		commit(w);
		forget(w, i);
		EXPECT(w, mob_object_release(w->s, r));
	}
}

void oracle_do_put(struct worker *w)
{
	static unsigned char at[LARGE_MAX + 8];
	const struct oracle_row none = { 0 };
	uint64_t size = random_size(w);
	struct mob_part part[3];
	struct mob_ref ref;
	int rc;

	random_bytes(w, at, size);
	if (rnd(w, 2)) {
		rc = mob_object_put(w->s, at, size, MOB_TYPE_BYTES, &ref);
	} else {
		part[0] = (struct mob_part){ at, size / 3 };
		part[1] = (struct mob_part){ at + size / 3, 0 };
		part[2] = (struct mob_part){ at + size / 3, size - size / 3 };
		rc = mob_object_put_parts(w->s, part, 3, MOB_TYPE_BYTES, NULL,
					  &ref);
	}
	if (!is_full(rc)) {
		EXPECT(w, rc);
		note_new(w, ref, at, &none);
		keep(w, ref);
	}
}

void oracle_do_create(struct worker *w)
{
	const struct oracle_row none = { 0 };
	struct draft *d = &w->draft;
	int rc;

	if (w->has_draft) {
		return;
	}
	d->size = random_size(w) / 2;
	rc = mob_object_create(w->s, d->size, MOB_TYPE_BYTES, &d->ref, &d->at);
	if (is_full(rc)) {
		return;
	}
	EXPECT(w, rc);
	w->has_draft = true;
	note_new(w, d->ref, d->at, &none);
}

void oracle_do_refs(struct worker *w)
{
	struct mob_ref in[ORACLE_INNER];
	struct oracle_row r = { 0 };
	struct mob_ref ref;
	int rc;

	for (uint64_t n = w->n_mine ? rnd(w, ORACLE_INNER) : 0; n; n--) {
		in[r.n_inner] = any_of_mine(w);
		r.inner[r.n_inner] = in[r.n_inner].lo;
		r.n_inner++;
	}
	rc = mob_object_put_refs(w->s, in, r.n_inner, &ref);
	if (!is_full(rc)) {
		EXPECT(w, rc);
		note_new(w, ref, in, &r);
		keep(w, ref);
	}
}

void oracle_do_range(struct worker *w)
{
	static unsigned char part[LARGE_MAX + 8];
	struct oracle_row r = { .is_range = 1, .n_inner = 1 };
	struct oracle_row base;
	struct mob_ref of;
	struct mob_ref ref;
	uint64_t off;
	uint64_t size;
	int rc;

	if (!w->n_mine) {
		return;
	}
	of = any_of_mine(w);
	begin(w);
	if (!oracle_get(&w->o, of.lo, &base)) {
		FAIL(w, "what is held is not there");
	}
	off = rnd(w, base.size + 1);
	size = rnd(w, base.size - off + 1);
	memcpy(part, (const char *)oracle_bytes(&w->o, of.lo) + off, size);
	commit(w);
	if (base.state != MOB_OBJECT_SEALED) {
		return;
	}
	rc = mob_object_range(w->s, of, off, size, MOB_TYPE_BYTES, &ref);
	if (!is_full(rc)) {
		EXPECT(w, rc);
		r.inner[0] = base.is_range ? base.inner[0] : base.id;
		note_new(w, ref, part, &r);
		keep(w, ref);
	}
}

/* A stream of what this process holds is read again; then nothing is left of it. */
void oracle_do_stream(struct worker *w)
{
	struct mob_ref put[4];
	struct mob_stream *to;
	struct mob_ref at;
	struct mob_ref item;
	uint32_t n = w->n_mine ? (uint32_t)rnd(w, 5) : 0;
	int rc = mob_stream_create(w->s, NULL, &to, &at);

	if (is_full(rc)) {
		return;
	}
	EXPECT(w, rc);
	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		put[i] = any_of_mine(w);
		rc = mob_stream_put(to, put[i], MOB_FOREVER);
		n = rc < 0 ? i : n;
	}
	if (rc < 0 && !is_full(rc)) {
		EXPECT(w, rc);
	}
	rc = mob_stream_end(to);
	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		if (mob_stream_next(w->s, &at, 0, &item) != 1 ||
		    !mob_ref_equal(item, put[i])) {
			FAIL(w, "item %u of a stream is another", i);
		}
		EXPECT(w, mob_object_release(w->s, item));
	}
	EXPECT(w, mob_object_release(w->s, at));
}

void oracle_do_unview(struct worker *w)
{
	if (w->n_views) {
		struct mob_view *v = &w->view[--w->n_views];

		begin(w);
		oracle_keep(&w->o, v->ref.lo, w->proc, w->s->me, 0, -1);
		commit(w);
		mob_view_release(w->s, v);
	}
}

/* Which state explains the answer of a get? */
static bool explains(uint32_t state, int rc)
{
	return (rc == 0 && state == MOB_OBJECT_SEALED) || rc == MOB_E_TIMEOUT ||
	       is_full(rc) ||
	       (rc == MOB_E_CANCELLED && state == MOB_OBJECT_CANCELLED) ||
	       (rc == MOB_E_LOST && state == MOB_OBJECT_LOST);
}

void oracle_do_get(struct worker *w)
{
	struct mob_view *v = &w->view[w->n_views];
	struct oracle_row r;
	struct mob_ref ref;
	int rc;

	if (w->n_views == VIEWS_MAX) {
		oracle_do_unview(w);
		return;
	}
	if (!w->n_mine) {
		return;
	}
	ref = any_of_mine(w);
	rc = mob_object_get(w->s, ref, 0, v);
	begin(w);
	if (!oracle_get(&w->o, ref.lo, &r) || !explains(r.state, rc)) {
		FAIL(w, "get of object %#" PRIx64 ": %s: %s", ref.lo,
		     mob_err_name(rc), rc < 0 ? mob_err_detail(rc) : "");
	}
	if (rc == 0 &&
	    (v->size != r.size || v->type != r.type ||
	     memcmp(v->at, oracle_bytes(&w->o, ref.lo), v->size) != 0)) {
		FAIL(w, "object %#" PRIx64 " has other bytes", ref.lo);
	}
	if (rc == 0) {
		oracle_keep(&w->o, ref.lo, w->proc, w->s->me, 0, 1);
	}
	commit(w);
	if (rc == 0) {
		w->n_views++;
		if (v->size > LARGE_MAX / 4) {
			oracle_do_unview(
				w); /* or there is room for nothing else */
		}
	}
}

void oracle_do_sync(struct worker *w)
{
	EXPECT(w, mob_store_sync(w->s));
}
