/* SPDX-License-Identifier: Apache-2.0 */
/* Edges: refs inside objects, chunks, records, sweeps. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <pthread.h>

#define DEPTH (SANITIZED ? 20000 : 100000)

static struct mob_store *s;

static int begin(void **state)
{
	(void)state;
	s = store_new(NULL, 64 * MIB);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	store_end(s);
	return 0;
}

/* ---- refs inside objects ---- */

static void test_nest_outer_keeps_inner(void **state)
{
	struct mob_ref inner = put_filled(s, 5000, 7);
	struct mob_ref outer;
	struct mob_ref found;
	struct mob_view v;

	(void)state;
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_object_release(s, inner));
	assert_int_equal(mob_object_release(s, inner), MOB_E_BAD_REF);
	assert_ok(mob_object_get(s, outer, 0, &v));
	assert_int_equal(v.type, MOB_TYPE_REFS);
	assert_int_equal(v.size, sizeof(found));
	memcpy(&found, v.at, sizeof(found));
	mob_view_release(s, &v);
	assert_ok(mob_object_get(s, found, 0, &v));
	assert_true(filled(v.at, v.size, 7));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, outer));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
}

static void test_nest_none_and_the_same_often(void **state)
{
	struct mob_ref inner = put_filled(s, 8, 7);
	struct mob_ref same[200];
	struct mob_ref a;
	struct mob_ref b;

	(void)state;
	for (int i = 0; i < 200; i++) {
		same[i] = inner;
	}
	assert_ok(mob_object_put_refs(s, NULL, 0, &a));
	assert_ok(mob_object_put_refs(s, same, 200, &b));
	assert_int_equal(counts_of(s).edges, 200);
	assert_ok(mob_object_release(s, a));
	assert_ok(mob_object_release(s, b));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_SEALED);
	assert_ok(mob_object_release(s, inner));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
}

static void test_nest_a_thousand(void **state)
{
	struct mob_ref inner[1000];
	struct mob_ref outer;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		inner[i] = put_filled(s, i % 3 ? 8 : 200, i);
	}
	assert_ok(mob_object_put_refs(s, inner, 1000, &outer));
	for (int i = 0; i < 1000; i++) {
		assert_ok(mob_object_release(s, inner[i]));
	}
	assert_int_equal(counts_of(s).objects, 1001);
	assert_ok(mob_object_release(s, outer));
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).chunks, 0);
}

/* In the second chunk, so that something is there to be undone. */
static void test_nest_bad_ref_nothing_left(void **state)
{
	struct mob_ref inner[100];
	struct mob_ref outer = MOB_REF_NONE;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		inner[i] = put_filled(s, 8, i);
	}
	assert_ok(mob_object_release(s, inner[80]));
	assert_int_equal(mob_object_put_refs(s, inner, 100, &outer),
			 MOB_E_BAD_REF);
	assert_true(mob_ref_is_none(outer));
	assert_int_equal(counts_of(s).objects, 99);
	assert_int_equal(counts_of(s).edges, 0);
	assert_int_equal(counts_of(s).chunks, 0);
	for (int i = 0; i < 100; i++) {
		if (i != 80) {
			assert_ok(mob_object_release(s, inner[i]));
		}
	}
	assert_int_equal(mob_object_put_refs(s, inner, UINT64_MAX / 16 + 1,
					     &outer),
			 MOB_E_INVAL);
}

static void test_nest_pending_resolved_later(void **state)
{
	struct mob_ref inner = make_pending(s);
	struct mob_ref outer;
	struct mob_view v;

	(void)state;
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_object_release(s, inner));
	assert_int_equal(mob_object_get(s, inner, 0, &v), MOB_E_TIMEOUT);
	assert_ok(mob_object_seal(s, inner));
	assert_ok(mob_object_get(s, inner, 0, &v));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, outer));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
}

/* A graph in which everything is shared, let go in random order. */
static void test_nest_shared_graph_released_in_random_order(void **state)
{
	struct mob_ref r[300];
	uint64_t seed = now_ns() | 1;

	(void)state;
	print_message("seed %#" PRIx64 "\n", seed);
	for (uint64_t i = 0; i < 300; i++) {
		struct mob_ref in[8];
		uint64_t n = i ? next_random(&seed) % 8 : 0;

		for (uint64_t k = 0; k < n; k++) {
			in[k] = r[next_random(&seed) % i];
		}
		assert_ok(mob_object_put_refs(s, in, n, &r[i]));
	}
	for (uint64_t left = 300; left; left--) {
		uint64_t i = next_random(&seed) % left;

		assert_ok(mob_object_release(s, r[i]));
		r[i] = r[left - 1];
	}
	assert_int_equal(counts_of(s).objects, 0);
}

static void *release_deep(void *arg)
{
	const struct mob_ref *r = arg;

	return mob_object_release(s, *r) == 0 ? arg : NULL;
}

/* On a stack that recursion would soon be at the end of. */
static void test_nest_deep_chain_freed_without_recursion(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);
	pthread_attr_t attr;
	pthread_t t;
	void *good;

	(void)state;
	for (int i = 0; i < DEPTH; i++) {
		struct mob_ref outer;

		assert_ok(mob_object_put_refs(s, &r, 1, &outer));
		assert_ok(mob_object_release(s, r));
		r = outer;
	}
	assert_int_equal(counts_of(s).objects, DEPTH + 1);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
	assert_int_equal(pthread_create(&t, &attr, release_deep, &r), 0);
	assert_int_equal(pthread_join(t, &good), 0);
	assert_non_null(good);
	assert_int_equal(pthread_attr_destroy(&attr), 0);
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).chunks, 0);
}

/* ---- lists ---- */

static void test_fan_of_ten_thousand_swept_as_it_goes(void **state)
{
	static struct mob_ref outer[10000];
	struct mob_ref inner = put_filled(s, 8, 1);
	const struct mobi_slot *o = slot_at(s, inner);

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_ok(mob_object_put_refs(s, &inner, 1, &outer[i]));
	}
	assert_int_equal(mobi_load(&o->n_edges), 10000);
	assert_ok(mob_object_release(s, inner));
	for (int i = 0; i < 9999; i++) {
		assert_ok(mob_object_release(s, outer[i]));
		/* What is released does not outnumber what lives by more
		 * than one. */
		assert_true(2 * mobi_load(&o->n_dead) <=
			    mobi_load(&o->n_edges) + 1);
	}
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_SEALED);
	assert_ok(mob_object_release(s, outer[9999]));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
}

/* ---- chunks ---- */

/* A list of chunks to be released may be worked off late, when the janitor has
 * done it and somebody else has the chunk. */
static void test_chunk_released_late_spares_the_next_owner(void **state)
{
	struct mob_ref inner = put_filled(s, 8, 1);
	struct mob_ref outer;
	uint32_t chunk;
	uint32_t gen;

	(void)state;
	assert_ok(mobi_chunk_new(s, &chunk, &gen));
	mobi_chunk_retire(s, chunk, gen);
	assert_int_equal(MOBI_STATE(mobi_load(&s->chunks[chunk].word)),
			 MOBI_C_FREE);
	for (;;) {
		assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
		if (mobi_load(&slot_at(s, outer)->nested) == chunk + 1) {
			break;
		}
		assert_ok(mob_object_release(s, outer));
	}
	mobi_chunk_release(s, chunk, gen);
	mobi_chunk_retire(s, chunk, gen);
	assert_int_equal(counts_of(s).edges, 1);
	assert_ok(mob_object_release(s, inner));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_SEALED);
	assert_ok(mob_object_release(s, outer));
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
}

static void test_edge_word_differs_at_each_use(void **state)
{
	struct mob_ref inner = put_filled(s, 8, 1);
	uint32_t chunk;
	uint32_t gen;
	uint64_t last = 0;
	uint32_t n;

	(void)state;
	assert_ok(mobi_chunk_new(s, &chunk, &gen));
	mobi_chunk_live(s, chunk, MOBI_CK_SEAT, s->me, 0);
	n = MOBI_EDGE_OF_CHUNK(chunk, 5);
	for (int i = 0; i < 10; i++) {
		uint64_t w;

		mobi_edge_push(s, n, gen, MOBI_EF_QUIET, inner.lo);
		w = mobi_load(&mobi_edge_at(s, n)->word);
		assert_int_not_equal(w, last);
		assert_int_equal(MOBI_GEN(w), gen);
		assert_int_equal(MOBI_STATE(w), MOBI_E_LIVE);
		last = w;
		/* Of another generation: not mine. */
		mobi_edge_release(s, n, gen + 1);
		assert_int_equal(mobi_load(&mobi_edge_at(s, n)->word), w);
		mobi_edge_release(s, n, gen);
		assert_int_equal(
			MOBI_STATE(mobi_load(&mobi_edge_at(s, n)->word)),
			MOBI_E_FREE);
	}
	mobi_chunk_retire(s, chunk, gen);
	assert_ok(mob_object_release(s, inner));
}

/* ---- records ---- */

static void test_record_retired_frees_its_edges_and_chunks(void **state)
{
	struct mob_ref inner[6];
	uint32_t chunk;
	uint32_t cgen;
	uint32_t rec;
	uint32_t gen;

	(void)state;
	assert_ok(mobi_rec_new(s, &rec, &gen));
	assert_ok(mobi_chunk_new(s, &chunk, &cgen));
	mobi_chunk_live(s, chunk, MOBI_CK_REC, (uint64_t)gen << 32 | rec, 0);
	for (uint32_t i = 0; i < 6; i++) {
		inner[i] = put_filled(s, 8, i);
		mobi_edge_push(s,
			       i < 4 ? MOBI_EDGE_OF_REC(rec, i) :
				       MOBI_EDGE_OF_CHUNK(chunk, i),
			       i < 4 ? gen : cgen, 0, inner[i].lo);
		assert_ok(mob_object_release(s, inner[i]));
	}
	assert_int_equal(counts_of(s).objects, 6);
	assert_false(mobi_rec_retire(
		s, rec, MOBI_RWORD(gen + 1, 0, s->me, MOBI_R_BUILD),
		chunk + 1));
	assert_true(mobi_rec_retire(
		s, rec, MOBI_RWORD(gen, 0, s->me, MOBI_R_BUILD), chunk + 1));
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).records, 0);
	assert_int_equal(counts_of(s).chunks, 0);
	assert_int_equal(MOBI_GEN(mobi_load(&s->recs[rec].word)), gen + 1);
}

/* While a process is stopped the janitor comes again and again: it does not
 * make others sweep, or look at all that there is. */
static void test_leftover_pass_leaves_the_hints_alone(void **state)
{
	struct mob_ref r = make_pending(s);
	struct mob_cq_entry e;
	struct mob_cq *q;

	(void)state;
	assert_ok(mob_cq_open(s, &q));
	for (uint64_t i = 0; i < 100; i++) {
		assert_ok(mob_cq_add(q, r, i));
	}
	assert_int_equal(mobi_load(&slot_at(s, r)->n_dead), 0);
	for (int i = 0; i < 50; i++) {
		mobi_store(&s->hdr->leftover, 1u);
		assert_int_equal(mobi_reap(s), 0);
		assert_int_equal(mobi_load(&s->hdr->leftover), 0);
	}
	assert_int_equal(mobi_load(&slot_at(s, r)->n_dead), 0);
	assert_ok(mob_object_abort(s, r));
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(mob_cq_pop(q, 0, &e), 1);
		assert_ok(mob_object_release(s, e.ref));
	}
	mob_cq_close(q);
	assert_ok(mob_object_release(s, r));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nest_outer_keeps_inner),
		TEST(test_nest_none_and_the_same_often),
		TEST(test_nest_a_thousand),
		TEST(test_nest_bad_ref_nothing_left),
		TEST(test_nest_pending_resolved_later),
		TEST(test_nest_shared_graph_released_in_random_order),
		TEST(test_nest_deep_chain_freed_without_recursion),
		TEST(test_fan_of_ten_thousand_swept_as_it_goes),
		TEST(test_chunk_released_late_spares_the_next_owner),
		TEST(test_edge_word_differs_at_each_use),
		TEST(test_record_retired_frees_its_edges_and_chunks),
		TEST(test_leftover_pass_leaves_the_hints_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
