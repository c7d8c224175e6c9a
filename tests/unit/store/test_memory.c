/* SPDX-License-Identifier: Apache-2.0 */
/* Who keeps which memory: each kind is told, sums agree with the arena. */
#define _GNU_SOURCE

#include "store_fixture.h"

static struct mob_store *s;

static int begin(void **state)
{
	(void)state;
	s = store_new(NULL, 16 * MIB);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	store_end(s);
	return 0;
}

struct seen {
	struct mob_ref want;
	struct mob_memory_info info;
	uint64_t objects;
	uint64_t blocks;
};

static int see(const struct mob_memory_info *i, void *arg)
{
	struct seen *n = arg;

	n->objects++;
	n->blocks += i->block_bytes;
	if (mob_ref_equal(i->ref, n->want)) {
		n->info = *i;
	}
	return 0;
}

/* What is told of one object, and that the sums are those of the arena. */
static struct mob_memory_info told(struct mob_ref r)
{
	struct seen n = { .want = r };
	struct counts c = counts_of(s);

	assert_int_equal(mob_store_memory(s, see, &n), 0);
	assert_int_equal(n.objects, c.objects);
	assert_int_equal(n.blocks, c.used_bytes);
	return n.info;
}

static void kind_is(struct mob_ref r, uint32_t kind)
{
	struct mob_memory_info i = told(r);

	if (i.kind != kind) {
		fail_msg("%s, not %s", mob_memory_kind_name(i.kind),
			 mob_memory_kind_name(kind));
	}
}

static void test_memory_each_kind_is_told(void **state)
{
	struct mob_ref r = put_filled(s, 100000, 1);
	struct mob_ref outer;
	struct mob_cq_entry e;
	struct mob_cq *q;

	(void)state;
	kind_is(r, MOB_MEMORY_REFERENCED);
	assert_int_equal(told(r).processes, 1);
	assert_ok(mob_object_pin(s, r));
	kind_is(r, MOB_MEMORY_PINNED);
	assert_ok(mob_name_put(s, "n", r, 0, NULL));
	kind_is(r, MOB_MEMORY_NAMED);
	assert_int_equal(told(r).names, 1);
	assert_int_equal(told(r).pins, 1);
	assert_ok(mob_name_remove(s, "n"));
	assert_ok(mob_object_unpin(s, r));
	kind_is(r, MOB_MEMORY_REFERENCED);
	assert_ok(mob_object_put_refs(s, &r, 1, &outer));
	kind_is(r, MOB_MEMORY_REFERENCED);
	assert_int_equal(told(r).edges, 1);
	assert_ok(mob_object_release(s, r));
	kind_is(r, MOB_MEMORY_NESTED);
	assert_int_equal(told(r).processes, 0);
	assert_ok(mob_object_hold(s, r));
	assert_ok(mob_object_release(s, outer));
	assert_ok(mob_cq_open(s, &q));
	assert_ok(mob_cq_add(q, r, 1));
	assert_ok(mob_object_release(s, r));
	kind_is(r, MOB_MEMORY_QUEUED);
	assert_int_equal(mob_cq_pop(q, 0, &e), 1);
	kind_is(r, MOB_MEMORY_REFERENCED);
	mob_cq_close(q);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(told(r).size, 0); /* it is not told of any more */
}

static void test_memory_sizes_and_states(void **state)
{
	struct mob_ref small = put_filled(s, 3, 1);
	struct mob_ref large = put_filled(s, 3 * MIB + 1, 2);
	struct mob_ref pending = make_pending(s);

	(void)state;
	assert_int_equal(told(small).size, 3);
	assert_int_equal(told(small).block_bytes, 0);
	assert_int_equal(told(large).size, 3 * MIB + 1);
	assert_true(told(large).block_bytes > 3 * MIB);
	assert_int_equal(told(large).creator, s->me);
	assert_int_equal(told(pending).state, MOB_OBJECT_PENDING);
	assert_int_equal(told(pending).size, 0);
	assert_int_equal(told(pending).struct_size,
			 sizeof(struct mob_memory_info));
	assert_ok(mob_object_abort(s, pending));
	assert_ok(mob_object_release(s, pending));
	assert_ok(mob_object_release(s, small));
	assert_ok(mob_object_release(s, large));
}

static int first(const struct mob_memory_info *i, void *arg)
{
	(void)i;
	(void)arg;
	return 17;
}

static void test_memory_ends_when_it_is_told_to(void **state)
{
	struct mob_ref r = put_filled(s, 3, 1);

	(void)state;
	assert_int_equal(mob_store_memory(s, first, NULL), 17);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_store_memory(s, first, NULL), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory_each_kind_is_told),
		TEST(test_memory_sizes_and_states),
		TEST(test_memory_ends_when_it_is_told_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
