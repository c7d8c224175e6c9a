/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the store that test_crash_step steps through, and a process
 * that waits for what they make. */
#define _GNU_SOURCE

#include "step_operations.h"

#include <mobula/object.h>
#include <mobula/stream.h>

#include "evict.h"
#include "spill.h"

#include <dirent.h>
#include <fcntl.h>

#define BLOCK_BYTES 5000u
#define SMALL 600u
#define INNERS 3u

static unsigned char bytes[BLOCK_BYTES]; /* filled with 3 */

/* ---- a process that waits ---- */

static int ask_fd;    /* refs to wait for */
static int answer_fd; /* what came */
static pid_t waiter;

static int waiter_run(const char *name, int in, int out)
{
	struct mob_store *s = child_open(name);
	struct mob_ref r;

	(void)alarm(0);
	while (read(in, &r, sizeof(r)) == (ssize_t)sizeof(r)) {
		struct mob_view v;
		int32_t rc = mob_object_get(s, r, MOB_FOREVER, &v);

		if (rc == 0) {
			rc = filled(v.at, v.size, 8) ? 0 : 1;
			mob_view_release(s, &v);
		}
		if (write(out, &rc, sizeof(rc)) != (ssize_t)sizeof(rc)) {
			return 1;
		}
	}
	mob_store_close(s);
	return 0;
}

static void waiter_start(struct mob_store *s)
{
	int ask[2];
	int answer[2];

	assert_int_equal(pipe2(ask, O_CLOEXEC), 0);
	assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
	waiter = fork();
	assert_true(waiter >= 0);
	if (waiter == 0) {
		(void)close(ask[1]);
		_exit(waiter_run(mob_store_name(s), ask[0], answer[1]));
	}
	(void)close(ask[0]);
	(void)close(answer[1]);
	ask_fd = ask[1];
	answer_fd = answer[0];
}

/* Lets the waiter wait for an object, until it sleeps or is about to. */
static void waiter_ask(const struct work *w, struct mob_ref r)
{
	struct mobi_slot *o = slot_at(w->s, r);

	assert_int_equal(write(ask_fd, &r, sizeof(r)), sizeof(r));
	while (!mobi_load(&o->head) && !mobi_resolved(mobi_load(&o->word))) {
		(void)sched_yield();
	}
}

static int32_t waiter_answer(void)
{
	int32_t rc = -1000;

	if (!pipe_wait(answer_fd, &rc, sizeof(rc))) {
		fail_msg("the waiter hangs");
	}
	return rc;
}

/* ---- operations ---- */

static int nothing(struct work *w)
{
	(void)w;
	return 0;
}

static int put_inline(struct work *w)
{
	return mob_object_put(w->s, bytes, 24, MOB_TYPE_BYTES, &w->ref[0]);
}

static int put_block(struct work *w)
{
	return mob_object_put(w->s, bytes, BLOCK_BYTES, MOB_TYPE_BYTES,
			      &w->ref[0]);
}

static int release(struct work *w)
{
	return mob_object_release(w->s, w->ref[0]);
}

/* An object of the parent that lives on. */
static void parent_puts(struct work *w)
{
	w->sh->ref[0] = put_filled(w->s, BLOCK_BYTES, 3);
}

static void parent_checks(struct work *w)
{
	struct mob_view v;

	assert_ok(mob_object_get(w->s, w->sh->ref[0], 0, &v));
	assert_true(filled(v.at, v.size, 3));
	mob_view_release(w->s, &v);
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
	assert_int_equal(mob_object_state(w->s, w->sh->ref[0]),
			 MOB_OBJECT_GONE);
}

static int get_view(struct work *w)
{
	int rc = mob_object_get(w->s, w->sh->ref[0], 0, &w->view);

	if (rc == 0 && memcmp(w->view.at, bytes, sizeof(bytes)) != 0) {
		return 1;
	}
	mob_view_release(w->s, &w->view);
	return rc;
}

static int hold_release(struct work *w)
{
	int rc = mob_object_hold(w->s, w->sh->ref[0]);

	return rc < 0 ? rc : mob_object_release(w->s, w->sh->ref[0]);
}

/* The child takes the only hold over. */
static int take_hold(struct work *w)
{
	w->ref[0] = w->sh->ref[0];
	return mob_object_hold(w->s, w->ref[0]);
}

static void parent_lets_go(struct work *w)
{
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
}

static void parent_finds_gone(struct work *w)
{
	assert_int_equal(mob_object_state(w->s, w->sh->ref[0]),
			 MOB_OBJECT_GONE);
}

static int create_seal(struct work *w)
{
	int rc = mob_object_create(w->s, BLOCK_BYTES, MOB_TYPE_BYTES,
				   &w->ref[0], &w->at);

	return rc < 0 ? rc : mob_object_seal(w->s, w->ref[0]);
}

static int create_shared(struct work *w)
{
	int rc = mob_object_create(w->s, 8, MOB_TYPE_BYTES, &w->ref[0], &w->at);

	if (rc == 0) {
		fill(w->at, 8, 8);
		w->sh->ref[0] = w->ref[0];
	}
	return rc;
}

static void waiter_waits(struct work *w)
{
	waiter_ask(w, w->sh->ref[0]);
}

static void waiter_got(struct work *w)
{
	int32_t rc = waiter_answer();

	(void)w;
	assert_true(rc == 0 || rc == MOB_E_LOST || rc == MOB_E_CANCELLED);
}

static int seal(struct work *w)
{
	return mob_object_seal(w->s, w->ref[0]);
}

static int abort_it(struct work *w)
{
	return mob_object_abort(w->s, w->ref[0]);
}

static int put_inners(struct work *w)
{
	for (uint32_t i = 0; i < INNERS; i++) {
		int rc = mob_object_put(w->s, bytes, i ? BLOCK_BYTES : 8,
					MOB_TYPE_BYTES, &w->ref[1 + i]);

		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

static int put_refs(struct work *w)
{
	return mob_object_put_refs(w->s, &w->ref[1], INNERS, &w->ref[0]);
}

/* The inner ones live by the outer one only. */
static int put_outer(struct work *w)
{
	int rc = put_inners(w);

	rc = rc < 0 ? rc : put_refs(w);
	for (uint32_t i = 0; rc == 0 && i < INNERS; i++) {
		rc = mob_object_release(w->s, w->ref[1 + i]);
	}
	return rc;
}

static int cq_use(struct work *w)
{
	struct mob_cq_entry e;
	struct mob_cq *q;
	int rc = mob_cq_open(w->s, &q);

	for (uint32_t i = 0; rc >= 0 && i < INNERS; i++) {
		rc = mob_cq_add(q, w->ref[1 + i], i);
	}
	while (rc >= 0) {
		rc = mob_cq_pop(q, 0, &e);
		if (rc == 0) {
			break;
		}
		rc = rc < 0 ? rc : mob_object_release(w->s, e.ref);
	}
	if (rc >= 0) {
		mob_cq_close(q);
	}
	return rc;
}

/* A queue of the parent's for an object of the child's. */
static void parent_adds(struct work *w)
{
	assert_ok(mob_cq_add(w->cq, w->sh->ref[0], 77));
	assert_ok(mob_cq_add(w->cq, w->sh->ref[0], 78));
}

static void parent_pops(struct work *w)
{
	struct mob_cq_entry e;

	for (uint64_t i = 0; i < 2; i++) {
		int rc = mob_cq_pop(w->cq, MOB_SEC * WATCHDOG_S, &e);

		assert_ok(rc);
		assert_int_equal(rc, 1);
		assert_true(e.user == 77 || e.user == 78);
		assert_ok(mob_object_release(w->s, e.ref));
	}
	assert_int_equal(mob_cq_pop(w->cq, 0, &e), 0);
}

static void parent_creates(struct work *w)
{
	w->sh->ref[0] = make_pending(w->s);
}

static void parent_seals(struct work *w)
{
	assert_ok(mob_object_seal(w->s, w->sh->ref[0]));
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
}

static int wait_timeout(struct work *w)
{
	int rc = mob_object_get(w->s, w->sh->ref[0], 1000, &w->view);

	return rc == MOB_E_TIMEOUT ? 0 : 1;
}

static int wait_many(struct work *w)
{
	bool ready;

	return mob_object_wait(w->s, &w->sh->ref[0], 1, 1, 1000, &ready);
}

/* A process dies with all sorts of things; the child reaps it. */
static int victim_run(void *arg)
{
	struct work *w = arg;

	if (put_outer(w) || create_shared(w) || put_block(w)) {
		return 1;
	}
	mobi_store(&w->sh->ready, 1u);
	for (;;) {
		(void)pause();
	}
}

static void victim_dies(struct work *w)
{
	pid_t pid;

	mobi_store(&w->sh->ready, 0u);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct work own = {
			child_open(mob_store_name(w->s)), w->sh, { { 0, 0 } },
			{ NULL, 0, { 0, 0 }, 0, 0 },      NULL,  NULL
		};

		_exit(victim_run(&own));
	}
	while (!mobi_load(&w->sh->ready)) {
		(void)sched_yield();
	}
	child_kill(pid);
}

static int put_parts(struct work *w)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	const struct mob_part parts[] = { { bytes, 100 },
					  { bytes + 100, 4000 } };

	h.content_type = "text/plain";
	return mob_object_put_parts(w->s, parts, 2, MOB_TYPE_BYTES, &h,
				    &w->ref[0]);
}

static int range(struct work *w)
{
	return mob_object_range(w->s, w->sh->ref[0], 10, 100, MOB_TYPE_BYTES,
				&w->ref[0]);
}

static int create_one(struct work *w)
{
	return mob_object_create(w->s, 1000, MOB_TYPE_BYTES, &w->ref[0],
				 &w->at);
}

/* Into another block, into the slot, and into a block again. */
static int resize(struct work *w)
{
	if (mob_object_resize(w->s, w->ref[0], BLOCK_BYTES, &w->at) ||
	    mob_object_resize(w->s, w->ref[0], 20, &w->at)) {
		return 1;
	}
	return mob_object_append(w->s, w->ref[0], bytes, 500);
}

static struct mob_stream *stream;

static int stream_begin(struct work *w)
{
	return put_inline(w) ||
	       mob_stream_create(w->s, NULL, &stream, &w->ref[1]);
}

static int stream_use(struct work *w)
{
	struct mob_ref item;
	int rc = mob_stream_put(stream, w->ref[0], 0);

	rc = rc < 0 ? rc : mob_stream_next(w->s, &w->ref[1], 0, &item);
	rc = rc == 1 ? mob_object_release(w->s, item) : 1;
	return rc < 0 ? rc : mob_stream_end(stream);
}

static int spill(struct work *w)
{
	return mobi_spill_some(w->s, 1) == 1 ? 0 : 1;
}

static void parent_spills(struct work *w)
{
	parent_puts(w);
	assert_int_equal(mobi_spill_some(w->s, 1), 1);
}

/* Four small objects of the parent, in one container. */
static void put_four(struct work *w, const uint32_t at[4])
{
	for (uint32_t i = 0; i < 4; i++) {
		w->sh->ref[at[i]] = put_filled(w->s, SMALL, at[i]);
	}
}

static void spill_four(struct work *w, const uint32_t at[4])
{
	put_four(w, at);
	assert_int_equal(mobi_spill_some(w->s, 1), 4);
}

static void check_and_release(struct work *w, uint32_t at)
{
	struct mob_view v;

	assert_ok(mob_object_get(w->s, w->sh->ref[at], 0, &v));
	assert_true(filled(v.at, v.size, at));
	mob_view_release(w->s, &v);
	assert_ok(mob_object_release(w->s, w->sh->ref[at]));
}

/* Nothing is left in the spill directory. */
static void no_file_is_left(struct work *w)
{
	int fd = openat(w->s->spill_fd, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.') {
			fail_msg("file %s is left", e->d_name);
		}
	}
	(void)closedir(d);
}

static const uint32_t first_four[4] = { 1, 2, 3, 4 };
static const uint32_t next_four[4] = { 0, 5, 6, 7 };

static void parent_puts_small(struct work *w)
{
	put_four(w, first_four);
}

static int spill_small(struct work *w)
{
	return mobi_spill_some(w->s, 1) == 4 ? 0 : 1;
}

static void parent_checks_small(struct work *w)
{
	for (uint32_t i = 0; i < 4; i++) {
		check_and_release(w, first_four[i]);
	}
	no_file_is_left(w);
}

/* One container has lost half of its objects, another is about to. */
static void parent_makes_sparse(struct work *w)
{
	mobi_store(&w->s->hdr->sparse, UINT64_C(0));
	spill_four(w, first_four);
	assert_ok(mob_object_release(w->s, w->sh->ref[1]));
	assert_ok(mob_object_release(w->s, w->sh->ref[2]));
	assert_true(mobi_load(&w->s->hdr->sparse) != 0);
	spill_four(w, next_four);
	assert_ok(mob_object_release(w->s, w->sh->ref[7]));
}

static void parent_checks_merged(struct work *w)
{
	parent_finds_gone(w);
	for (uint32_t i = 3; i < 7; i++) {
		check_and_release(w, i);
	}
	no_file_is_left(w);
}

/* A cached object of the parent, that nothing else keeps. */
static void parent_caches(struct work *w)
{
	parent_puts(w);
	assert_ok(mob_name_put(w->s, "cached", w->sh->ref[0], MOB_NAME_CACHED,
			       NULL));
	assert_ok(mob_object_release(w->s, w->sh->ref[0]));
}

/* Opens LMDB, which is no part of the step. */
static int look_for_it(struct work *w)
{
	int rc = mob_name_get(w->s, "cached", &w->ref[0], NULL);

	return rc < 0 ? rc : mob_object_release(w->s, w->ref[0]);
}

static int evict(struct work *w)
{
	return mobi_evict_some(w->s, 1) == 1 ? 0 : 1;
}

/* It is there, whole, or gone with its name. */
static void parent_uncaches(struct work *w)
{
	struct mob_view v;
	struct mob_ref r;

	/* The name may be gone and the bit there, until there is a recount. */
	assert_ok(mob_store_sync(w->s));
	if (mob_name_get(w->s, "cached", &r, NULL) < 0) {
		return;
	}
	assert_ok(mob_object_get(w->s, r, 0, &v));
	assert_true(filled(v.at, v.size, 3));
	mob_view_release(w->s, &v);
	assert_ok(mob_name_remove(w->s, "cached"));
	assert_ok(mob_object_release(w->s, r));
}

static int reap(struct work *w)
{
	return mobi_reap(w->s) >= 0 ? 0 : 1;
}

const struct operation step_operations[] = {
	{ "put inline", NULL, nothing, put_inline, NULL, NULL },
	{ "put block", NULL, nothing, put_block, NULL, NULL },
	{ "release inline", NULL, put_inline, release, NULL, NULL },
	{ "release block", NULL, put_block, release, NULL, NULL },
	{ "release the last hold", parent_puts, take_hold, release,
	  parent_lets_go, parent_finds_gone },
	{ "get and view", parent_puts, nothing, get_view, NULL, parent_checks },
	{ "hold and release", parent_puts, nothing, hold_release, NULL,
	  parent_checks },
	{ "create and seal", NULL, nothing, create_seal, NULL, NULL },
	{ "seal with a waiter", NULL, create_shared, seal, waiter_waits,
	  waiter_got },
	{ "abort with a waiter", NULL, create_shared, abort_it, waiter_waits,
	  waiter_got },
	{ "put refs", NULL, put_inners, put_refs, NULL, NULL },
	{ "release refs", NULL, put_outer, release, NULL, NULL },
	{ "queue", NULL, put_inners, cq_use, NULL, NULL },
	{ "seal for a queue", NULL, create_shared, seal, parent_adds,
	  parent_pops },
	{ "wait for one", parent_creates, nothing, wait_timeout, NULL,
	  parent_seals },
	{ "wait for many", parent_creates, nothing, wait_many, NULL,
	  parent_seals },
	{ "put parts", NULL, nothing, put_parts, NULL, NULL },
	{ "range", parent_puts, nothing, range, NULL, parent_checks },
	{ "resize", NULL, create_one, resize, NULL, NULL },
	{ "stream", NULL, stream_begin, stream_use, NULL, NULL },
	{ "spill", parent_puts, nothing, spill, NULL, parent_checks },
	{ "restore", parent_spills, nothing, get_view, NULL, parent_checks },
	{ "release spilled", parent_spills, take_hold, release, parent_lets_go,
	  parent_finds_gone },
	{ "spill small", parent_puts_small, nothing, spill_small, NULL,
	  parent_checks_small },
	{ "merge containers", parent_makes_sparse, take_hold, release,
	  parent_lets_go, parent_checks_merged },
	{ "evict", parent_caches, look_for_it, evict, NULL, parent_uncaches },
	{ "reap", victim_dies, nothing, reap, NULL, NULL },
};

const size_t step_operations_n = sizeof(step_operations) /
				 sizeof(*step_operations);

int step_warm_up(struct work *w)
{
	int rc = put_outer(w);

	rc = rc < 0 ? rc : cq_use(w);
	return rc < 0 ? rc : release(w);
}

/* What parent and waiter have of the tables once they have worked. */
static void warm_parent(struct work *w)
{
	struct mob_ref r = make_pending(w->s);
	struct mob_cq_entry e;

	waiter_ask(w, r);
	assert_ok(mob_cq_add(w->cq, r, 0));
	assert_ok(mob_object_seal(w->s, r));
	assert_int_equal(waiter_answer(), 0);
	assert_int_equal(mob_cq_pop(w->cq, MOB_FOREVER, &e), 1);
	assert_ok(mob_object_release(w->s, e.ref));
	assert_ok(mob_object_release(w->s, r));
}

void step_begin(struct work *w)
{
	fill(bytes, sizeof(bytes), 3);
	waiter_start(w->s);
	assert_ok(mob_cq_open(w->s, &w->cq));
	warm_parent(w);
}

void step_end(struct work *w)
{
	(void)close(ask_fd);
	assert_int_equal(child_result(waiter), 0);
	mob_cq_close(w->cq);
}
