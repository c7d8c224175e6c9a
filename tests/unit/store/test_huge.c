/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Huge pages of the arena, on file systems that a child mounts for itself. It
 * says what failed, and answers 1; 77 is a skip.
 */
#define _GNU_SOURCE
#include "store_fixture.h"

#include "os_huge.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define SKIP 77
#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what)) {                                                 \
			(void)fprintf(stderr, "line %d: %s\n", __LINE__,       \
				      #what);                                  \
			return 1;                                              \
		}                                                              \
	} while (0)

static char place[] = "/tmp/mobula-test-huge-XXXXXX";

static int place_make(void **state)
{
	(void)state;
	return mkdtemp(place) ? 0 : -1;
}

static int place_remove(void **state)
{
	(void)state;
	return rmdir(place);
}

/* In a child: sessions are on a file system of its own from now on. */
static bool moved_to(const char *type, const char *options)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", place, type, 0, options) == 0 &&
	       setenv("MOBULA_SESSION_DIR", place, 1) == 0;
}

/* Does a tmpfs that is mounted so give huge pages on this machine? */
static bool can_have(void)
{
	struct mobi_huge_facts facts;
	char why[256];
	int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum mobi_huge huge;

	mobi_huge_look(fd, &facts);
	(void)close(fd);
	huge = mobi_huge_decide(&facts, why, sizeof(why));
	(void)fprintf(stderr, "%s\n", why);
	return huge != MOBI_HUGE_NONE;
}

static struct mob_store *make(uint64_t bytes)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;

	opts.arena_bytes = bytes;
	opts.flags = MOB_STORE_PRIVATE;
	return mob_store_create(NULL, &opts, &s) < 0 ? NULL : s;
}

static struct mob_ref put(struct mob_store *s, uint64_t size, uint64_t seed)
{
	struct mob_ref r = MOB_REF_NONE;
	void *at = NULL;

	if (mob_object_create(s, size, MOB_TYPE_BYTES, &r, &at) < 0) {
		return MOB_REF_NONE;
	}
	fill(at, size, seed);
	return mob_object_seal(s, r) < 0 ? MOB_REF_NONE : r;
}

static bool is_whole(struct mob_store *s, struct mob_ref r, uint64_t size,
		     uint64_t seed)
{
	struct mob_view v;
	bool ok;

	if (mob_object_get(s, r, 0, &v) < 0) {
		return false;
	}
	ok = v.size == size && filled(v.at, size, seed);
	mob_view_release(s, &v);
	return ok;
}

/* 20 MiB of objects of a MiB. */
static int on_advise(void *arg)
{
	const char *let = arg;
	char why[256] = "";
	struct mob_ref r[20];
	struct mob_store *s;
	uint64_t bytes = 1;

	if (!moved_to("tmpfs", "huge=advise,size=64m") || !can_have()) {
		return SKIP;
	}
	CHECK(setenv("MOBULA_HUGE_PAGES", let, 1) == 0);
	s = make(32 * MIB);
	CHECK(s);
	for (uint64_t i = 0; i < 20; i++) {
		r[i] = put(s, MIB, i);
		CHECK(r[i].hi);
	}
	CHECK(mob_store_huge_pages(s, &bytes, why, sizeof(why)) == 0);
	(void)fprintf(stderr, "%" PRIu64 " bytes: %s\n", bytes, why);
	if (strcmp(let, "off") == 0) {
		CHECK(bytes == 0 && strstr(why, "MOBULA_HUGE_PAGES is off"));
	} else {
		CHECK(bytes >= 2 * MIB && bytes <= 32 * MIB);
		CHECK(strstr(why, "huge=advise"));
	}
	for (uint64_t i = 0; i < 20; i++) {
		CHECK(is_whole(s, r[i], MIB, i));
	}
	CHECK(mob_store_check(s, print_finding, NULL) == 0);
	mob_store_close(s);
	return 0;
}

static uint64_t arena_file_bytes(const struct mob_store *s)
{
	struct stat st;

	return fstat(s->arena_fd, &st) ? UINT64_MAX :
					 (uint64_t)st.st_blocks * 512;
}

/* The file system is full before the arena is, and has more room again when
 * objects have gone. */
static int on_full(void *arg)
{
	static const uint64_t sizes[] = { 100, 5000, 70000, 700000 };
	static struct mob_ref r[100000];
	struct mob_store *s;
	uint64_t n = 0;
	int rc = 0;

	if (!moved_to("tmpfs", arg) || !can_have()) {
		return SKIP;
	}
	/* cmocka would go on with the next test here. */
	CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR);
	s = make(40 * MIB);
	CHECK(s);
	for (;; n++) {
		void *at;

		rc = mob_object_create(s, sizes[n % 4], MOB_TYPE_BYTES, &r[n],
				       &at);
		if (rc < 0) {
			break;
		}
		fill(at, sizes[n % 4], n);
		CHECK(mob_object_seal(s, r[n]) == 0);
	}
	(void)fprintf(stderr, "%" PRIu64 " objects: %s\n", n,
		      mob_err_detail(rc));
	CHECK(rc == MOB_E_STORE_FULL);
	CHECK(n > 40 && arena_file_bytes(s) > 8 * MIB);
	for (uint64_t i = 0; i < n; i++) {
		CHECK(is_whole(s, r[i], sizes[i % 4], i));
	}
	for (uint64_t i = 0; i < n; i++) {
		CHECK(mob_object_release(s, r[i]) >= 0);
	}
	mobi_arena_leave(s->arena);
	mobi_arena_trim(s->arena, 0);
	CHECK(arena_file_bytes(s) < 8 * MIB);
	r[0] = put(s, 8 * MIB, 3);
	CHECK(r[0].hi && is_whole(s, r[0], 8 * MIB, 3));
	CHECK(mob_store_check(s, print_finding, NULL) == 0);
	mob_store_close(s);
	return 0;
}

/* Of a huge page that one small object was in nothing stays. */
static int on_trim(void *arg)
{
	struct mob_store *s;
	struct mob_ref r;

	(void)arg;
	if (!moved_to("tmpfs", "huge=advise,size=64m") || !can_have()) {
		return SKIP;
	}
	s = make(32 * MIB);
	CHECK(s);
	r = put(s, 100 * KIB, 1);
	CHECK(r.hi && arena_file_bytes(s) >= 2 * MIB);
	CHECK(mob_object_release(s, r) >= 0);
	mobi_arena_leave(s->arena);
	mobi_arena_trim(s->arena, 0);
	CHECK(arena_file_bytes(s) == 0);
	CHECK(mob_store_check(s, print_finding, NULL) == 0);
	mob_store_close(s);
	return 0;
}

/* In a child of the child: makes and drops objects of all sizes, and counts. */
static void work(const char *name, uint64_t seed, mobi_a64 *turns)
{
	struct mob_store *s = child_open(name);
	struct mob_ref r[16] = { { 0, 0 } };

	for (;;) {
		uint32_t i = (uint32_t)(next_random(&seed) % 16);
		uint64_t size = UINT64_C(1) << next_random(&seed) % 21;

		if (r[i].hi && mob_object_release(s, r[i]) < 0) {
			_exit(98);
		}
		r[i] = put(s, size, i);
		(void)mobi_fetch_add(turns, UINT64_C(1));
	}
}

/* Objects until no more fit; then they go, and so does all memory. */
static int fill_and_drop(struct mob_store *s)
{
	static struct mob_ref r[64];
	struct mobi_arena_sums sums;
	uint64_t n = 0;

	while (n < 64 && (r[n] = put(s, MIB, n)).hi) {
		n++;
	}
	CHECK(n >= 16); /* of 32: those before lay elsewhere */
	for (uint64_t i = 0; i < n; i++) {
		CHECK(is_whole(s, r[i], MIB, i));
		CHECK(mob_object_release(s, r[i]) >= 0);
	}
	mobi_arena_leave(s->arena);
	mobi_arena_trim(s->arena, 0);
	mobi_arena_sums(s->arena, &sums);
	CHECK(sums.blocks == 0 && sums.bare_bytes == 32 * MIB);
	CHECK(arena_file_bytes(s) == 0);
	return 0;
}

#define KILLS 15

/* Killed while they back and give back huge pages: no memory is lost. */
static int on_kills(void *arg)
{
	mobi_a64 *turns = shared_memory(sizeof(*turns));
	uint64_t seed = *(uint64_t *)arg;
	struct mob_store *s;

	if (!moved_to("tmpfs", "huge=advise,size=64m") || !can_have()) {
		return SKIP;
	}
	s = make(32 * MIB);
	CHECK(s && fill_and_drop(s) == 0);
	for (uint32_t k = 0; k < KILLS; k++) {
		uint64_t until = mobi_load(turns) + next_random(&seed) % 200;
		uint64_t child_seed = next_random(&seed);
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			work(s->name, child_seed, turns);
		}
		while (mobi_load(turns) < until) {
			(void)sched_yield();
			CHECK(waitpid(pid, NULL, WNOHANG) == 0);
		}
		child_kill(pid);
		if (k % 4 == 0) {
			reap_until(s, MOBI_BIT(s->me));
			mobi_arena_trim(s->arena, next_random(&seed) % MIB);
		}
	}
	reap_until(s, MOBI_BIT(s->me));
	CHECK(counts_of(s).objects == 0 && counts_of(s).used_bytes == 0);
	CHECK(mob_store_check(s, print_finding, NULL) == 0);
	CHECK(fill_and_drop(s) == 0);
	mob_store_close(s);
	return 0;
}

/* Nothing but huge pages is refused, whether the machine has set some aside or
 * not. */
static int on_hugetlbfs(void *arg)
{
	(void)arg;
	if (!moved_to("hugetlbfs", NULL)) {
		return SKIP;
	}
	CHECK(!make(8 * MIB));
	CHECK(strstr(mob_err_detail(MOB_E_UNSUPPORTED), "is a hugetlbfs"));
	return 0;
}

static void expect_child(int (*fn)(void *arg), void *arg)
{
	int rc = child_result(child_start(fn, arg));

	if (rc == SKIP) {
		print_message("no right to mount, or no huge pages\n");
		skip();
	}
	assert_int_equal(rc, 0);
}

static void test_arena_on_advise_is_in_huge_pages(void **state)
{
	static char let[] = "auto";

	(void)state;
	expect_child(on_advise, let);
}

static void test_arena_asks_for_none_if_off(void **state)
{
	static char let[] = "off";

	(void)state;
	expect_child(on_advise, let);
}

static void test_full_file_system_is_an_error_and_no_signal(void **state)
{
	static char advise[] = "huge=advise,size=40m";
	static char always[] = "huge=always,size=40m";

	(void)state;
	expect_child(on_full, advise);
	expect_child(on_full, always);
}

static void test_trim_gives_whole_huge_pages_back(void **state)
{
	(void)state;
	expect_child(on_trim, NULL);
}

static void test_kills_lose_no_memory(void **state)
{
	const char *given = getenv("MOB_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : now_ns() | 1;

	(void)state;
	print_message("MOB_SEED=%" PRIu64 "\n", seed);
	expect_child(on_kills, &seed);
}

static void test_hugetlbfs_is_refused(void **state)
{
	(void)state;
	expect_child(on_hugetlbfs, NULL);
}

static void test_wrong_word_is_refused(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;
	int rc;

	(void)state;
	opts.arena_bytes = 8 * MIB;
	opts.flags = MOB_STORE_PRIVATE;
	assert_int_equal(setenv("MOBULA_HUGE_PAGES", "yes", 1), 0);
	rc = mob_store_create(NULL, &opts, &s);
	assert_int_equal(unsetenv("MOBULA_HUGE_PAGES"), 0);
	assert_int_equal(rc, MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(rc), "MOBULA_HUGE_PAGES is "
						   "'yes'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_on_advise_is_in_huge_pages),
		cmocka_unit_test(test_arena_asks_for_none_if_off),
		cmocka_unit_test(
			test_full_file_system_is_an_error_and_no_signal),
		cmocka_unit_test(test_trim_gives_whole_huge_pages_back),
		cmocka_unit_test(test_kills_lose_no_memory),
		cmocka_unit_test(test_hugetlbfs_is_refused),
		cmocka_unit_test(test_wrong_word_is_refused),
	};

	return cmocka_run_group_tests_name("store.huge", tests, place_make,
					   place_remove);
}
