/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: create, open, close, remove, their errors, forks, the limit of
 * processes. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include "os_dir.h"

static void opts_init(struct mob_store_opts *o)
{
	*o = (struct mob_store_opts)MOB_STORE_OPTS_INIT;
	o->arena_bytes = MOB_STORE_MIN_BYTES;
	o->flags = MOB_STORE_PRIVATE;
}

static void test_create_bad_names_inval(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		".x",
		"a/b",
		"a b",
		"a\n",
		"\xc3\xa4",
		("12345678901234567890123456789012"
		 "12345678901234567890123456789012"),
	};
	struct mob_store_opts o;
	struct mob_store *s = NULL;

	(void)state;
	opts_init(&o);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(mob_store_create(bad[i], &o, &s), MOB_E_INVAL);
		assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "63"));
		assert_null(s);
	}
	assert_int_equal(mob_store_open("", &s), MOB_E_INVAL);
	assert_int_equal(mob_store_remove("a b"), MOB_E_INVAL);
}

static void test_create_longest_name_works(void **state)
{
	char name[MOB_STORE_NAME_MAX + 1];
	struct mob_store_opts o;
	struct mob_store *s;
	int n;

	(void)state;
	opts_init(&o);
	n = snprintf(name, sizeof(name), "A_z.0-%d-", (int)getpid());
	memset(name + n, 'x', sizeof(name) - 1 - (size_t)n);
	name[sizeof(name) - 1] = '\0';
	assert_ok(mob_store_create(name, &o, &s));
	assert_string_equal(mob_store_name(s), name);
	store_end(s);
}

static void test_create_bad_sizes_inval(void **state)
{
	struct mob_store_opts o;
	struct mob_store *s = NULL;

	(void)state;
	opts_init(&o);
	o.arena_bytes = MOB_STORE_MIN_BYTES - 1;
	assert_int_equal(mob_store_create(NULL, &o, &s), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "4194304"));
	o.arena_bytes = UINT64_MAX;
	assert_int_equal(mob_store_create(NULL, &o, &s), MOB_E_INVAL);
	assert_null(s);
}

static void test_create_unknown_options_version(void **state)
{
	struct mob_store_opts o;
	struct mob_store *s = NULL;

	(void)state;
	opts_init(&o);
	o.flags = 0x80;
	assert_int_equal(mob_store_create(NULL, &o, &s), MOB_E_VERSION);
	opts_init(&o);
	o.struct_size = 4;
	assert_int_equal(mob_store_create(NULL, &o, &s), MOB_E_VERSION);
	assert_null(s);
}

static void test_create_same_name_exists(void **state)
{
	char name[64];
	struct mob_store *s;
	struct mob_store *other = NULL;
	struct mob_store_opts o;

	(void)state;
	opts_init(&o);
	s = store_new(name_new(name, sizeof(name), "exists"), 4 * MIB);
	assert_int_equal(mob_store_create(name, &o, &other), MOB_E_EXISTS);
	assert_null(other);
	/* The first is none the worse. */
	assert_ok(mob_object_release(s, put_filled(s, 10, 1)));
	assert_int_equal(mob_store_remove(name), MOB_E_BUSY);
	store_end(s);
	assert_ok(mob_store_create(name, &o, &s));
	store_end(s);
}

static void test_create_without_a_name_makes_fresh_ones(void **state)
{
	struct mob_store *a = store_new(NULL, 4 * MIB);
	struct mob_store *b = store_new(NULL, 4 * MIB);

	(void)state;
	assert_string_not_equal(mob_store_name(a), mob_store_name(b));
	store_end(a);
	store_end(b);
}

static void test_open_what_is_not_there_not_found(void **state)
{
	struct mob_store *s = NULL;

	(void)state;
	assert_int_equal(mob_store_open("t-no-such-session", &s),
			 MOB_E_NOT_FOUND);
	assert_int_equal(mob_store_open("/nonexistent/x", &s), MOB_E_NOT_FOUND);
	assert_int_equal(mob_store_remove("t-no-such-session"),
			 MOB_E_NOT_FOUND);
	assert_null(s);
}

static void test_open_by_name_and_by_path(void **state)
{
	char name[64];
	struct mob_store *s;
	struct mob_store *by_name;
	struct mob_store *by_path;
	struct mob_ref r;
	struct mob_view v;

	(void)state;
	s = store_new(name_new(name, sizeof(name), "open"), 4 * MIB);
	r = put_filled(s, 300, 4);
	assert_ok(mob_store_open(name, &by_name));
	assert_ok(mob_store_open(s->path, &by_path));
	assert_string_equal(mob_store_name(by_path), name);
	assert_ok(mob_object_get(by_name, r, 0, &v));
	assert_true(filled(v.at, v.size, 4));
	mob_view_release(by_name, &v);
	assert_ok(mob_object_hold(by_path, r));
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_SEALED);
	/* Its hold goes with it. */
	mob_store_close(by_path);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
	mob_store_close(by_name);
	store_end(s);
}

/* In a directory of its own: others would sweep it. */
static void test_open_damaged_corrupt_or_version(void **state)
{
	char dir[] = "/dev/shm/mob-test-XXXXXX";
	char path[256];
	char numbers[128];
	struct mob_store *s;
	struct mob_store *other = NULL;
	struct mob_store_opts o;

	(void)state;
	opts_init(&o);
	o.dir = mkdtemp(dir);
	assert_non_null(o.dir);
	assert_ok(mob_store_create("damaged", &o, &s));
	(void)snprintf(path, sizeof(path), "%s", s->path);
	mobi_store(&s->hdr->magic, UINT64_C(0));
	assert_int_equal(mob_store_open(path, &other), MOB_E_CORRUPT);
	mobi_store(&s->hdr->magic, MOBI_MAGIC);
	s->hdr->format += 1000;
	assert_int_equal(mob_store_open(path, &other), MOB_E_VERSION);
	(void)snprintf(numbers, sizeof(numbers),
		       "has format %u, this build reads format %u;",
		       MOBI_FORMAT + 1000, MOBI_FORMAT);
	assert_non_null(strstr(mob_err_detail(MOB_E_VERSION), numbers));
	s->hdr->format -= 1000;
	s->hdr->fingerprint ^= 1;
	assert_int_equal(mob_store_open(path, &other), MOB_E_VERSION);
	(void)snprintf(numbers, sizeof(numbers),
		       "layout %08llx, this build has layout %08llx,",
		       (unsigned long long)s->hdr->fingerprint,
		       (unsigned long long)s->hdr->fingerprint ^ 1);
	assert_non_null(strstr(mob_err_detail(MOB_E_VERSION), numbers));
	s->hdr->fingerprint ^= 1;
	s->hdr->boot[0] ^= 1;
	assert_int_equal(mob_store_open(path, &other), MOB_E_CORRUPT);
	s->hdr->boot[0] ^= 1;
	s->hdr->ctl_bytes *= 2;
	assert_int_equal(mob_store_open(path, &other), MOB_E_CORRUPT);
	s->hdr->ctl_bytes /= 2;
	for (uint32_t i = 0; i < MOBI_SECTIONS; i++) {
		s->hdr->section[i].off ^= UINT64_C(1) << 40;
		assert_int_equal(mob_store_open(path, &other), MOB_E_CORRUPT);
		s->hdr->section[i].off ^= UINT64_C(1) << 40;
	}
	assert_null(other);
	assert_ok(mob_store_open(path, &other));
	mob_store_close(other);
	store_end(s);
	assert_ok(mobi_dir_remove(dir));
}

/* A living session of another build is nobody's to sweep. */
static void test_sweep_other_build_left_alone(void **state)
{
	char name[64];
	struct mob_store *s;

	(void)state;
	s = store_new(name_new(name, sizeof(name), "build"), 4 * MIB);
	s->hdr->fingerprint ^= 1;
	store_end(store_new(NULL, 4 * MIB));
	s->hdr->fingerprint ^= 1;
	store_end(store_new(NULL, 4 * MIB));
	assert_int_equal(access(s->path, F_OK), 0);
	store_end(s);
}

static void test_close_last_of_private_removes_directory(void **state)
{
	char name[64];
	char path[256];
	struct mob_store *a;
	struct mob_store *b;

	(void)state;
	a = store_new(name_new(name, sizeof(name), "last"), 4 * MIB);
	(void)snprintf(path, sizeof(path), "%s", a->path);
	assert_ok(mob_store_open(name, &b));
	mob_store_close(a);
	assert_int_equal(access(path, F_OK), 0);
	mob_store_close(b);
	assert_int_equal(access(path, F_OK), -1);
	mob_store_close(NULL);
}

static void test_close_gives_everything_back(void **state)
{
	char name[64];
	struct mob_store *a;
	struct mob_store *b;
	struct mob_ref r[4];
	struct mob_view v;
	struct mob_cq *q;
	void *at;

	(void)state;
	a = store_new(name_new(name, sizeof(name), "gives"), 4 * MIB);
	assert_ok(mob_store_open(name, &b));
	r[0] = put_filled(b, 5000, 1);
	assert_ok(mob_object_put_refs(b, r, 1, &r[1]));
	assert_ok(mob_object_put_refs(b, r, 2, &r[2]));
	assert_ok(mob_object_create(b, 9000, MOB_TYPE_BYTES, &r[3], &at));
	assert_ok(mob_object_get(b, r[2], 0, &v));
	assert_ok(mob_cq_open(b, &q));
	assert_ok(mob_cq_add(q, r[3], 1));
	assert_ok(mob_cq_add(q, r[0], 2));
	mob_cq_close(q);
	assert_ok(mob_object_hold(a, r[3]));
	mob_store_close(b);
	/* What nobody will make any more is lost, not pending for ever. */
	assert_int_equal(mob_object_get(a, r[3], MOB_FOREVER, &v), MOB_E_LOST);
	assert_ok(mob_object_release(a, r[3]));
	assert_int_equal(counts_of(a).chunks, 0);
	assert_int_equal(counts_of(a).unhinted, 0);
	store_end(a);
}

/* Threads that have slept have a chunk each; one that never used the store
 * closes it. */
static void *sleeper(void *arg)
{
	struct mob_store *s = arg;
	struct mob_ref r;
	struct mob_view v;
	void *at;

	if (mob_object_create(s, 8, MOB_TYPE_BYTES, &r, &at) != 0 ||
	    mob_object_get(s, r, 1000, &v) != MOB_E_TIMEOUT ||
	    mob_object_abort(s, r) != 0 || mob_object_release(s, r) != 0) {
		return arg;
	}
	return NULL;
}

static void test_close_after_threads_nothing_left(void **state)
{
	char name[64];
	struct mob_store *watch;
	struct mob_store *s;
	pthread_t t[4];

	(void)state;
	watch = store_new(name_new(name, sizeof(name), "threads"), 4 * MIB);
	assert_ok(mob_store_open(name, &s));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, sleeper, s), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *bad;

		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	mob_store_close(s);
	assert_int_equal(counts_of(watch).chunks, 0);
	store_end(watch);
}

/* ---- forks ---- */

struct forked {
	struct mob_store *s;
	struct mob_ref r;
	struct mob_view v;
	struct mob_cq *q;
};

static int forked_calls(void *arg)
{
	struct forked *f = arg;
	struct mob_cq_entry e;
	struct mob_ref r = MOB_REF_NONE;
	struct mob_store *own;
	struct mob_store_stat st;
	struct mob_view v;
	bool ready;
	void *at;

	if (mob_object_put(f->s, "x", 1, 1, &r) != MOB_E_FORKED ||
	    mob_object_create(f->s, 1, 1, &r, &at) != MOB_E_FORKED ||
	    mob_object_put_refs(f->s, &f->r, 1, &r) != MOB_E_FORKED ||
	    mob_object_seal(f->s, f->r) != MOB_E_FORKED ||
	    mob_object_abort(f->s, f->r) != MOB_E_FORKED ||
	    mob_object_hold(f->s, f->r) != MOB_E_FORKED ||
	    mob_object_release(f->s, f->r) != MOB_E_FORKED ||
	    mob_object_get(f->s, f->r, 0, &v) != MOB_E_FORKED ||
	    mob_object_wait(f->s, &f->r, 1, 1, 0, &ready) != MOB_E_FORKED ||
	    mob_cq_open(f->s, &f->q) != MOB_E_FORKED ||
	    mob_cq_add(f->q, f->r, 0) != MOB_E_FORKED ||
	    mob_cq_pop(f->q, 0, &e) != MOB_E_FORKED ||
	    mob_cq_fd(f->q) != MOB_E_FORKED ||
	    mob_store_sync(f->s) != MOB_E_FORKED ||
	    mob_store_stat(f->s, &st) != MOB_E_FORKED ||
	    mob_store_check(f->s, NULL, NULL) != MOB_E_FORKED) {
		return 1;
	}
	/* Views and queues of the parent are not the child's to end. */
	mob_view_release(f->s, &f->v);
	mob_cq_close(f->q);
	own = child_open(mob_store_name(f->s));
	mob_store_close(f->s);
	if (mob_object_get(own, f->r, 0, &v) != 0) {
		return 2;
	}
	mob_view_release(own, &v);
	mob_store_close(own);
	return 0;
}

static void test_fork_child_forked_until_it_opens(void **state)
{
	struct forked f = { store_new(NULL, 4 * MIB),
			    MOB_REF_NONE,
			    { NULL, 0, { 0, 0 }, 0, 0 },
			    NULL };
	struct mob_cq_entry e;

	(void)state;
	f.r = put_filled(f.s, 1000, 2);
	assert_ok(mob_object_get(f.s, f.r, 0, &f.v));
	assert_ok(mob_cq_open(f.s, &f.q));
	assert_ok(mob_cq_add(f.q, f.r, 9));
	assert_int_equal(child_result(child_start(forked_calls, &f)), 0);
	/* The parent has everything still. */
	assert_int_equal(mob_cq_pop(f.q, 0, &e), 1);
	assert_ok(mob_object_release(f.s, e.ref));
	mob_cq_close(f.q);
	assert_true(filled(f.v.at, f.v.size, 2));
	mob_view_release(f.s, &f.v);
	assert_ok(mob_object_release(f.s, f.r));
	store_end(f.s);
}

/* ---- the limit of processes ---- */

struct crowd {
	char name[64];
	mobi_a32 in;
	mobi_a32 refused;
	mobi_a32 go;
};

static int one_of_the_crowd(void *arg)
{
	struct crowd *c = arg;
	struct mob_store *s = NULL;
	int rc = mob_store_open(c->name, &s);

	(void)mobi_fetch_add(rc == 0 ? &c->in : &c->refused, 1u);
	while (!mobi_load(&c->go)) {
		(void)sched_yield();
	}
	mob_store_close(s);
	return rc == 0 || rc == MOB_E_LIMIT ? 0 : 1;
}

static void test_open_more_than_63_processes_limit(void **state)
{
	struct crowd *c = shared_memory(sizeof(*c));
	struct mob_store *s;
	struct mob_store *other = NULL;
	pid_t pid[MOBI_CLIENTS + 2];
	uint32_t n = MOBI_CLIENTS + 2;

	(void)state;
	s = store_new(name_new(c->name, sizeof(c->name), "crowd"), 4 * MIB);
	for (uint32_t i = 0; i < n; i++) {
		pid[i] = child_start(one_of_the_crowd, c);
	}
	while (mobi_load(&c->in) + mobi_load(&c->refused) < n) {
		(void)sched_yield();
	}
	assert_int_equal(mobi_load(&c->in), MOBI_CLIENTS - 2);
	assert_int_equal(mob_store_open(c->name, &other), MOB_E_LIMIT);
	assert_non_null(strstr(mob_err_detail(MOB_E_LIMIT), "63"));
	/* The places of the killed are free once they are cleaned up after. */
	for (uint32_t i = 0; i < n; i += 2) {
		child_kill(pid[i]);
	}
	while (mobi_reap(s) > 0) {
	}
	assert_ok(mob_store_open(c->name, &other));
	mob_store_close(other);
	mobi_store(&c->go, 1u);
	for (uint32_t i = 1; i < n; i += 2) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(munmap(c, sizeof(*c)), 0);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_bad_names_inval),
		cmocka_unit_test(test_create_longest_name_works),
		cmocka_unit_test(test_create_bad_sizes_inval),
		cmocka_unit_test(test_create_unknown_options_version),
		cmocka_unit_test(test_create_same_name_exists),
		cmocka_unit_test(test_create_without_a_name_makes_fresh_ones),
		cmocka_unit_test(test_open_what_is_not_there_not_found),
		cmocka_unit_test(test_open_by_name_and_by_path),
		cmocka_unit_test(test_open_damaged_corrupt_or_version),
		cmocka_unit_test(test_sweep_other_build_left_alone),
		cmocka_unit_test(test_close_last_of_private_removes_directory),
		cmocka_unit_test(test_close_gives_everything_back),
		cmocka_unit_test(test_close_after_threads_nothing_left),
		cmocka_unit_test(test_fork_child_forked_until_it_opens),
		cmocka_unit_test(test_open_more_than_63_processes_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
