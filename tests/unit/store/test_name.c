/* SPDX-License-Identifier: Apache-2.0 */
/* Names and pins: what they keep, and what is refused. */
#define _GNU_SOURCE
#include "name.h"
#include "name_rows.h"
#include "store_fixture.h"

static struct mob_store *fresh(char *name, size_t size)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;

	opts.arena_bytes = 8 * MIB;
	assert_ok(mob_store_create(name_new(name, size, "name"), &opts, &s));
	return s;
}

/* Nothing lives; the store is closed and removed. */
static void done(struct mob_store *s, const char *name)
{
	store_end(s);
	assert_ok(mob_store_remove(name));
}

static uint64_t objects(struct mob_store *s)
{
	return counts_of(s).objects;
}

static void test_name_keeps_an_object_until_it_is_removed(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 1000, 3);
	struct mob_ref got;
	struct mob_view v;
	uint64_t version = 0;
	uint64_t again = 0;

	(void)state;
	assert_int_equal(mob_name_get(s, "a", &got, NULL), MOB_E_NOT_FOUND);
	assert_ok(mob_name_put(s, "a", r, 0, &version));
	assert_true(version > 0);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(objects(s), 1);
	assert_ok(mob_name_get(s, "a", &got, &again));
	assert_true(mob_ref_equal(got, r));
	assert_int_equal(again, version);
	assert_ok(mob_object_get(s, got, 0, &v));
	assert_true(filled(v.at, 1000, 3));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, got));
	assert_int_equal(objects(s), 1);
	assert_ok(mob_name_remove(s, "a"));
	assert_int_equal(objects(s), 0);
	assert_int_equal(mob_name_remove(s, "a"), MOB_E_NOT_FOUND);
	assert_int_equal(mob_name_get(s, "a", &got, NULL), MOB_E_NOT_FOUND);
	done(s, name);
}

static void test_name_survives_all_processes(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 100000, 5);
	struct mob_ref p = put_filled(s, 10, 6);
	struct mob_view v;

	(void)state;
	assert_ok(mob_name_put(s, "kept", r, 0, NULL));
	assert_ok(mob_object_pin(s, p));
	mob_store_close(s); /* without a release */
	assert_ok(mob_store_open(name, &s));
	assert_int_equal(objects(s), 2);
	assert_ok(mob_name_get(s, "kept", &r, NULL));
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(filled(v.at, 100000, 5));
	mob_view_release(s, &v);
	assert_ok(mob_object_get(s, p, 0, &v));
	assert_true(filled(v.at, 10, 6));
	mob_view_release(s, &v);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(mob_object_free(s, r), 0);
	assert_ok(mob_object_unpin(s, p));
	done(s, name);
}

static void test_name_that_is_taken_is_refused_or_replaced(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref a = put_filled(s, 100, 1);
	struct mob_ref b = put_filled(s, 100, 2);
	struct mob_ref got;
	uint64_t v1 = 0;
	uint64_t v2 = 0;

	(void)state;
	assert_ok(mob_name_put(s, "x", a, 0, &v1));
	assert_int_equal(mob_name_put(s, "x", b, 0, NULL), MOB_E_EXISTS);
	assert_non_null(strstr(mob_err_detail(MOB_E_EXISTS), "'x'"));
	assert_non_null(strstr(mob_err_detail(MOB_E_EXISTS), "MOB_NAME_"
							     "REPLACE"));
	/* The same again is no change. */
	assert_ok(mob_name_put(s, "x", a, 0, &v2));
	assert_int_equal(v1, v2);
	assert_ok(mob_object_release(s, a));
	assert_int_equal(objects(s), 2);
	assert_ok(mob_name_put(s, "x", b, MOB_NAME_REPLACE, &v2));
	assert_true(v2 > v1);
	assert_int_equal(objects(s), 1); /* a went with its last name */
	assert_ok(mob_name_get(s, "x", &got, NULL));
	assert_true(mob_ref_equal(got, b));
	assert_ok(mob_object_release(s, got));
	assert_ok(mob_object_release(s, b));
	assert_ok(mob_name_remove(s, "x"));
	done(s, name);
}

static void test_name_every_one_and_every_pin_counts(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 100, 1);
	uint32_t names = 9;
	uint32_t pins = 9;

	(void)state;
	assert_ok(mob_object_kept(s, r, &names, &pins));
	assert_int_equal(names + pins, 0);
	assert_ok(mob_name_put(s, "a", r, 0, NULL));
	assert_ok(mob_name_put(s, "b", r, 0, NULL));
	assert_ok(mob_object_pin(s, r));
	assert_ok(mob_object_pin(s, r));
	assert_ok(mob_object_kept(s, r, &names, &pins));
	assert_int_equal(names, 2);
	assert_int_equal(pins, 2);
	assert_ok(mob_object_release(s, r));
	assert_ok(mob_name_remove(s, "a"));
	assert_ok(mob_object_unpin(s, r));
	assert_ok(mob_name_remove(s, "b"));
	assert_int_equal(objects(s), 1);
	assert_ok(mob_object_unpin(s, r));
	assert_int_equal(objects(s), 0);
	assert_int_equal(mob_object_unpin(s, r), MOB_E_BAD_REF);
	r = put_filled(s, 100, 1);
	assert_int_equal(mob_object_unpin(s, r), MOB_E_STATE);
	assert_ok(mob_object_release(s, r));
	done(s, name);
}

static void test_name_bad_ones_are_refused(void **state)
{
	static const char *const bad[] = { "", "a\nb", "\x7f", "tab\t" };
	char name[64];
	char longest[MOB_NAME_MAX + 2];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 10, 1);
	struct mob_ref got;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mob_name_put(s, bad[i], r, 0, NULL),
				 MOB_E_INVAL);
		assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "255"));
		assert_int_equal(mob_name_get(s, bad[i], &got, NULL),
				 MOB_E_INVAL);
		assert_int_equal(mob_name_remove(s, bad[i]), MOB_E_INVAL);
	}
	memset(longest, 'n', sizeof(longest));
	longest[MOB_NAME_MAX + 1] = '\0';
	assert_int_equal(mob_name_put(s, longest, r, 0, NULL), MOB_E_INVAL);
	longest[MOB_NAME_MAX] = '\0';
	assert_ok(mob_name_put(s, longest, r, 0, NULL));
	assert_int_equal(mob_name_put(s, "x", r, 4, NULL), MOB_E_INVAL);
	assert_ok(mob_name_get(s, longest, &got, NULL));
	assert_ok(mob_object_release(s, got));
	assert_ok(mob_name_remove(s, longest));
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_name_put(s, "gone", r, 0, NULL), MOB_E_BAD_REF);
	assert_int_equal(mob_object_pin(s, r), MOB_E_BAD_REF);
	assert_int_equal(mob_object_free(s, r), MOB_E_BAD_REF);
	done(s, name);
}

/* Puts a row of one byte into a table, or takes it away. */
static void damage(struct mob_store *s, MDB_dbi table, const void *key,
		   size_t n, bool there)
{
	MDB_val k = mobi_val(key, n);
	MDB_val v = mobi_val("x", 1);
	MDB_txn *txn;

	assert_ok(mobi_cat_begin_write(s->cat, &txn));
	assert_int_equal(there ? mdb_put(txn, table, &k, &v, 0) :
				 mdb_del(txn, table, &k, NULL),
			 0);
	assert_int_equal(mobi_cat_end_write(s->cat, txn, true), 0);
	mobi_cat_leave(s->cat, 0);
}

/* Also in the sanitizers' builds: nothing of LMDB is left open. */
static void test_name_damaged_rows_are_told(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	const struct mobi_cat_env *e = s->cat->env;
	struct mob_ref r = put_filled(s, 10, 1);
	struct mob_ref got;
	uint32_t slot = 5;

	(void)state;
	assert_ok(mob_name_put(s, "a", r, 0, NULL));
	damage(s, e->keep, &slot, sizeof(slot), true);
	assert_int_equal(mob_store_check(s, NULL, NULL), MOB_E_CORRUPT);
	damage(s, e->keep, &slot, sizeof(slot), false);
	damage(s, e->name, "b", 1, true);
	assert_int_equal(mob_store_check(s, NULL, NULL), MOB_E_CORRUPT);
	assert_int_equal(mob_name_get(s, "b", &got, NULL), MOB_E_CORRUPT);
	assert_int_equal(mob_name_put(s, "b", r, MOB_NAME_REPLACE, NULL),
			 MOB_E_CORRUPT);
	damage(s, e->name, "b", 1, false);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_ok(mob_name_remove(s, "a"));
	assert_ok(mob_object_release(s, r));
	done(s, name);
}

struct seen {
	struct mob_store *s;
	char last[MOB_NAME_MAX + 1];
	uint32_t n;
	uint32_t stop_at;
	bool ordered;
};

static int see(const struct mob_name_info *info, void *arg)
{
	struct seen *seen = arg;
	struct mob_ref r;

	seen->ordered &= strcmp(info->name, seen->last) > 0;
	(void)snprintf(seen->last, sizeof(seen->last), "%s", info->name);
	/* Any function may be called from here. */
	if (mob_name_get(seen->s, info->name, &r, NULL) < 0 ||
	    !mob_ref_equal(r, info->ref) || mob_object_release(seen->s, r)) {
		return -1;
	}
	return ++seen->n == seen->stop_at;
}

static void test_name_list_is_ordered_and_takes_a_prefix(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 10, 1);
	struct seen all = { .s = s, .ordered = true };
	struct seen some = { .s = s, .ordered = true };
	struct seen two = { .s = s, .ordered = true, .stop_at = 2 };
	char text[32];

	(void)state;
	assert_ok(mob_name_list(s, NULL, see, &all));
	assert_int_equal(all.n, 0);
	for (int i = 0; i < 700; i++) {
		(void)snprintf(text, sizeof(text), "%c/%03d", i % 2 ? 'q' : 'p',
			       i);
		assert_ok(mob_name_put(s, text, r, 0, NULL));
	}
	assert_int_equal(mob_name_list(s, "", see, &all), 0);
	assert_int_equal(all.n, 700);
	assert_true(all.ordered);
	assert_int_equal(mob_name_list(s, "q/", see, &some), 0);
	assert_int_equal(some.n, 350);
	assert_true(some.ordered);
	assert_string_equal(some.last, "q/699");
	assert_int_equal(mob_name_list(s, "p", see, &two), 1);
	assert_int_equal(two.n, 2);
	assert_int_equal(mob_name_list(s, "zz", see, &two), 0);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(mob_object_free(s, r), 0); /* all 700 names */
	assert_int_equal(mob_name_list(s, NULL, see, &two), 0);
	assert_int_equal(two.n, 2);
	done(s, name);
}

struct viewer {
	const char *name;
	struct cell ref;
	int go[2];
	int up[2];
};

static int view_it(void *arg)
{
	struct viewer *w = arg;
	struct mob_store *s = child_open(w->name);
	struct mob_view v;
	char byte = 1;

	if (mob_object_get(s, cell_ref(&w->ref), MOB_FOREVER, &v) ||
	    write(w->up[1], &byte, 1) != 1 || !pipe_wait(w->go[0], &byte, 1) ||
	    !filled(v.at, 100, 1)) {
		return 1;
	}
	mob_view_release(s, &v);
	mob_store_close(s);
	return 0;
}

static void test_name_free_says_who_is_in_the_way(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 100, 1);
	struct viewer *w = shared_memory(sizeof(*w));
	char byte = 1;
	pid_t pid;

	(void)state;
	assert_ok(mob_name_put(s, "a", r, 0, NULL));
	assert_ok(mob_object_pin(s, r));
	w->name = name;
	cell_set(&w->ref, r);
	assert_int_equal(pipe(w->go) + pipe(w->up), 0);
	pid = child_start(view_it, w);
	assert_true(pipe_wait(w->up[0], &byte, 1));
	assert_int_equal(mob_object_free(s, r), 1); /* deferred: the viewer */
	assert_int_equal(objects(s), 1);
	assert_int_equal(write(w->go[1], &byte, 1), 1);
	assert_int_equal(child_result(pid), 0);
	assert_int_equal(objects(s), 0);
	r = put_filled(s, 100, 1);
	assert_int_equal(mob_object_free(s, r), 0);
	done(s, name);
}

/* A hold that another thread has is not the caller's to give up. */
static void test_name_free_without_a_hold_changes_nothing(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 100, 1);

	(void)state;
	assert_ok(mob_object_pin(s, r));
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_free(s, r), MOB_E_BAD_REF);
	assert_non_null(strstr(mob_err_detail(MOB_E_BAD_REF), "hold"));
	assert_int_equal(objects(s), 1);
	assert_ok(mob_object_hold(s, r));
	assert_int_equal(mob_object_free(s, r), 0);
	done(s, name);
}

/* ---- a name that changes hands ---- */

#define TURNS (SANITIZED ? 300 : 3000)

static int replace_on(void *arg)
{
	struct mob_store *s = child_open(arg);

	for (int i = 0; i < TURNS; i++) {
		struct mob_ref r;
		uint64_t x[16];

		for (int k = 0; k < 16; k++) {
			x[k] = (uint64_t)i;
		}
		if (mob_object_put(s, x, sizeof(x), MOB_TYPE_BYTES, &r) ||
		    mob_name_put(s, "hot", r, MOB_NAME_REPLACE, NULL) ||
		    mob_object_release(s, r)) {
			return 1;
		}
	}
	mob_store_close(s);
	return 0;
}

static void test_name_that_changes_hands_is_never_missing(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 128, 0);
	uint64_t last = 0;
	pid_t pid;

	(void)state;
	assert_ok(mob_name_put(s, "hot", r, 0, NULL));
	assert_ok(mob_object_release(s, r));
	pid = child_start(replace_on, name);
	for (int i = 0; i < TURNS; i++) {
		struct mob_view v;
		uint64_t version;

		assert_ok(mob_name_get(s, "hot", &r, &version));
		assert_true(version >= last);
		last = version;
		assert_ok(mob_object_get(s, r, 0, &v));
		assert_int_equal(v.size, 128);
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
	}
	assert_int_equal(child_result(pid), 0);
	assert_int_equal(objects(s), 1);
	assert_ok(mob_name_remove(s, "hot"));
	done(s, name);
}

struct pinner {
	const char *name;
	struct cell ref;
};

/* As long as one has a pin, the object is kept, whatever others do. */
static int pin_on(void *arg)
{
	struct pinner *p = arg;
	struct mob_store *s = child_open(p->name);
	struct mob_ref r = cell_ref(&p->ref);

	for (int i = 0; i < 4 * TURNS; i++) {
		if (mob_object_pin(s, r) ||
		    !(mobi_load(&slot_at(s, r)->hold) & MOBI_KEPT) ||
		    mob_object_unpin(s, r)) {
			return 1;
		}
	}
	mob_store_close(s);
	return 0;
}

static void test_name_pins_of_processes_do_not_undo_each_other(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r = put_filled(s, 100, 1);
	struct pinner *p = shared_memory(sizeof(*p));
	pid_t pid[2];

	(void)state;
	p->name = name;
	cell_set(&p->ref, r);
	pid[0] = child_start(pin_on, p);
	pid[1] = child_start(pin_on, p);
	assert_int_equal(child_result(pid[0]), 0);
	assert_int_equal(child_result(pid[1]), 0);
	assert_ok(mob_object_release(s, r));
	done(s, name);
}

/* ---- many at once, against a table of the test's own ---- */

enum { NAMES = 40, OBJECTS = 30 };

static void test_name_random_operations_equal_a_plain_table(void **state)
{
	char name[64];
	struct mob_store *s = fresh(name, sizeof(name));
	struct mob_ref r[OBJECTS];
	int owner[NAMES]; /* object + 1 */
	uint32_t pins[OBJECTS] = { 0 };
	uint64_t seed = 0x2545f4914f6cdd1du;

	(void)state;
	memset(owner, 0, sizeof(owner));
	for (int i = 0; i < OBJECTS; i++) {
		r[i] = put_filled(s, 64 + (uint64_t)i, (uint64_t)i);
	}
	for (int turn = 0; turn < (SANITIZED ? 2000 : 20000); turn++) {
		uint32_t k = (uint32_t)(next_random(&seed) % NAMES);
		uint32_t o = (uint32_t)(next_random(&seed) % OBJECTS);
		struct mob_ref got;
		char text[16];
		int rc;

		(void)snprintf(text, sizeof(text), "n%u", k);
		switch (next_random(&seed) % 6) {
		case 0:
			rc = mob_name_put(s, text, r[o], 0, NULL);
			assert_int_equal(rc,
					 owner[k] && owner[k] != (int)o + 1 ?
						 MOB_E_EXISTS :
						 0);
			owner[k] = owner[k] ? owner[k] : (int)o + 1;
			break;
		case 1:
			assert_ok(mob_name_put(s, text, r[o], MOB_NAME_REPLACE,
					       NULL));
			owner[k] = (int)o + 1;
			break;
		case 2:
			rc = mob_name_remove(s, text);
			assert_int_equal(rc, owner[k] ? 0 : MOB_E_NOT_FOUND);
			owner[k] = 0;
			break;
		case 3:
			assert_ok(mob_object_pin(s, r[o]));
			pins[o]++;
			break;
		case 4:
			rc = mob_object_unpin(s, r[o]);
			assert_int_equal(rc, pins[o] ? 0 : MOB_E_STATE);
			pins[o] -= pins[o] ? 1 : 0;
			break;
		default:
			rc = mob_name_get(s, text, &got, NULL);
			assert_int_equal(rc, owner[k] ? 0 : MOB_E_NOT_FOUND);
			if (!rc) {
				assert_true(
					mob_ref_equal(got, r[owner[k] - 1]));
				assert_ok(mob_object_release(s, got));
			}
			break;
		}
	}
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	for (uint32_t o = 0; o < OBJECTS; o++) {
		uint32_t names = 0;
		uint32_t have_names;
		uint32_t have_pins;

		for (int k = 0; k < NAMES; k++) {
			names += owner[k] == (int)o + 1;
		}
		assert_ok(mob_object_kept(s, r[o], &have_names, &have_pins));
		assert_int_equal(have_names, names);
		assert_int_equal(have_pins, pins[o]);
		assert_int_equal(mob_object_free(s, r[o]), 0);
	}
	done(s, name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_keeps_an_object_until_it_is_removed),
		cmocka_unit_test(test_name_survives_all_processes),
		cmocka_unit_test(
			test_name_that_is_taken_is_refused_or_replaced),
		cmocka_unit_test(test_name_every_one_and_every_pin_counts),
		cmocka_unit_test(test_name_bad_ones_are_refused),
		cmocka_unit_test(test_name_damaged_rows_are_told),
		cmocka_unit_test(test_name_list_is_ordered_and_takes_a_prefix),
		cmocka_unit_test(test_name_free_says_who_is_in_the_way),
		cmocka_unit_test(test_name_free_without_a_hold_changes_nothing),
		cmocka_unit_test(test_name_that_changes_hands_is_never_missing),
		cmocka_unit_test(
			test_name_pins_of_processes_do_not_undo_each_other),
		cmocka_unit_test(
			test_name_random_operations_equal_a_plain_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
