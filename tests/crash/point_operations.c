/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the store that reach failpoints: the catalogue, names, the first
 * use of memory, sessions that come and go, durable stores. */
#define _GNU_SOURCE

#include "point_operations.h"

#include "spill.h"

#include <dirent.h>

#include <mobula/object.h>

#define SMALL 100u
#define MEDIUM 5000u
#define LARGE 300000u
#define SOME 3u

static int nothing(struct work *w)
{
	(void)w;
	return 0;
}

static int put_of(struct work *w, uint64_t size)
{
	static unsigned char bytes[LARGE];

	return mob_object_put(w->s, bytes, size, MOB_TYPE_BYTES, &w->ref[0]);
}

static void assert_there(struct work *w, struct mob_ref r, uint64_t seed)
{
	struct mob_view v;

	assert_ok(mob_object_get(w->s, r, 0, &v));
	assert_true(filled(v.at, v.size, seed));
	mob_view_release(w->s, &v);
}

/* ---- the catalogue ---- */

static void put_some(struct work *w)
{
	assert_ok(mob_store_sync(w->s));
	for (uint32_t i = 0; i < SOME; i++) {
		w->sh->ref[i] = put_filled(w->s, SMALL, i);
	}
}

static void put_and_sync(struct work *w)
{
	put_some(w);
	assert_ok(mob_store_sync(w->s));
}

static void release_some(struct work *w)
{
	for (uint32_t i = 0; i < SOME; i++) {
		assert_there(w, w->sh->ref[i], i);
		assert_ok(mob_object_release(w->s, w->sh->ref[i]));
	}
	assert_ok(mob_store_sync(w->s));
}

static void free_after_sync(struct work *w)
{
	put_and_sync(w);
	for (uint32_t i = 0; i < SOME; i++) {
		assert_ok(mob_object_release(w->s, w->sh->ref[i]));
	}
}

/* The row is of an object that is gone; its slot has another. */
static void replace_after_sync(struct work *w)
{
	uint32_t slot;

	put_and_sync(w);
	slot = (uint32_t)w->sh->ref[0].lo;
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
	do {
		w->sh->ref[0] = put_filled(w->s, 24, 0);
		if ((uint32_t)w->sh->ref[0].lo != slot) {
			assert_ok(mob_object_release(w->s, w->sh->ref[0]));
		}
	} while ((uint32_t)w->sh->ref[0].lo != slot);
}

static void sync_again(struct work *w)
{
	assert_ok(mob_store_sync(w->s));
}

static int sync_it(struct work *w)
{
	return mob_store_sync(w->s);
}

static int see(const struct mob_object_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static int list(struct work *w)
{
	return mob_store_list(w->s, see, NULL, NULL);
}

/* ---- names ---- */

static void put_one(struct work *w)
{
	w->sh->ref[0] = put_filled(w->s, MEDIUM, 5);
}

static int give_name(struct work *w)
{
	return mob_name_put(w->s, "point", w->sh->ref[0], MOB_NAME_REPLACE,
			    NULL);
}

static void put_named(struct work *w)
{
	put_one(w);
	assert_ok(give_name(w));
}

/* Whatever the name has is whole. */
static void take_name_away(struct work *w)
{
	struct mob_ref r;

	if (mob_name_get(w->s, "point", &r, NULL) == 0) {
		assert_there(w, r, 5);
		assert_ok(mob_object_release(w->s, r));
		assert_ok(mob_name_remove(w->s, "point"));
	}
	assert_there(w, w->sh->ref[0], 5);
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
	assert_ok(mob_store_sync(w->s));
}

static int remove_name(struct work *w)
{
	return mob_name_remove(w->s, "point");
}

/* Another object has the name, and nothing else keeps that. */
static void name_another(struct work *w)
{
	put_named(w);
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
	put_one(w);
}

static int pin(struct work *w)
{
	return mob_object_pin(w->s, w->sh->ref[0]);
}

static void put_pinned(struct work *w)
{
	put_one(w);
	assert_ok(pin(w));
}

static int unpin(struct work *w)
{
	return mob_object_unpin(w->s, w->sh->ref[0]);
}

static void unpin_all(struct work *w)
{
	uint32_t names;
	uint32_t pins;

	/* Counts what the dead one left. */
	assert_ok(mob_store_sync(w->s));
	assert_ok(mob_object_kept(w->s, w->sh->ref[0], &names, &pins));
	assert_int_equal(names, 0);
	assert_true(pins <= 1);
	if (pins) {
		assert_ok(unpin(w));
	}
	take_name_away(w);
}

static int hold(struct work *w)
{
	return mob_object_hold(w->s, w->sh->ref[0]);
}

static int free_by_hand(struct work *w)
{
	int rc = mob_object_free(w->s, w->sh->ref[0]);

	return rc < 0 ? rc : 0; /* the parent holds it, too */
}

static void ask_for_recount(struct work *w)
{
	put_named(w);
	mobi_store(&w->s->cat_shared->recount, 1u);
}

/* ---- files ---- */

static void put_spilled(struct work *w)
{
	put_one(w);
	assert_int_equal(mobi_spill_some(w->s, 1), 1);
}

static void put_spilled_small(struct work *w)
{
	w->sh->ref[0] = put_filled(w->s, 600, 5);
	assert_int_equal(mobi_spill_some(w->s, 1), 1);
}

static int prefetch(struct work *w)
{
	return mob_object_prefetch(w->s, &w->sh->ref[0], 1) < 0;
}

static int look_at(struct work *w)
{
	int rc = mob_object_get(w->s, w->sh->ref[0], 0, &w->view);

	if (rc == 0 && !filled(w->view.at, w->view.size, 5)) {
		return 1;
	}
	return rc;
}

static void let_go(struct work *w)
{
	assert_there(w, w->sh->ref[0], 5);
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
}

/* ---- memory ---- */

static int put_small(struct work *w)
{
	return put_of(w, SMALL);
}

static int put_medium(struct work *w)
{
	return put_of(w, MEDIUM);
}

static int put_large(struct work *w)
{
	return put_of(w, LARGE);
}

static int release(struct work *w)
{
	return mob_object_release(w->s, w->ref[0]);
}

static int put_and_grow(struct work *w)
{
	int rc = mob_object_create(w->s, SMALL, MOB_TYPE_BYTES, &w->ref[0],
				   &w->at);

	rc = rc < 0 ? rc : mob_object_resize(w->s, w->ref[0], MEDIUM, &w->at);
	return rc < 0 ? rc : mob_object_resize(w->s, w->ref[0], LARGE, &w->at);
}

static int put_in_vain(struct work *w)
{
	return put_of(w, LARGE) == MOB_E_STORE_FULL ? 0 : 1;
}

/* ---- sessions ---- */

static int leave(struct work *w)
{
	mob_store_close(w->s);
	return 0;
}

static int come_and_go(struct work *w)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s;
	int rc;

	(void)w;
	opts.arena_bytes = 4 * MIB;
	opts.flags = MOB_STORE_PRIVATE;
	rc = mob_store_create(NULL, &opts, &s);
	if (rc < 0) {
		return rc;
	}
	(void)put_filled(s, MEDIUM, 1);
	mob_store_close(s);
	return 0;
}

static uint32_t sessions(struct work *w)
{
	char user[4096];
	struct dirent *e;
	uint32_t n = 0;
	DIR *d;

	(void)snprintf(user, sizeof(user), "%.*s",
		       (int)(strrchr(w->s->path, '/') - w->s->path),
		       w->s->path);
	d = opendir(user);
	assert_non_null(d);
	while ((e = readdir(d))) {
		n += e->d_name[0] != '.' || strncmp(e->d_name, ".new-", 5) == 0;
	}
	(void)closedir(d);
	return n;
}

static uint32_t sessions_before;

static void count_sessions(struct work *w)
{
	sessions_before = sessions(w);
}

/* The next who makes one clears away what was left. */
static void no_session_is_left(struct work *w)
{
	assert_int_equal(come_and_go(w), 0);
	assert_int_equal(sessions(w), sessions_before);
}

/* ---- durable stores ---- */

static const char *const kept[] = { "inline", "row", "file", "range", "refs" };
#define KEPT (sizeof(kept) / sizeof(*kept))

/* One of each form, changed since the last sync. */
static void change_all(struct work *w)
{
	static const uint64_t size[] = { 20, 1000, MEDIUM };
	struct mob_ref r[KEPT];

	for (uint32_t i = 0; i < 3; i++) {
		r[i] = put_filled(w->s, size[i], i);
	}
	assert_ok(mob_object_range(w->s, r[2], 0, 70, MOB_TYPE_BYTES, &r[3]));
	assert_ok(mob_object_put_refs(w->s, r, 3, &r[4]));
	for (uint32_t i = 0; i < KEPT; i++) {
		assert_ok(mob_name_put(w->s, kept[i], r[i], MOB_NAME_REPLACE,
				       NULL));
		assert_ok(mob_object_release(w->s, r[i]));
	}
}

/* The copy has what the last sync had, and the next is as any. */
static void sync_and_remove(struct work *w)
{
	struct mob_ref r;

	assert_ok(mob_store_sync(w->s));
	for (uint32_t i = 0; i < KEPT; i++) {
		assert_ok(mob_name_get(w->s, kept[i], &r, NULL));
		if (i < 4) {
			assert_there(w, r, i < 3 ? i : 2);
		}
		assert_ok(mob_object_release(w->s, r));
		assert_ok(mob_name_remove(w->s, kept[i]));
	}
	assert_ok(mob_store_sync(w->s));
}

#define OP(name, before, prepare, step, between, after)                        \
	{                                                                      \
		name, before, prepare, step, between, after                    \
	}

const struct point_operation point_operations[] = {
	{ OP("sync new", put_some, nothing, sync_it, NULL, release_some),
	  POINT_COMMON, NULL },
	{ OP("sync freed", free_after_sync, nothing, sync_it, NULL, sync_again),
	  POINT_COMMON, NULL },
	{ OP("sync replaced", replace_after_sync, nothing, sync_it, NULL,
	     release_some),
	  POINT_COMMON, NULL },
	{ OP("list", put_and_sync, nothing, list, NULL, release_some),
	  POINT_COMMON, NULL },
	{ OP("name", put_one, nothing, give_name, NULL, take_name_away),
	  POINT_COMMON, NULL },
	{ OP("rename", name_another, nothing, give_name, NULL, take_name_away),
	  POINT_COMMON, NULL },
	{ OP("remove name", put_named, nothing, remove_name, NULL,
	     take_name_away),
	  POINT_COMMON, NULL },
	{ OP("pin", put_one, nothing, pin, NULL, unpin_all), POINT_COMMON,
	  NULL },
	{ OP("unpin", put_pinned, nothing, unpin, NULL, unpin_all),
	  POINT_COMMON, NULL },
	{ OP("free", put_named, hold, free_by_hand, NULL, take_name_away),
	  POINT_COMMON, NULL },
	{ OP("recount", ask_for_recount, nothing, sync_it, NULL,
	     take_name_away),
	  POINT_COMMON, NULL },
	{ OP("prefetch", put_spilled, nothing, prefetch, NULL, let_go),
	  POINT_COMMON, NULL },
	{ OP("prefetch small", put_spilled_small, nothing, prefetch, NULL,
	     let_go),
	  POINT_COMMON, NULL },
	{ OP("restore small", put_spilled_small, nothing, look_at, NULL,
	     let_go),
	  POINT_COMMON, NULL },
	{ OP("put large", NULL, nothing, put_large, NULL, NULL), POINT_COMMON,
	  NULL },
	{ OP("release large", NULL, put_large, release, NULL, NULL),
	  POINT_COMMON, NULL },
	{ OP("first small", NULL, nothing, put_small, NULL, NULL), POINT_FRESH,
	  NULL },
	{ OP("first medium", NULL, nothing, put_medium, NULL, NULL),
	  POINT_FRESH, NULL },
	{ OP("first large", NULL, nothing, put_large, NULL, NULL), POINT_FRESH,
	  NULL },
	{ OP("first that grows", NULL, nothing, put_and_grow, NULL, NULL),
	  POINT_FRESH, NULL },
	{ OP("large without memory", NULL, nothing, put_in_vain, NULL, NULL),
	  POINT_FRESH, "arena.back_units=error@1+" },
	{ OP("leave", NULL, put_medium, leave, NULL, NULL), POINT_COMMON,
	  NULL },
	{ OP("come and go", count_sessions, nothing, come_and_go, NULL,
	     no_session_is_left),
	  POINT_COMMON, NULL },
	{ OP("durable sync", change_all, nothing, sync_it, NULL,
	     sync_and_remove),
	  POINT_DURABLE, NULL },
};

const size_t point_operations_n = sizeof(point_operations) /
				  sizeof(*point_operations);
