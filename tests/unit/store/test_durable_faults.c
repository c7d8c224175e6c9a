/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores that outlive the machine: damage, power cuts, kills, several processes. A
 * power cut is played by a copy of which any page may be of the last sync or of what
 * was written later.
 */
#define _GNU_SOURCE

#include "durable_fixture.h"

#include <mobula/object.h>

#include "fault.h"
#include "spill.h"

/* ---- damage ---- */

static void flip(const char *path, off_t at)
{
	unsigned char c;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	(void)close(fd);
}

static void test_durable_damage_is_told_and_left_out(void **state)
{
	struct mob_store *s = create();
	struct mob_store *same;
	char path[400];
	struct mob_ref cut = named(s, "cut", LARGE, 1);
	struct mob_ref gone = named(s, "gone", LARGE, 2);
	struct mob_ref inner = put_filled(s, LARGE, 3);
	struct mob_ref bad = named(s, "bad", LARGE, 4);
	struct mob_ref outer;
	struct mob_view v;

	(void)state;
	(void)named(s, "good", LARGE, 5);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	assert_ok(mob_store_sync(s));
	reboot(s);
	path_of_object(path, sizeof(path), cut);
	assert_int_equal(truncate(path, 1000), 0);
	path_of_object(path, sizeof(path), gone);
	assert_int_equal(unlink(path), 0);
	path_of_object(path, sizeof(path), inner);
	assert_int_equal(truncate(path, 0), 0);
	path_of_object(path, sizeof(path), bad);
	flip(path, 100);

	s = restore_what_is_whole();
	assert_non_null(strstr(lines, "name 'cut' is dropped"));
	assert_non_null(strstr(lines, "name 'gone' is dropped"));
	assert_null(strstr(lines, "'outer'"));
	assert_null(strstr(lines, "'good'"));
	assert_named(s, "good", LARGE, 5);
	assert_no_name(s, "cut");
	assert_no_name(s, "gone");
	/* Its ref is what it was, and says that it is lost. */
	assert_ok(mob_object_get(s, outer, 0, &v));
	assert_memory_equal(v.at, &inner, sizeof(inner));
	mob_view_release(s, &v);
	assert_int_equal(mob_object_get(s, inner, 0, &v), MOB_E_LOST);
	/* Only reading it all finds a flipped bit, at the latest its reader. */
	assert_null(strstr(lines, "'bad'"));
	assert_int_equal(mob_object_get(s, bad, 0, &v), MOB_E_CORRUPT);
	assert_ok(mob_store_open(name, &same));
	mob_store_close(same);
	reboot(s);

	assert_ok(try_restore(MOB_STORE_READ_ALL, &s));
	assert_non_null(strstr(lines, "name 'bad' is dropped"));
	assert_named(s, "good", LARGE, 5);
	mob_store_close(s);
}

static void test_durable_unreadable_object_does_not_stop_a_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_ref bad = named(s, "bad", LARGE, 1);
	char path[400];
	char at[64];

	(void)state;
	assert_true(mobi_spill_some(s, LARGE) > 0);
	(void)snprintf(at, sizeof(at), "%u.%u", (uint32_t)bad.lo,
		       MOBI_GEN(bad.lo));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", s->spill_fd,
		       at);
	assert_int_equal(truncate(path, 1000), 0);
	(void)named(s, "good", LARGE, 2);
	assert_int_equal(mob_store_sync(s), MOB_E_CORRUPT);
	assert_non_null(strstr(mob_err_detail(MOB_E_CORRUPT), "all but this"));
	reboot(s);
	s = restore();
	assert_named(s, "good", LARGE, 2);
	assert_no_name(s, "bad");
	mob_store_close(s);
}

static void test_durable_part_of_what_is_lost_is_lost(void **state)
{
	struct mob_store *s = create();
	struct mob_ref whole = put_filled(s, LARGE, 1);
	struct mob_ref part;
	struct mob_view v;
	char path[400];

	(void)state;
	assert_ok(mob_object_range(s, whole, 1000, 50, MOB_TYPE_BYTES, &part));
	assert_ok(mob_name_put(s, "part", part, 0, NULL));
	assert_ok(mob_object_pin(s, part));
	assert_ok(mob_store_sync(s));
	reboot(s);
	path_of_object(path, sizeof(path), whole);
	flip(path, 100);
	s = restore_what_is_whole();
	assert_non_null(strstr(lines, "name 'part' is dropped"));
	assert_no_name(s, "part");
	assert_int_not_equal(mob_object_get(s, part, 0, &v), 0);
	mob_store_close(s);
}

/* What was left out once does not come again in the place of what came after. */
static void test_durable_damage_is_over_after_the_restore(void **state)
{
	struct mob_store *s = create();
	struct mob_ref inner = put_filled(s, LARGE, 1);
	struct mob_ref outer;
	char path[400];
	char as[16];

	(void)state;
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	for (uint32_t i = 0; i < 20; i++) {
		struct mob_ref r;

		(void)snprintf(as, sizeof(as), "bad%u", i);
		r = named(s, as, LARGE, i);
		path_of_object(path, sizeof(path), r);
		assert_ok(mob_store_sync(s));
		assert_int_equal(truncate(path, 10), 0);
	}
	path_of_object(path, sizeof(path), inner);
	assert_int_equal(truncate(path, 10), 0);
	reboot(s);
	s = restore_what_is_whole();
	assert_string_not_equal(lines, "");
	for (uint32_t i = 0; i < 200; i++) {
		(void)snprintf(as, sizeof(as), "good%u", i);
		(void)named(s, as, i % 2 ? 100 : LARGE, i);
	}
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	for (uint32_t i = 0; i < 200; i++) {
		(void)snprintf(as, sizeof(as), "good%u", i);
		assert_named(s, as, i % 2 ? 100 : LARGE, i);
		assert_ok(mob_name_remove(s, as));
	}
	/* The outer one has its ref yet, to what is lost. */
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_LOST);
	assert_ok(mob_name_remove(s, "outer"));
	assert_int_equal(counts_of(s).objects, 0);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	reboot(s);
	s = restore();
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

/* Changes the row of an object in the copy. */
static void change_row(struct mob_ref r, int in_key, size_t at)
{
	struct mobi_durable d;
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	unsigned char k[8];
	unsigned char *v = NULL;
	size_t n = 0;
	int fd = mobi_dir_open(copy);

	assert_true(fd >= 0);
	assert_ok(mobi_durable_begin(&d, fd, NULL));
	assert_int_equal(mdb_cursor_open(d.txn, d.object, &cur), 0);
	while (!mdb_cursor_get(cur, &key, &val, MDB_NEXT)) {
		struct mobi_durable_row *row;
		uint64_t id = 0;

		/* It may be one that is damaged already. */
		(void)mobi_durable_row_of(&key, &val, &id, &row);
		free(row);
		if (id == r.lo) {
			memcpy(k, key.mv_data, sizeof(k));
			n = val.mv_size;
			v = malloc(n);
			assert_non_null(v);
			memcpy(v, val.mv_data, n);
		}
	}
	mdb_cursor_close(cur);
	assert_non_null(v);
	key = (MDB_val){ sizeof(k), k };
	val = (MDB_val){ n, v };
	assert_int_equal(mdb_del(d.txn, d.object, &key, NULL), 0);
	if (in_key) {
		k[at] ^= 1;
	} else {
		v[at] ^= 1;
	}
	assert_int_equal(mdb_put(d.txn, d.object, &key, &val, 0), 0);
	assert_ok(mobi_durable_commit(&d));
	mobi_durable_end(&d);
	mobi_fd_close(fd);
	free(v);
}

static void test_durable_damaged_key_is_no_other_object(void **state)
{
	struct mob_store *s = create();
	struct mob_ref r = named(s, "x", 100, 1);

	(void)state;
	(void)named(s, "y", 100, 2);
	assert_ok(mob_store_sync(s));
	reboot(s);
	change_row(r, 1, 4); /* the high byte of its generation */
	s = restore_what_is_whole();
	assert_non_null(strstr(lines, "row is damaged"));
	assert_named(s, "y", 100, 2);
	assert_true(s->gen_base < 1u << 24);
	mob_store_close(s);
}

static void test_durable_damaged_row_does_not_stop_a_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_ref bad = named(s, "bad", 100, 1);
	struct mob_ref gone = named(s, "gone", 100, 2);

	(void)state;
	assert_ok(mob_store_sync(s));
	change_row(bad, 0, 60);
	change_row(gone, 0, 60);
	assert_ok(mob_object_hold(s, bad));
	assert_ok(mob_name_put(s, "again", bad, 0, NULL));
	assert_ok(mob_object_release(s, bad));
	assert_ok(mob_name_remove(s, "gone"));
	(void)named(s, "good", 100, 3);
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_named(s, "bad", 100, 1);
	assert_named(s, "again", 100, 1);
	assert_named(s, "good", 100, 3);
	assert_no_name(s, "gone");
	mob_store_close(s);
}

/* A name that went to what cannot be written is where it was. */
static void
test_durable_name_stays_until_the_new_object_is_written(void **state)
{
	struct mob_store *s = create();
	struct mob_ref r;
	char path[400];

	(void)state;
	(void)named(s, "x", LARGE, 1);
	assert_ok(mob_store_sync(s));
	r = named(s, "x", LARGE, 2);
	assert_true(mobi_spill_some(s, 1) > 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%u.%u",
		       s->spill_fd, (uint32_t)r.lo, MOBI_GEN(r.lo));
	assert_int_equal(truncate(path, 1000), 0);
	(void)named(s, "y", 100, 3);
	assert_int_equal(mob_store_sync(s), MOB_E_CORRUPT);
	reboot(s);
	s = restore();
	assert_named(s, "x", LARGE, 1);
	assert_named(s, "y", 100, 3);
	/* And its row is not kept for ever. */
	assert_ok(mob_name_remove(s, "x"));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	mob_store_close(s);
}

/* ---- power cuts ---- */

#ifdef MOB_FAILPOINTS
struct bytes {
	unsigned char *at;
	size_t n;
};

static struct bytes read_file(const char *path)
{
	struct bytes b = { NULL, 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return b;
	}
	assert_int_equal(fstat(fd, &st), 0);
	b.n = (size_t)st.st_size;
	b.at = malloc(b.n + 1);
	assert_non_null(b.at);
	assert_int_equal(pread(fd, b.at, b.n, 0), (ssize_t)b.n);
	(void)close(fd);
	return b;
}

#define PAGE 4096u
#define METAS 2u /* pages of LMDB that its commit writes last */

/* Each page of the file as it was before or after; those beyond the end of what
 * was synced may also be missing. */
static void mix(const char *path, struct bytes was, struct bytes is,
		uint64_t *seed)
{
	size_t pages = (is.n > was.n ? is.n : was.n) / PAGE;
	unsigned char *to = calloc(pages, PAGE);
	size_t n = was.n;

	assert_non_null(to);
	for (size_t i = 0; i < pages; i++) {
		bool new = i >= METAS &&next_random(seed) % 2;
		struct bytes from = new ? is : was;

		if ((i + 1) * PAGE <= from.n) {
			memcpy(to + i * PAGE, from.at + i * PAGE, PAGE);
			n = (i + 1) * PAGE > n ? (i + 1) * PAGE : n;
		}
	}
	write_file(path, to, n);
	free(to);
}

static void change_much(struct mob_store *s, uint64_t *seed)
{
	for (int i = 0; i < 200; i++) {
		uint64_t n = next_random(seed);
		char as[16];

		(void)snprintf(as, sizeof(as), "c%u", (unsigned)(n % 100));
		if (n >> 8 & 1) {
			(void)named(s, as, n % 7 ? n >> 16 & 1023 : 5000, n);
		} else {
			int rc = mob_name_remove(s, as);

			assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
		}
	}
}

/* In a child: the state of the store is synced, and this dies at `fault`. */
static int sync_and_die(void *arg)
{
	struct mob_store *s = child_open(name);

	mobi_fault_arm(arg);
	return mob_store_sync(s) < 0 ? 1 : 0;
}

static void test_durable_power_cut_keeps_the_last_sync(void **state)
{
	static char fault[] = "durable.commit=kill";
	uint64_t seed = 88172645463325252u;
	struct mob_store *s = create();
	char path[300];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/state.mdb", copy);
	change_much(s, &seed);
	assert_ok(mob_store_sync(s));
	for (int turn = 0; turn < 20; turn++) {
		struct bytes was;
		struct bytes is;
		char as[20];

		(void)snprintf(as, sizeof(as), "synced%d", turn);
		(void)named(s, as, turn % 2 ? 100 : LARGE, (uint64_t)turn);
		change_much(s, &seed);
		assert_ok(mob_store_sync(s));
		was = read_file(path);
		/* Another sync: its pages are on disk or not, and those that
		 * would say so are not. */
		assert_ok(mob_name_remove(s, as));
		change_much(s, &seed);
		assert_int_equal(child_result(child_start(sync_and_die, fault)),
				 -SIGKILL);
		is = read_file(path);
		assert_true(is.n > 0 && was.n > 0);
		reboot(s);
		mix(path, was, is, &seed);
		free(was.at);
		free(is.at);
		s = restore();
		for (int i = 0; i <= turn; i++) {
			(void)snprintf(as, sizeof(as), "synced%d", i);
			assert_named(s, as, i % 2 ? 100 : LARGE, (uint64_t)i);
		}
	}
	mob_store_close(s);
}

enum { SET = 10 };

/* All names of a set get objects of one number, and are synced. */
static int set_all(struct mob_store *s, uint64_t n)
{
	for (int i = 0; i < SET; i++) {
		char as[16];
		uint64_t size = i % 3 ? 10 + (uint64_t)i : 3000;
		char at[3000];
		struct mob_ref r;

		(void)snprintf(as, sizeof(as), "set%d", i);
		fill(at, size, n);
		if (mob_object_put(s, at, size, MOB_TYPE_BYTES, &r) < 0 ||
		    mob_name_put(s, as, r, MOB_NAME_REPLACE, NULL) < 0 ||
		    mob_object_release(s, r) < 0) {
			return 1;
		}
	}
	return mob_store_sync(s) < 0 ? 1 : 0;
}

struct job {
	const char *fault;
	uint64_t n;
};

static int set_and_die(void *arg)
{
	const struct job *j = arg;
	struct mob_store *s = child_open(name);

	mobi_fault_arm(j->fault);
	return set_all(s, j->n);
}

/* Which number the set has: one, or the other, never a mixture. */
static uint64_t number_of_set(struct mob_store *s, uint64_t a, uint64_t b)
{
	uint64_t found = 0;

	for (int i = 0; i < SET; i++) {
		char as[16];
		struct mob_ref r;
		struct mob_view v;
		uint64_t n;

		(void)snprintf(as, sizeof(as), "set%d", i);
		assert_ok(mob_name_get(s, as, &r, NULL));
		assert_ok(mob_object_get(s, r, 0, &v));
		n = filled(v.at, v.size, a) ? a : b;
		assert_true(filled(v.at, v.size, n));
		assert_true(!found || found == n);
		found = n;
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
	}
	return found;
}

static void test_durable_killed_at_every_failpoint(void **state)
{
	static const char *const point[] = { "durable.file", "durable.files",
					     "durable.commit", "name.commit",
					     "catalogue.commit" };
	struct mob_store *s = create();
	uint64_t now = 1;

	(void)state;
	assert_int_equal(set_all(s, now), 0);
	for (size_t p = 0; p < sizeof(point) / sizeof(point[0]); p++) {
		for (uint64_t nth = 1; nth <= 20; nth += nth < 4 ? 1 : 8) {
			char fault[64];
			struct job j = { fault, now + 1 };
			int rc;

			(void)snprintf(fault, sizeof(fault), "%s=kill@%d",
				       point[p], (int)nth);
			rc = child_result(child_start(set_and_die, &j));
			assert_true(rc == 0 || rc == -SIGKILL);
			reboot(s);
			s = restore();
			now = number_of_set(s, now, now + 1);
			/* And what was cut short does not stand in the way. */
			now += 2;
			assert_int_equal(set_all(s, now), 0);
			assert_int_equal(files(), 4);
		}
	}
	mob_store_close(s);
}
#endif

#ifdef MOB_FAILPOINTS
/* In a child. */
static int unload_and_die(void *arg)
{
	mobi_fault_arm(arg);
	return mob_store_unload(name) < 0 ? 1 : 0;
}

static void test_durable_killed_in_unload_nothing_is_lost(void **state)
{
	static char files_written[] = "durable.files=kill";
	static char committed[] = "durable.commit=kill";
	char *const faults[] = { files_written, committed };
	struct mob_store *s = create();

	(void)state;
	for (int i = 0; i < 2; i++) {
		(void)named(s, i ? "b" : "a", LARGE, (uint64_t)i);
		mob_store_close(s);
		assert_int_equal(
			child_result(child_start(unload_and_die, faults[i])),
			-SIGKILL);
		s = restore();
		assert_named(s, i ? "b" : "a", LARGE, (uint64_t)i);
	}
	mob_store_close(s);
	assert_ok(mob_store_unload(name));
	s = restore();
	assert_named(s, "a", LARGE, 0);
	assert_named(s, "b", LARGE, 1);
	mob_store_close(s);
}
#endif

#ifdef MOB_FAILPOINTS
/* In a child: stops when the copy is there and the session is not. */
static int create_and_stop(void *arg)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *s = NULL;
	int rc;

	(void)arg;
	o.arena_bytes = ARENA;
	mobi_fault_arm("session.publish=stop");
	rc = mob_store_create(name, &o, &s);
	return rc == MOB_E_EXISTS ? 7 : rc < 0 ? 1 : 0;
}

static void test_durable_create_that_comes_late_leaves_the_copy(void **state)
{
	pid_t pid = child_start(create_and_stop, NULL);
	struct mob_store *s;
	int status;

	(void)state;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	s = restore();
	(void)named(s, "x", LARGE, 1);
	assert_ok(mob_store_sync(s));
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(child_result(pid), 7);
	(void)named(s, "y", 100, 2);
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_named(s, "x", LARGE, 1);
	assert_named(s, "y", 100, 2);
	mob_store_close(s);
}
#endif

/* ---- several processes ---- */

/* One of two names has an object at any time, a new one each time. */
static int swing(void *arg)
{
	struct mob_store *s = child_open(name);
	const char *const as[2] = { "tick", "tock" };
	mobi_a64 *swings = arg;
	struct mob_ref r;
	char at[5000];

	fill(at, sizeof(at), 1);
	for (uint32_t i = 1;; i++) {
		int rc = mob_object_put(s, at, sizeof(at), MOB_TYPE_BYTES, &r);

		rc = rc < 0 ? rc :
			      mob_name_put(s, as[i % 2], r, MOB_NAME_REPLACE,
					   NULL);
		rc = rc < 0 ? rc : mob_object_release(s, r);
		rc = rc < 0 ? rc : mob_name_remove(s, as[(i + 1) % 2]);
		if (rc < 0) {
			return 2;
		}
		(void)mobi_fetch_add(swings, UINT64_C(1));
	}
}

static int sync_again_and_again(void *arg)
{
	struct mob_store *s = child_open(name);
	mobi_a64 *syncs = arg;

	for (;;) {
		if (mob_store_sync(s) < 0) {
			return 1;
		}
		(void)mobi_fetch_add(syncs, UINT64_C(1));
	}
}

static bool has_name(struct mob_store *s, const char *as)
{
	struct mob_ref r;

	if (mob_name_get(s, as, &r, NULL) < 0) {
		return false;
	}
	assert_object(s, r, 5000, 1);
	assert_ok(mob_object_release(s, r));
	return true;
}

static void test_durable_sync_is_of_one_moment(void **state)
{
	struct mob_store *s = create();
	mobi_a64 *count = shared_memory(2 * sizeof(*count));
	mobi_a64 *syncs = count + 1;

	(void)state;
	for (int turn = 0; turn < 12; turn++) {
		bool ticks;
		bool tocks;
		pid_t p[3];

		(void)named(s, "tick", 5000, 1);
		assert_ok(mob_store_sync(s));
		mobi_store(&count[0], UINT64_C(0));
		mobi_store(syncs, UINT64_C(0));
		p[0] = child_start(swing, &count[0]);
		p[1] = child_start(sync_again_and_again, syncs);
		p[2] = child_start(sync_again_and_again, syncs);
		while (mobi_load(&count[0]) < 100 || mobi_load(syncs) < 10) {
			(void)sched_yield();
		}
		for (int i = 0; i < 3; i++) {
			child_kill(p[i]);
		}
		reap_until(s, MOBI_BIT(s->me));
		if (turn % 2) {
			/* What the last sync has to say is all there is. */
			assert_ok(mob_store_sync(s));
		}
		ticks = has_name(s, "tick");
		tocks = has_name(s, "tock");
		reboot(s);
		s = restore();
		assert_true(has_name(s, "tick") || has_name(s, "tock"));
		if (turn % 2) {
			assert_int_equal(has_name(s, "tick"), ticks);
			assert_int_equal(has_name(s, "tock"), tocks);
		}
	}
	mob_store_close(s);
}

/* All processes die, the machine does not: the session is there. */
static int name_and_die(void *arg)
{
	struct mob_store *s = child_open(name);

	(void)arg;
	(void)named(s, "unsynced", 100, 7);
	(void)raise(SIGKILL);
	return 0;
}

static void test_durable_session_that_lives_is_attached_to(void **state)
{
	struct mob_store *s = create();
	pid_t pid;

	(void)state;
	mob_store_close(s);
	pid = child_start(name_and_die, NULL);
	assert_int_equal(child_result(pid), -SIGKILL);
	s = restore();
	assert_named(s, "unsynced", 100, 7);
	mob_store_close(s);
}

static void test_durable_session_restored_elsewhere_cannot_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_store *other;
	struct mob_ref held;
	char dir[80];

	(void)state;
	(void)named(s, "x", LARGE, 1);
	assert_ok(mob_store_sync(s));
	held = put_filled(s, LARGE, 2);
	assert_int_equal(mobi_spill_some(s, 2 * LARGE), 2);
	(void)snprintf(dir, sizeof(dir), "%s/elsewhere", base);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(setenv("MOBULA_SESSION_DIR", dir, 1), 0);
	other = restore();
	assert_named(other, "x", LARGE, 1);
	(void)named(s, "y", 10, 1);
	assert_int_equal(mob_store_sync(s), MOB_E_STATE);
	/* It loses nothing else, also not what it has spilled. */
	assert_object(s, held, LARGE, 2);
	(void)named(other, "z", 10, 1);
	assert_ok(mob_store_sync(other));
	mob_store_close(other);
	assert_ok(mob_store_unload(name));
	assert_int_equal(unsetenv("MOBULA_SESSION_DIR"), 0);
	reboot(s);
	s = restore();
	assert_no_name(s, "y");
	assert_named(s, "z", 10, 1);
	mob_store_close(s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_durable_damage_is_told_and_left_out),
		TEST(test_durable_unreadable_object_does_not_stop_a_sync),
		TEST(test_durable_part_of_what_is_lost_is_lost),
		TEST(test_durable_damage_is_over_after_the_restore),
		TEST(test_durable_damaged_key_is_no_other_object),
		TEST(test_durable_damaged_row_does_not_stop_a_sync),
		TEST(test_durable_name_stays_until_the_new_object_is_written),
		TEST(test_durable_sync_is_of_one_moment),
		TEST(test_durable_session_that_lives_is_attached_to),
		TEST(test_durable_session_restored_elsewhere_cannot_sync),
#ifdef MOB_FAILPOINTS
		TEST(test_durable_power_cut_keeps_the_last_sync),
		TEST(test_durable_killed_at_every_failpoint),
		TEST(test_durable_killed_in_unload_nothing_is_lost),
		TEST(test_durable_create_that_comes_late_leaves_the_copy),
#endif
	};

	return cmocka_run_group_tests_name("store.durable_faults", tests, NULL,
					   NULL);
}
