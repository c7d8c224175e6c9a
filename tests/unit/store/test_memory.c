/* SPDX-License-Identifier: Apache-2.0 */
/* Who keeps which memory: each kind is told, sums agree with the arena. */
#define _GNU_SOURCE

#include "memory.h"
#include "one_store.h"
#include "os_dir.h"

#include <mobula/object.h>
#include <mobula/stream.h>

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

/* ---- places ---- */

static const char *site_of(struct mob_ref r)
{
	static char text[MOB_SITE_TEXT];
	struct mob_object_info info;

	assert_ok(mob_object_stat(s, r, &info));
	assert_int_equal(info.site, told(r).site);
	return mob_site_text(s, info.site, text, sizeof(text)) ? text : NULL;
}

static void assert_here(struct mob_ref r, int line)
{
	const char *text = site_of(r);
	char want[40];
	size_t n = (size_t)snprintf(want, sizeof(want), "/test_memory.c:%d",
				    line);

	assert_non_null(text);
	assert_true(strlen(text) > n);
	assert_string_equal(text + strlen(text) - n, want);
	assert_ok(mob_object_release(s, r));
}

static void test_memory_sites(void **state)
{
	const struct mob_part parts[1] = { { "abc", 3 } };
	struct mob_ref base = put_filled(s, 10000, 1);
	struct mob_ref r;
	void *at;
	int line;

	(void)state;
	line = __LINE__ + 1;
	assert_ok(mob_object_put(s, "a", 1, MOB_TYPE_BYTES, &r));
	assert_here(r, line);
	line = __LINE__ + 1;
	assert_ok(mob_object_create(s, 100, MOB_TYPE_BYTES, &r, &at));
	assert_ok(mob_object_seal(s, r));
	assert_here(r, line);
	line = __LINE__ + 1;
	assert_ok(mob_object_put_refs(s, &base, 1, &r));
	assert_here(r, line);
	line = __LINE__ + 1;
	assert_ok(mob_object_put_parts(s, parts, 1, MOB_TYPE_BYTES, NULL, &r));
	assert_here(r, line);
	line = __LINE__ + 1;
	assert_ok(mob_object_range(s, base, 5, 5, MOB_TYPE_BYTES, &r));
	assert_here(r, line);
	line = __LINE__ + 1;
	assert_ok(mob_object_create_with(s, 9, MOB_TYPE_BYTES, NULL, &r, &at));
	assert_ok(mob_object_abort(s, r));
	assert_here(r, line);

	/* By the function itself it is unknown, and so is it after another. */
	assert_ok((mob_object_put)(s, "a", 1, MOB_TYPE_BYTES, &r));
	assert_null(site_of(r));
	assert_ok(mob_object_release(s, r));
	assert_ok(mob_object_release(s, base));
	assert_int_equal(mob_site_text(s, 77777, NULL, 0), 0);
}

/* A place has one row, whichever process and store it is used in. */
static int put_one(struct mob_store *t, struct mob_ref *out)
{
	return mob_object_put(t, "a", 1, MOB_TYPE_BYTES, out);
}

static int put_in_child(void *arg)
{
	struct mob_store *t = child_open(arg);
	struct mob_object_info info;
	struct mob_ref r;
	int site;

	if (put_one(t, &r) < 0 || mob_object_stat(t, r, &info) < 0) {
		return 0;
	}
	site = (int)info.site;
	mob_store_close(t);
	return site;
}

static void test_memory_site_of_two_processes_and_stores(void **state)
{
	char name[64];
	struct mob_store *t = store_new(name_new(name, sizeof(name), "site"),
					16 * MIB);
	struct mob_object_info here;
	struct mob_object_info there;
	struct mob_ref r;

	(void)state;
	assert_ok(put_one(s, &r));
	assert_ok(mob_object_stat(s, r, &here));
	assert_ok(mob_object_release(s, r));
	assert_int_not_equal(here.site, 0);
	assert_int_equal(child_result(child_start(put_in_child, name)), 1);
	assert_ok(put_one(t, &r));
	assert_ok(mob_object_stat(t, r, &there));
	assert_int_equal(there.site, 1);
	assert_ok(mob_object_release(t, r));
	store_end(t);
}

/* More places than there are rows, and a row whose writer died: unknown, and
 * nothing else. */
static void test_memory_sites_run_out(void **state)
{
	static struct mob_site many[MOBI_SITES + 10];
	uint32_t known = 0;
	struct mob_ref r;

	(void)state;
	mobi_store(&s->sites[0].state, (uint32_t)MOBI_SITE_WRITING);
	for (uint32_t i = 0; i < MOBI_SITES + 10; i++) {
		many[i].file = "many.c";
		many[i].line = i + 1;
		assert_ok(mob_object_put_from(s, "a", 1, MOB_TYPE_BYTES, &r,
					      &many[i]));
		known += site_of(r) != NULL;
		assert_ok(mob_object_release(s, r));
		assert_ok(mob_object_put_from(s, "a", 1, MOB_TYPE_BYTES, &r,
					      &many[i]));
		assert_ok(mob_object_release(s, r));
	}
	assert_true(known > MOBI_SITES / 2);
	assert_true(known < MOBI_SITES);
}

/* ---- sums ---- */

static struct mob_memory_sums sums_of(struct mob_store *store)
{
	struct mob_memory_sums m;

	assert_ok(mob_store_memory_sums(store, &m));
	assert_int_equal(m.struct_size, sizeof(m));
	return m;
}

static uint64_t backed(const struct mob_memory_sums *m)
{
	return m->all.used_bytes + m->all.padding_bytes + m->reserved_bytes +
	       m->tail_bytes + m->moving_bytes + m->free_bytes;
}

/* Sums are those of the tags, the bits, the files, and of their own parts. */
static struct mob_memory_sums exact(struct mob_store *store)
{
	struct mob_memory_sums m = sums_of(store);
	struct counts c = counts_of(store);
	struct mob_memory_sum all = { 0 };

	assert_int_equal(m.verdict, MOB_MEMORY_EXACT);
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		const struct mob_memory_sum *s1 = &m.kind[k];

		assert_int_equal(s1->used_bytes + s1->padding_bytes,
				 s1->block_bytes);
		all.objects += s1->objects;
		all.block_bytes += s1->block_bytes;
		all.file_bytes += s1->file_bytes;
		all.padding_bytes += s1->padding_bytes;
	}
	assert_int_equal(all.objects, c.objects);
	assert_int_equal(all.block_bytes, m.all.block_bytes);
	assert_int_equal(all.file_bytes, m.all.file_bytes);
	assert_int_equal(all.padding_bytes, m.all.padding_bytes);
	assert_int_equal(m.all.block_bytes, c.used_bytes);
	assert_int_equal(m.found_block_bytes, c.used_bytes);
	assert_int_equal(backed(&m), m.found_backed_bytes);
	assert_int_equal(backed(&m) + m.bare_bytes, store->hdr->arena_bytes);
	assert_int_equal(backed(&m), mobi_fd_bytes(store->arena_fd));
	assert_int_equal(backed(&m) + m.tables_bytes + m.catalogue_bytes,
			 mobi_dir_bytes(store->dir_fd, "."));
	return m;
}

static void test_memory_sums_of_nothing(void **state)
{
	struct mob_memory_sums m = exact(s);

	(void)state;
	assert_int_equal(m.all.objects, 0);
	assert_int_equal(m.all.block_bytes, 0);
	assert_true(m.tables_bytes > 0);
}

static struct mob_ref argument_new(uint32_t *out_rec, uint32_t *out_gen)
{
	struct mob_ref r = put_filled(s, 3000, 5);

	assert_ok(mobi_rec_new(s, out_rec, out_gen));
	mobi_edge_push(s, MOBI_EDGE_OF_REC(*out_rec, 0), *out_gen, 0, r.lo);
	assert_ok(mob_object_release(s, r));
	return r;
}

static void sum_is(const struct mob_memory_sum *sum, uint64_t objects,
		   uint64_t size, uint64_t used)
{
	assert_int_equal(sum->objects, objects);
	assert_int_equal(sum->size, size);
	assert_int_equal(sum->used_bytes, used);
}

static void test_memory_sums_of_each_kind(void **state)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	struct mob_ref held = put_filled(s, 1000000, 1);
	struct mob_ref named = put_filled(s, 5000, 2);
	struct mob_ref pinned = put_filled(s, 700, 3);
	struct mob_ref inner = put_filled(s, 90, 4);
	struct mob_ref small = put_filled(s, 40, 5);
	struct mob_ref queued = put_filled(s, 20000, 6);
	struct mob_ref outer;
	struct mob_ref part;
	struct mob_ref pending;
	struct mob_ref headed;
	struct mob_memory_sums m;
	struct mob_cq_entry e;
	struct mob_cq *q;
	uint32_t rec;
	uint32_t gen;
	void *at;

	(void)state;
	(void)argument_new(&rec, &gen);
	assert_ok(mob_name_put(s, "n", named, 0, NULL));
	assert_ok(mob_object_pin(s, pinned));
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_object_release(s, inner));
	assert_ok(mob_object_range(s, held, 64, 1000, MOB_TYPE_BYTES, &part));
	assert_ok(mob_object_create(s, 600000, MOB_TYPE_BYTES, &pending, &at));
	h.content_type = "text/plain";
	assert_ok(mob_object_create_with(s, 999, MOB_TYPE_BYTES, &h, &headed,
					 &at));
	assert_ok(mob_object_seal(s, headed));
	assert_ok(mob_cq_open(s, &q));
	assert_ok(mob_cq_add(q, queued, 1));
	assert_ok(mob_object_release(s, queued));

	m = exact(s);
	sum_is(&m.kind[MOB_MEMORY_NAMED], 1, 5000, 5000);
	sum_is(&m.kind[MOB_MEMORY_PINNED], 1, 700, 700);
	sum_is(&m.kind[MOB_MEMORY_ARGUMENT], 1, 3000, 3000);
	sum_is(&m.kind[MOB_MEMORY_NESTED], 1, 90, 90);
	sum_is(&m.kind[MOB_MEMORY_QUEUED], 1, 20000, 20000);
	/* held, small, outer, part, pending, headed */
	sum_is(&m.kind[MOB_MEMORY_REFERENCED], 6,
	       1000000 + 40 + 16 + 1000 + 999,
	       1000000 + 600000 + 1000 +
		       mobi_load(&slot_at(s, headed)->header));
	assert_int_equal(m.kind[MOB_MEMORY_REFERENCED].part_bytes, 1000);
	assert_int_equal(m.kind[MOB_MEMORY_REFERENCED].inside_bytes, 40 + 16);
	assert_int_equal(m.kind[MOB_MEMORY_REFERENCED].pending_bytes,
			 told(pending).block_bytes);
	assert_int_equal(told(part).where, MOB_MEMORY_PART);
	assert_int_equal(told(small).where, MOB_MEMORY_INSIDE);
	assert_int_equal(told(held).where, MOB_MEMORY_BLOCK);
	assert_int_equal(told(held).holders, MOBI_BIT(s->me));
	assert_int_equal(told(named).holders, MOBI_BIT(s->me));
	assert_true(m.reserved_bytes > 0); /* the rest of slabs */

	assert_true(mobi_rec_retire(
		s, rec, MOBI_RWORD(gen, 0, s->me, MOBI_R_BUILD), 0));
	assert_int_equal(mob_cq_pop(q, 0, &e), 1);
	mob_cq_close(q);
	assert_ok(mob_object_release(s, queued));
	assert_ok(mob_object_abort(s, pending));
	assert_ok(mob_name_remove(s, "n"));
	assert_ok(mob_object_unpin(s, pinned));
	{
		struct mob_ref all[] = { held,  named, pinned,  small,
					 outer, part,  pending, headed };

		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			(void)exact(s);
			assert_ok(mob_object_release(s, all[i]));
		}
	}
	m = exact(s);
	assert_int_equal(m.all.objects, 0);
	assert_true(m.free_bytes >= 1000000); /* of `held`, kept for others */
}

static void test_memory_sums_of_a_stream(void **state)
{
	struct mob_stream *w;
	struct mob_ref at;

	(void)state;
	assert_ok(mob_stream_create(s, NULL, &w, &at));
	for (uint64_t i = 0; i < 20; i++) {
		struct mob_ref item = put_filled(s, 100 + 1000 * i, i);

		assert_ok(mob_stream_put(w, item, 0));
		assert_ok(mob_object_release(s, item));
		(void)exact(s);
	}
	assert_int_equal(exact(s).kind[MOB_MEMORY_NESTED].used_bytes,
			 20 * 100 + 1000 * 190);
	assert_ok(mob_stream_end(w));
	(void)exact(s);
	assert_ok(mob_object_release(s, at));
	assert_int_equal(exact(s).all.objects, 0);
}

static void test_memory_sums_of_spilled(void **state)
{
	struct mob_store *t = store_new_spilling(8 * MIB);
	struct mob_ref r[6];
	struct mob_memory_sums m;
	struct mob_view v;

	(void)state;
	for (uint64_t i = 0; i < 6; i++) {
		r[i] = put_filled(t, 2 * MIB - 4096, i);
		(void)exact(t);
	}
	m = exact(t);
	assert_true(spill_files(t) > 0);
	assert_int_equal(m.all.file_bytes, spill_files(t) * (2 * MIB - 4096));
	assert_int_equal(m.all.size, 6 * (2 * MIB - 4096));
	assert_int_equal(m.all.used_bytes + m.all.file_bytes, m.all.size);
	for (uint64_t i = 0; i < 6; i++) {
		assert_ok(mob_object_get(t, r[i], MOB_FOREVER, &v));
		(void)exact(t);
		mob_view_release(t, &v);
		assert_ok(mob_object_release(t, r[i]));
	}
	assert_int_equal(exact(t).all.file_bytes, 0);
	store_end(t);
}

/* A random mix of sizes, freed in another order. */
static void test_memory_sums_of_a_mix(void **state)
{
	struct mob_ref r[300];
	uint64_t seed = 11;

	(void)state;
	for (int i = 0; i < 300; i++) {
		uint64_t size = next_random(&seed) %
				(i % 10 == 0 ? 200000 : 4000);

		r[i] = put_filled(s, size, (uint64_t)i);
	}
	(void)exact(s);
	for (int k = 0; k < 7; k++) {
		for (int i = k; i < 300; i += 7) {
			assert_ok(mob_object_release(s, r[i]));
		}
		(void)exact(s);
	}
	mobi_arena_trim(s->arena, 0);
	assert_int_equal(exact(s).all.block_bytes, 0);
}

/* A block that no row names, and a row that names no block, are told. */
static void test_memory_sums_that_are_wrong(void **state)
{
	struct mob_ref r = put_filled(s, 5000, 1);
	uint64_t loc = mobi_load(&slot_at(s, r)->loc);
	uint64_t tag = mobi_slot_tag(r.lo);
	struct mob_memory_sums m;

	(void)state;
	mobi_store(&slot_at(s, r)->loc, UINT64_C(0));
	m = sums_of(s);
	assert_int_equal(m.verdict, MOB_MEMORY_WRONG);
	assert_int_equal(m.all.block_bytes, 0);
	assert_true(m.found_block_bytes >= 5000);
	mobi_store(&slot_at(s, r)->loc, loc);
	assert_true(mobi_arena_retag(s->arena, loc, tag, tag + 1));
	assert_int_equal(sums_of(s).verdict, MOB_MEMORY_WRONG);
	assert_true(mobi_arena_retag(s->arena, loc, tag + 1, tag));
	(void)exact(s);
	assert_ok(mob_object_release(s, r));
}

static int put_and_release(void *arg)
{
	struct mob_store *t = child_open(arg);

	for (uint64_t i = 0;; i++) {
		struct mob_ref r;

		if (mob_object_put(t, arg, 1, MOB_TYPE_BYTES, &r) < 0) {
			return 1;
		}
		(void)mob_object_release(t, r);
		r = put_filled(t, 1000 + i % 300000, i);
		(void)mob_object_release(t, r);
	}
	return 0;
}

/* While others work it may be inexact, and is never called wrong. */
static void test_memory_sums_of_a_store_in_use(void **state)
{
	char name[64];
	struct mob_store *t = store_new(name_new(name, sizeof(name), "sums"),
					16 * MIB);
	pid_t child = child_start(put_and_release, name);

	(void)state;
	for (int i = 0; i < 300; i++) {
		assert_int_not_equal(sums_of(t).verdict, MOB_MEMORY_WRONG);
	}
	child_kill(child);
	reap_until(t, MOBI_BIT(t->me));
	assert_int_equal(exact(t).all.objects, 0);
	store_end(t);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory_each_kind_is_told),
		TEST(test_memory_sizes_and_states),
		TEST(test_memory_ends_when_it_is_told_to),
		TEST(test_memory_sites),
		TEST(test_memory_site_of_two_processes_and_stores),
		TEST(test_memory_sums_of_nothing),
		TEST(test_memory_sums_of_each_kind),
		TEST(test_memory_sums_of_a_stream),
		TEST(test_memory_sums_of_spilled),
		TEST(test_memory_sums_of_a_mix),
		TEST(test_memory_sums_that_are_wrong),
		TEST(test_memory_sums_of_a_store_in_use),
		TEST(test_memory_sites_run_out), /* last: of the process */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
