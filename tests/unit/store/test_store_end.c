/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an attachment, of a process and of a session: what it leaves to
 * others, and what it leaves alone. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include "arena_impl.h"
#include "fault.h"
#include "os_dir.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- what is half done at the hands of a living process ---- */

/* Makes a large block look as in the middle of its allocation by client. */
static mobi_a64 *claim_by_hand(struct mob_store *s, struct mob_ref r,
			       uint32_t client)
{
	uint64_t loc = mobi_load(&slot_at(s, r)->loc);
	mobi_a64 *at = mobi_unit(s->arena, loc >> MOBI_UNIT_SHIFT);
	uint64_t w = mobi_load(at);

	assert_int_equal(MOBI_UKIND(w), MOBI_U_LARGE);
	mobi_store(at, MOBI_UWORD(MOBI_U_CLAIM, client, MOBI_UCLASS(w),
				  MOBI_UARG(w), MOBI_UGEN(w)));
	return at;
}

static void settle_by_hand(mobi_a64 *at)
{
	uint64_t w = mobi_load(at);

	mobi_store(at, MOBI_UWORD(MOBI_U_LARGE, 0, MOBI_UCLASS(w), MOBI_UARG(w),
				  MOBI_UGEN(w)));
}

static int close_inherited(void *arg)
{
	mob_store_close(arg);
	return 0;
}

static void test_close_in_a_forked_child_touches_nothing(void **state)
{
	struct mob_store *s = store_new(NULL, 16 * MIB);
	struct mob_ref small = put_filled(s, 100, 1);
	struct mob_ref r = put_filled(s, 3 * MIB, 2);
	mobi_a64 *at = claim_by_hand(s, r, s->me);
	uint64_t w = mobi_load(at);

	(void)state;
	assert_int_equal(child_result(child_start(close_inherited, s)), 0);
	assert_int_equal(mobi_load(at), w);
	settle_by_hand(at);
	assert_ok(mob_object_release(s, small));
	assert_ok(mob_object_release(s, r));
	store_end(s);
}

#ifdef MOB_FAILPOINTS
static int closes_slowly(void *arg)
{
	struct mob_store *s = child_open(arg);
	struct mob_ref r = put_filled(s, 100, 1);

	if (mob_object_release(s, r) != 0) {
		return 1;
	}
	mobi_fault_arm("store.left=stop");
	mob_store_close(s);
	return 0;
}

static void until_stopped(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* Its number is another's by then. */
static void test_close_leaves_the_next_owner_of_its_number_alone(void **state)
{
	char name[64];
	struct mob_store *s;
	struct mob_store *next;
	struct mob_ref r;
	mobi_a64 *at;
	uint64_t w;
	pid_t pid;

	(void)state;
	s = store_new(name_new(name, sizeof(name), "next"), 16 * MIB);
	pid = child_start(closes_slowly, name);
	until_stopped(pid);
	assert_ok(mob_store_open(name, &next));
	r = put_filled(next, 3 * MIB, 2);
	at = claim_by_hand(next, r, next->me);
	w = mobi_load(at);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(child_result(pid), 0);
	assert_int_equal(mobi_load(at), w);
	settle_by_hand(at);
	assert_ok(mob_object_release(next, r));
	mob_store_close(next);
	store_end(s);
}
#endif

/* ---- two attachments of one process ---- */

static void test_close_of_one_attachment_leaves_the_catalogue(void **state)
{
	char x[64];
	char y[64];
	char data[256];
	struct mob_store *a;
	struct mob_store *b;
	struct mob_store *other;
	struct mob_ref r;
	struct mob_ref found;

	(void)state;
	a = store_new(name_new(x, sizeof(x), "two"), 4 * MIB);
	assert_ok(mob_store_open(x, &b));
	r = put_filled(b, 100, 1);
	mob_store_close(a);
	/* It takes the descriptors that a had. */
	other = store_new(name_new(y, sizeof(y), "other"), 4 * MIB);
	assert_ok(mob_name_put(b, "mine", r, 0, NULL));
	assert_ok(mob_store_sync(b));
	(void)snprintf(data, sizeof(data), "%s/idx/data.mdb", b->path);
	assert_int_equal(access(data, F_OK), 0);
	(void)snprintf(data, sizeof(data), "%s/idx/data.mdb", other->path);
	assert_int_equal(access(data, F_OK), -1);
	assert_ok(mob_name_get(b, "mine", &found, NULL));
	assert_int_equal(mob_object_free(b, found), 1);
	assert_ok(mob_object_release(b, r));
	store_end(other);
	store_end(b);
}

/* ---- the dead ---- */

static int opens_and_dies(void *arg)
{
	struct mob_store *s = child_open(arg);

	(void)put_filled(s, 1000, 1);
	(void)kill(getpid(), SIGKILL);
	return 1;
}

static int opens(void *arg)
{
	mob_store_close(child_open(arg));
	return 0;
}

/* Nobody is left to look after them but who comes next. */
static void test_open_after_many_died_works(void **state)
{
	char name[64];
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s;

	(void)state;
	o.arena_bytes = 4 * MIB;
	assert_ok(
		mob_store_create(name_new(name, sizeof(name), "died"), &o, &s));
	mob_store_close(s);
	for (int i = 0; i < MOBI_CLIENTS + 6; i++) {
		assert_int_equal(
			child_result(child_start(opens_and_dies, name)),
			-SIGKILL);
	}
	assert_ok(mob_store_open(name, &s));
	assert_int_equal(counts_of(s).objects, 0);
	store_end(s);
	assert_ok(mob_store_remove(name));
}

struct crowd {
	char name[64];
	mobi_a32 in;
};

static int sits(void *arg)
{
	struct crowd *c = arg;

	(void)put_filled(child_open(c->name), 1000, 1);
	(void)mobi_fetch_add(&c->in, 1u);
	for (;;) {
		(void)pause();
	}
	return 0;
}

/* A store whose other places are all of the dead. */
static struct mob_store *full_of_dead(struct crowd *c)
{
	uint32_t n = MOBI_CLIENTS - 2;
	pid_t pid[MOBI_CLIENTS];
	struct mob_store *s;

	s = store_new(name_new(c->name, sizeof(c->name), "full"), 4 * MIB);
	for (uint32_t i = 0; i < n; i++) {
		pid[i] = child_start(sits, c);
	}
	while (mobi_load(&c->in) < n) {
		(void)sched_yield();
	}
	for (uint32_t i = 0; i < n; i++) {
		child_kill(pid[i]);
	}
	assert_int_equal(__builtin_popcountll(clients_used(s)), n + 1);
	return s;
}

static void test_open_when_all_places_are_of_the_dead(void **state)
{
	struct crowd *c = shared_memory(sizeof(*c));
	struct mob_store *s = full_of_dead(c);

	(void)state;
	assert_int_equal(child_result(child_start(opens, c->name)), 0);
	assert_int_equal(clients_used(s), MOBI_BIT(s->me));
	assert_int_equal(munmap(c, sizeof(*c)), 0);
	store_end(s);
}

/* Until it sleeps. */
static void until_asleep(pid_t pid)
{
	char path[64];
	char state = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state != 'S') {
		FILE *f = fopen(path, "r");

		assert_non_null(f);
		assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
		(void)fclose(f);
		(void)sched_yield();
	}
}

/* One of them cleans up, for all. */
static void test_open_by_several_when_all_places_are_of_the_dead(void **state)
{
	enum { SEVERAL = 4 };
	struct crowd *c = shared_memory(sizeof(*c));
	struct mob_store *s = full_of_dead(c);
	pid_t pid[SEVERAL];

	(void)state;
	assert_ok(mobi_lock_acquire(&s->hdr->janitor, MOB_SEC));
	for (int i = 0; i < SEVERAL; i++) {
		pid[i] = child_start(opens, c->name);
	}
	/* They have found no place, and wait for who cleans up. */
	for (int i = 0; i < SEVERAL; i++) {
		until_asleep(pid[i]);
	}
	mobi_lock_release(&s->hdr->janitor);
	for (int i = 0; i < SEVERAL; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(clients_used(s), MOBI_BIT(s->me));
	assert_int_equal(munmap(c, sizeof(*c)), 0);
	store_end(s);
}

/* ---- remove and sweep ---- */

static char *file_in(char *path, size_t size, const char *dir, const char *name)
{
	int fd;

	(void)snprintf(path, size, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	return path;
}

static void test_remove_what_is_no_session_left_alone(void **state)
{
	char dir[] = "/dev/shm/mob-test-XXXXXX";
	char path[128];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)file_in(path, sizeof(path), dir, "thesis.txt");
	assert_int_equal(mob_store_remove(dir), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), dir));
	assert_int_equal(access(path, F_OK), 0);
	/* Also beside a file that could be one of a session. */
	(void)file_in(path, sizeof(path), dir, "ctl");
	assert_int_equal(mob_store_remove(dir), MOB_E_INVAL);
	assert_int_equal(access(path, F_OK), 0);
	assert_ok(mobi_dir_remove(dir));
}

static void test_remove_half_removed_session(void **state)
{
	char dir[] = "/dev/shm/mob-test-XXXXXX";
	char path[128];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)file_in(path, sizeof(path), dir, "arena");
	assert_ok(mob_store_remove(dir));
	assert_int_equal(access(dir, F_OK), -1);
}

static void test_sweep_removes_sessions_only(void **state)
{
	char base[] = "/dev/shm/mob-test-XXXXXX";
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	char user[64];
	char dir[96];
	char wreck[96];
	char path[128];
	struct mob_store *s;

	(void)state;
	o.dir = mkdtemp(base);
	assert_non_null(o.dir);
	o.arena_bytes = MOB_STORE_MIN_BYTES;
	(void)snprintf(user, sizeof(user), "%s/mobula-%u", base,
		       (unsigned)geteuid());
	(void)snprintf(dir, sizeof(dir), "%s/notes", user);
	(void)snprintf(wreck, sizeof(wreck), "%s/wreck", user);
	assert_int_equal(mkdir(user, 0700), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(wreck, 0700), 0);
	(void)file_in(path, sizeof(path), wreck, "ctl");
	(void)file_in(path, sizeof(path), dir, "notes.txt");
	assert_ok(mob_store_create("a", &o, &s));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(wreck, F_OK), -1);
	store_end(s);
	assert_ok(mobi_dir_remove(base));
}

static int lives_shortly(void *arg)
{
	(void)arg;
	return 0;
}

static char *building_dir(char *path, size_t size, const char *user, pid_t by,
			  uint64_t pid_ns)
{
	(void)snprintf(path, size, "%s/.new-%d-%" PRIu64 "-00c0ffee", user,
		       (int)by, pid_ns);
	assert_int_equal(mkdir(path, 0700), 0);
	return path;
}

/* In a directory that containers share a pid says nothing without its name space. */
static void test_sweep_removes_what_the_dead_were_building(void **state)
{
	char base[] = "/dev/shm/mob-test-XXXXXX";
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	uint64_t ns = mobi_proc_self().pid_ns;
	char user[64];
	char mine[128];
	char left[128];
	char elsewhere[128];
	char name[64];
	struct mob_store *s;
	pid_t dead = child_start(lives_shortly, NULL);

	(void)state;
	assert_int_equal(child_result(dead), 0);
	o.dir = mkdtemp(base);
	assert_non_null(o.dir);
	o.arena_bytes = MOB_STORE_MIN_BYTES;
	o.flags = MOB_STORE_PRIVATE;
	(void)snprintf(user, sizeof(user), "%s/mobula-%u", base,
		       (unsigned)geteuid());
	assert_int_equal(mkdir(user, 0700), 0);
	(void)building_dir(mine, sizeof(mine), user, getpid(), ns);
	(void)building_dir(left, sizeof(left), user, dead, ns);
	(void)building_dir(elsewhere, sizeof(elsewhere), user, dead, ns + 1);
	mobi_building_name(name, sizeof(name));
	assert_int_equal(
		strncmp(name, strrchr(mine, '/') + 1,
			(size_t)(strrchr(mine, '-') - strrchr(mine, '/'))),
		0);
	assert_ok(mob_store_create("a", &o, &s));
	assert_int_equal(access(left, F_OK), -1);
	assert_int_equal(access(mine, F_OK), 0);
	assert_int_equal(access(elsewhere, F_OK), 0);
	store_end(s);
	assert_ok(mobi_dir_remove(base));
}

/* An id of the boot that could not be read says nothing. */
static void test_open_unknown_boot_is_no_other_boot(void **state)
{
	char name[64];
	struct mob_store *s;
	struct mob_store *other;
	uint64_t boot[2];

	(void)state;
	s = store_new(name_new(name, sizeof(name), "boot"), 4 * MIB);
	memcpy(boot, s->hdr->boot, sizeof(boot));
	memset(s->hdr->boot, 0, sizeof(boot));
	assert_ok(mob_store_open(name, &other));
	mob_store_close(other);
	memcpy(s->hdr->boot, boot, sizeof(boot));
	store_end(s);
}

static void test_open_directory_that_others_may_change_perm(void **state)
{
	char name[64];
	struct mob_store *s;
	struct mob_store *other = NULL;

	(void)state;
	s = store_new(name_new(name, sizeof(name), "perm"), 4 * MIB);
	assert_int_equal(chmod(s->path, 0770), 0);
	assert_int_equal(mob_store_open(name, &other), MOB_E_PERM);
	assert_non_null(strstr(mob_err_detail(MOB_E_PERM), s->path));
	assert_int_equal(mob_store_remove(name), MOB_E_PERM);
	assert_int_equal(chmod(s->path, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(s->path, 65534, 65534), 0);
		assert_int_equal(mob_store_open(name, &other), MOB_E_PERM);
		assert_int_equal(chown(s->path, 0, 0), 0);
	}
	assert_null(other);
	store_end(s);
}

/* ---- too little of something ---- */

static void limit_address_space(uint64_t bytes)
{
	struct rlimit l = { bytes, bytes };

	if (setrlimit(RLIMIT_AS, &l)) {
		_exit(98);
	}
}

static int removes_with_little_space(void *arg)
{
	limit_address_space(GIB);
	return mob_store_remove(arg) == MOB_E_NOMEM ? 0 : 1;
}

/* With any number of descriptors left, from none on, that are too few. */
static int removes_with_few_descriptors(void *arg)
{
	int first = dup(0);

	for (rlim_t n = 0; n < 8; n++) {
		struct rlimit l = { (rlim_t)first + n, (rlim_t)first + 8 };
		int rc;

		if (setrlimit(RLIMIT_NOFILE, &l)) {
			return 98;
		}
		if (n == 0) {
			(void)close(first);
		}
		rc = mob_store_remove(arg);
		if (rc == MOB_E_BUSY) {
			return n ? 0 : 2;
		}
		if (rc != MOB_E_SYS) {
			return 1;
		}
	}
	return 3;
}

static void test_remove_that_cannot_look_removes_nothing(void **state)
{
	char name[64];
	struct mob_store *s;

	(void)state;
	s = store_new(name_new(name, sizeof(name), "little"), 4 * MIB);
	assert_int_equal(
		child_result(child_start(removes_with_few_descriptors, name)),
		0);
	assert_int_equal(access(s->path, F_OK), 0);
	if (!SANITIZED) { /* which needs all address space */
		assert_int_equal(child_result(child_start(
					 removes_with_little_space, name)),
				 0);
	}
	assert_int_equal(access(s->path, F_OK), 0);
	store_end(s);
}

static int creates_with_space(void *arg)
{
	const uint64_t *bytes = arg;
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;
	int rc;

	o.arena_bytes = MOB_STORE_MIN_BYTES;
	o.flags = MOB_STORE_PRIVATE;
	limit_address_space(*bytes);
	rc = mob_store_create(NULL, &o, &s);
	if (rc == 0) {
		mob_store_close(s);
	}
	return rc == 0 || rc == MOB_E_SYS || rc == MOB_E_NOMEM ? 0 : 1;
}

static void test_create_with_little_address_space_is_an_error(void **state)
{
	(void)state;
	if (SANITIZED) {
		skip();
	}
	for (uint64_t b = GIB; b <= 16 * GIB; b += GIB / 2) {
		assert_int_equal(
			child_result(child_start(creates_with_space, &b)), 0);
	}
}

/* ---- large tables ---- */

#define LARGE 270000u /* more objects than one word of the upper levels has */

/* After a death all is looked at again, and all of it is found again. */
static void test_death_in_a_large_store_catalogue_complete(void **state)
{
	struct mob_store *s = store_new(NULL, 16 * MIB);
	struct mob_ref *r = calloc(LARGE, sizeof(*r));
	struct mob_store *other;
	struct mob_store_stat st;

	(void)state;
	assert_non_null(r);
	for (uint32_t i = 0; i < LARGE; i++) {
		assert_ok(mob_object_put(s, "small", 5, 1, &r[i]));
	}
	assert_ok(mob_store_sync(s));
	/* Who leaves is cleaned up after as a dead one is. */
	assert_ok(mob_store_open(mob_store_name(s), &other));
	mob_store_close(other);
	assert_ok(mob_store_sync(s));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.catalogue_rows, LARGE);
	for (uint32_t i = 0; i < LARGE; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
	free(r);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_in_a_forked_child_touches_nothing),
#ifdef MOB_FAILPOINTS
		cmocka_unit_test(
			test_close_leaves_the_next_owner_of_its_number_alone),
#endif
		cmocka_unit_test(
			test_close_of_one_attachment_leaves_the_catalogue),
		cmocka_unit_test(test_open_after_many_died_works),
		cmocka_unit_test(test_open_when_all_places_are_of_the_dead),
		cmocka_unit_test(
			test_open_by_several_when_all_places_are_of_the_dead),
		cmocka_unit_test(test_remove_what_is_no_session_left_alone),
		cmocka_unit_test(test_remove_half_removed_session),
		cmocka_unit_test(test_sweep_removes_sessions_only),
		cmocka_unit_test(
			test_sweep_removes_what_the_dead_were_building),
		cmocka_unit_test(test_open_unknown_boot_is_no_other_boot),
		cmocka_unit_test(
			test_open_directory_that_others_may_change_perm),
		cmocka_unit_test(test_remove_that_cannot_look_removes_nothing),
		cmocka_unit_test(
			test_create_with_little_address_space_is_an_error),
		cmocka_unit_test(
			test_death_in_a_large_store_catalogue_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
