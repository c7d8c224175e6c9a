/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The n-th allocation, or the n-th call of the system, fails in each operation of
 * the store, for every n. The operation works all the same, or says why not; then
 * nothing is wrong and nothing is left, and done again it works.
 *
 *   test_crash_fail [operation]
 */
#define _GNU_SOURCE

#include "failing.h"
#include "os_dir.h"
#include "scratch.h"
#include "store_fixture.h"

#include <mobula/object.h>
#include <mobula/stream.h>

#include "durable.h"
#include "spill.h"

#include <fcntl.h>

#define ARENA (16 * MIB)
#define LARGE 300000u

static const char *only;
static char base[64];
static unsigned char bytes[LARGE];

/* One that fails does what is left to let go; what it cannot, reset does. */
struct operation {
	const char *name;
	int (*run)(struct mob_store *s);
};

/* ---- operations ---- */

static int release(struct mob_store *s, struct mob_ref r, int rc)
{
	int end = r.hi ? mob_object_release(s, r) : 0;

	return rc < 0 ? rc : end;
}

static int create_and_close(struct mob_store *s)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *other = NULL;
	int rc;

	(void)s;
	opts.arena_bytes = ARENA;
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.spill_dir = base;
	rc = mob_store_create(NULL, &opts, &other);
	mob_store_close(other);
	return rc;
}

static int open_and_close(struct mob_store *s)
{
	struct mob_store *other = NULL;
	int rc = mob_store_open(mob_store_name(s), &other);

	mob_store_close(other);
	return rc;
}

static int put(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	int rc = mob_object_put(s, bytes, LARGE, MOB_TYPE_BYTES, &r);

	return release(s, r, rc);
}

static int put_many(struct mob_store *s)
{
	struct mob_ref r[200];
	int n = 0;
	int rc = 0;

	while (n < 200 && rc >= 0) {
		rc = mob_object_put(s, bytes, 100, MOB_TYPE_BYTES, &r[n]);
		n += rc >= 0;
	}
	while (n) {
		rc = release(s, r[--n], rc);
	}
	return rc;
}

static int put_parts(struct mob_store *s)
{
	const struct mob_part parts[2] = { { bytes, 1000 }, { bytes, 2000 } };
	struct mob_ref r = MOB_REF_NONE;
	struct mob_ref part = MOB_REF_NONE;
	int rc = mob_object_put_parts(s, parts, 2, MOB_TYPE_BYTES, NULL, &r);

	if (rc >= 0) {
		rc = mob_object_range(s, r, 10, 20, MOB_TYPE_BYTES, &part);
	}
	return release(s, r, release(s, part, rc));
}

static int grow(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	void *at;
	int rc = mob_object_create(s, 100, MOB_TYPE_BYTES, &r, &at);

	if (rc >= 0) {
		rc = mob_object_resize(s, r, LARGE, &at);
		/* A size that it could not get is the one that it had. */
		rc = rc < 0 ? rc : mob_object_seal(s, r);
		if (rc < 0) {
			(void)mob_object_abort(s, r);
		}
	}
	return release(s, r, rc);
}

static int put_refs(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	struct mob_ref outer = MOB_REF_NONE;
	int rc = mob_object_put(s, bytes, 100, MOB_TYPE_BYTES, &r);

	if (rc >= 0) {
		rc = mob_object_put_refs(s, &r, 1, &outer);
	}
	return release(s, r, release(s, outer, rc));
}

static int name_and_pin(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	int rc = mob_object_put(s, bytes, 5000, MOB_TYPE_BYTES, &r);

	rc = rc < 0 ? rc : mob_name_put(s, "name", r, 0, NULL);
	rc = rc < 0 ? rc : mob_object_pin(s, r);
	rc = rc < 0 ? rc : mob_object_unpin(s, r);
	rc = rc < 0 ? rc : mob_name_remove(s, "name");
	return release(s, r, rc);
}

static int wait_in_queue(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	struct mob_cq_entry e;
	struct mob_cq *cq = NULL;
	int rc = mob_object_put(s, bytes, 100, MOB_TYPE_BYTES, &r);

	rc = rc < 0 ? rc : mob_cq_open(s, &cq);
	if (cq) {
		int fd = mob_cq_fd(cq);

		rc = fd < 0 ? fd : mob_cq_add(cq, r, 1);
		rc = rc < 0 ? rc : mob_cq_pop(cq, MOB_FOREVER, &e);
		if (rc == 1) {
			rc = mob_object_release(s, e.ref);
		}
		mob_cq_close(cq);
	}
	return release(s, r, rc);
}

static int wait_for_two(struct mob_store *s)
{
	struct mob_ref r[2] = { MOB_REF_NONE, MOB_REF_NONE };
	bool ready[2];
	void *at;
	int rc = mob_object_put(s, bytes, 100, MOB_TYPE_BYTES, &r[0]);

	rc = rc < 0 ? rc : mob_object_create(s, 8, MOB_TYPE_BYTES, &r[1], &at);
	if (rc >= 0) {
		rc = mob_object_wait(s, r, 2, 2, MOB_MS, ready);
		rc = rc == 1 ? 0 : rc < 0 ? rc : 1;
		(void)mob_object_abort(s, r[1]);
	}
	return release(s, r[0], release(s, r[1], rc));
}

static int spill_and_back(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	struct mob_view v;
	int rc = mob_object_put(s, bytes, LARGE, MOB_TYPE_BYTES, &r);

	rc = rc < 0 ? rc : mobi_spill_some(s, LARGE);
	rc = rc < 0 ? rc : mob_object_get(s, r, 0, &v);
	if (rc >= 0) {
		rc = memcmp(v.at, bytes, LARGE) ? 1 : 0;
		mob_view_release(s, &v);
	}
	return release(s, r, rc);
}

static int stream(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	struct mob_ref at = MOB_REF_NONE;
	struct mob_ref item = MOB_REF_NONE;
	struct mob_stream *w = NULL;
	int rc = mob_object_put(s, bytes, 100, MOB_TYPE_BYTES, &r);

	rc = rc < 0 ? rc : mob_stream_create(s, NULL, &w, &at);
	if (w) {
		int end;

		rc = mob_stream_put(w, r, 0);
		rc = rc < 0 ? rc : mob_stream_next(s, &at, 0, &item);
		rc = rc == 1 ? release(s, item, 0) : rc;
		end = mob_stream_end(w);
		rc = rc < 0 ? rc : end;
	}
	return release(s, r, release(s, at, rc));
}

static int count_one(const struct mob_object_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static int look_around(struct mob_store *s)
{
	struct mob_object_query q = MOB_OBJECT_QUERY_INIT;
	struct mob_store_stat st;
	struct mob_ref r = MOB_REF_NONE;
	int n = 0;
	int rc = mob_object_put(s, bytes, 100, MOB_TYPE_BYTES, &r);

	rc = rc < 0 ? rc : mob_store_sync(s);
	rc = rc < 0 ? rc : mob_store_list(s, count_one, &n, NULL);
	q.size_min = 50;
	rc = rc < 0 ? rc : mob_store_find(s, &q, count_one, &n, NULL);
	rc = rc < 0 ? rc : mob_store_stat(s, &st);
	rc = rc < 0 ? rc : mob_store_check(s, NULL, NULL);
	return release(s, r, rc);
}

static struct mob_store_opts durable_opts(void)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;

	o.arena_bytes = ARENA;
	o.flags = MOB_STORE_DURABLE | MOB_STORE_SPILL_ANYWHERE;
	o.dir = base;
	return o;
}

static int durable(struct mob_store *s)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *d = NULL;
	struct mob_ref r = MOB_REF_NONE;
	int rc = mob_store_create("fails", &o, &d);

	(void)s;
	if (rc < 0) {
		return rc;
	}
	rc = mob_object_put(d, bytes, LARGE, MOB_TYPE_BYTES, &r);
	rc = rc < 0 ? rc : mob_name_put(d, "n", r, 0, NULL);
	rc = release(d, r, rc);
	rc = rc < 0 ? rc : mob_store_sync(d);
	mob_store_close(d);
	rc = rc < 0 ? rc : mob_store_unload("fails");
	d = NULL;
	rc = rc < 0 ? rc : mob_store_restore("fails", &o, NULL, NULL, &d);
	if (d) {
		rc = mob_name_get(d, "n", &r, NULL);
		rc = rc < 0 ? rc : release(d, r, rc);
		mob_store_close(d);
	}
	return rc < 0 ? rc : mob_store_remove("fails");
}

static const struct operation operations[] = {
	{ "create and close", create_and_close },
	{ "open and close", open_and_close },
	{ "put", put },
	{ "put many", put_many },
	{ "put parts", put_parts },
	{ "grow", grow },
	{ "put refs", put_refs },
	{ "name and pin", name_and_pin },
	{ "wait in a queue", wait_in_queue },
	{ "wait for two", wait_for_two },
	{ "spill and back", spill_and_back },
	{ "stream", stream },
	{ "look around", look_around },
	{ "durable", durable },
};

/* ---- every n ---- */

static struct mob_store *new_store(void)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;

	opts.arena_bytes = ARENA;
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.spill_dir = base;
	assert_ok(mob_store_create(NULL, &opts, &s));
	return s;
}

/* What an operation could not undo, as the fault was in that. */
static void reset(struct mob_store *s)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *d = NULL;
	int rc;

	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_SLOT); i++) {
		struct mobi_slot *o1 = &s->slots[i];
		struct mob_ref r = mobi_ref_of(
			s, (uint64_t)MOBI_GEN(mobi_load(&o1->word)) << 32 | i);

		if (mobi_load(&o1->hold) & MOBI_BIT(0)) {
			assert_ok(mob_object_hold(s, r));
			assert_int_equal(mob_object_free(s, r), 0);
		}
	}
	rc = mob_store_remove("fails");
	assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
	rc = mob_store_restore("fails", &o, NULL, NULL, &d);
	if (rc >= 0) {
		mob_store_close(d);
		assert_ok(mob_store_remove("fails"));
	} else {
		rc = mob_store_remove_copy("fails", base);
		assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
	}
}

static uint32_t fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint32_t n = 0;

	assert_non_null(d);
	while (readdir(d)) {
		n++;
	}
	(void)closedir(d);
	return n;
}

/* Its n-th call fails. Did one? */
static bool fail_nth(const struct operation *op, enum failing call,
		     unsigned long n)
{
	uint32_t fds_before = fds_open();
	struct mob_store *s = new_store();
	struct counts was;
	bool failed;
	int rc;

	if (op->run(s) != 0) { /* what the first one makes for all */
		fail_msg("%s fails without a fault: %s", op->name,
			 mob_err_detail(0));
	}
	mob_store_close(s);
	s = new_store();
	was = counts_of(s);
	failing_nth(call, n, ENOMEM);
	rc = op->run(s);
	failed = failing_stop(call);
	if (rc > 0 || (rc < 0 && !failed) ||
	    (rc < 0 && !mob_err_detail(rc)[0])) {
		fail_msg("%s, call %lu: %s: %s", op->name, n, mob_err_name(rc),
			 rc < 0 ? mob_err_detail(rc) : "wrong");
	}
	reset(s);
	if (mob_store_check(s, print_finding, NULL) ||
	    counts_of(s).objects != was.objects ||
	    counts_of(s).used_bytes != was.used_bytes || spill_files(s)) {
		fail_msg("%s, call %lu (%s): something is left", op->name, n,
			 rc < 0 ? mob_err_detail(rc) : "it worked");
	}
	rc = op->run(s);
	if (rc) {
		fail_msg("%s, after call %lu failed: %s: %s", op->name, n,
			 mob_err_name(rc), mob_err_detail(rc));
	}
	mob_store_close(s);
	if (fds_open() != fds_before) {
		fail_msg("%s, call %lu (%s): a descriptor is left", op->name, n,
			 rc < 0 ? mob_err_name(rc) : "it worked");
	}
	return failed;
}

static void fail_every(enum failing call)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]);
	     i++) {
		const struct operation *op = &operations[i];
		unsigned long n = 0;

		if (only && strcmp(only, op->name) != 0) {
			continue;
		}
		while (fail_nth(op, call, n)) {
			n++;
		}
		print_message("%-18s %4lu calls failed\n", op->name, n);
	}
}

static void test_fail_every_call_of_the_system(void **state)
{
	(void)state;
	fail_every(FAIL_SYSTEM);
}

static void test_fail_every_allocation(void **state)
{
	(void)state;
	if (!FAILING_ALLOC) {
		skip();
	}
	fail_every(FAIL_ALLOC);
}

static int begin(void **state)
{
	(void)state;
	assert_non_null(scratch_make(base, sizeof(base), "/tmp", "fail"));
	fill(bytes, sizeof(bytes), 3);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	assert_ok(mobi_dir_remove(base));
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_fail_every_call_of_the_system, begin, finish),
		cmocka_unit_test_setup_teardown(test_fail_every_allocation,
						begin, finish),
	};

	only = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
