/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: every kind of damage that is planted is found, and named; nothing
 * is found once it is undone. */
#define _GNU_SOURCE

#include "store_fixture.h"

#define NOBODY 40u /* a client that is not there */

static struct mob_store *s;
static struct mob_ref inner;
static struct mob_ref outer;

static int begin(void **state)
{
	(void)state;
	s = store_new(NULL, 16 * MIB);
	inner = put_filled(s, 5000, 1);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	return 0;
}

static int finish(void **state)
{
	(void)state;
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_ok(mob_object_release(s, inner));
	assert_ok(mob_object_release(s, outer));
	store_end(s);
	return 0;
}

struct wanted {
	const char *text;
	int n;
};

static void compare(const char *line, void *arg)
{
	struct wanted *w = arg;

	w->n += strstr(line, w->text) != NULL;
}

static void finds(const char *text)
{
	struct wanted w = { text, 0 };
	int n = mob_store_check(s, compare, &w);

	if (!w.n) {
		print_error("none of these says '%s':\n", text);
		assert_int_equal(mob_store_check(s, print_finding, NULL), n);
	}
	assert_true(n >= 1);
	assert_true(w.n >= 1);
	/* Without a function they are only counted. */
	assert_int_equal(mob_store_check(s, NULL, NULL), n);
}

static struct mobi_edge *edge(void)
{
	return mobi_edge_at(s, mobi_load(&slot_at(s, inner)->head));
}

static uint32_t chunk(void)
{
	return mobi_load(&slot_at(s, outer)->nested) - 1;
}

static void word_finds(uint64_t set, const char *text)
{
	mobi_a64 *word = &slot_at(s, inner)->word;
	uint64_t was = mobi_load(word);

	mobi_store(word, set);
	finds(text);
	mobi_store(word, was);
}

static void test_check_slot_left_half_done(void **state)
{
	uint32_t gen = MOBI_GEN(inner.lo);

	(void)state;
	word_finds(MOBI_WORD(gen, NOBODY, MOBI_F_LOCK, MOBI_S_SEALED), "half "
								       "done");
	word_finds(MOBI_WORD(gen, 0, MOBI_F_DIRTY, MOBI_S_SEALED), "half done");
	word_finds(MOBI_WORD(gen, s->me, MOBI_F_LOCK | MOBI_F_NOTIFY,
			     MOBI_S_SEALED),
		   "half done");
	word_finds(MOBI_WORD(gen, NOBODY, 0, MOBI_S_FREEING), "half done");
}

static void test_check_pending_that_nobody_makes(void **state)
{
	uint32_t gen = MOBI_GEN(inner.lo);

	(void)state;
	word_finds(MOBI_WORD(gen, 0, 0, MOBI_S_PENDING), "nobody will make");
	word_finds(MOBI_WORD(gen, 0, MOBI_MADE_BY(NOBODY), MOBI_S_PENDING),
		   "nobody will make");
}

static void test_check_bits_of_nobody(void **state)
{
	struct mobi_slot *o = slot_at(s, inner);

	(void)state;
	(void)mobi_fetch_or(&o->hold, MOBI_BIT(NOBODY));
	finds("clients that are not there");
	(void)mobi_fetch_and(&o->hold, ~MOBI_BIT(NOBODY));
	(void)mobi_fetch_or(&o->view, MOBI_BIT(NOBODY));
	finds("clients that are not there");
	(void)mobi_fetch_and(&o->view, ~MOBI_BIT(NOBODY));
}

static void test_check_object_that_nothing_refers_to(void **state)
{
	struct mobi_slot *o = slot_at(s, outer);

	(void)state;
	mobi_store(&o->hold, UINT64_C(0));
	finds("nothing refers to it");
	mobi_store(&o->hold, MOBI_BIT(s->me));
}

static void test_check_block_that_nothing_names(void **state)
{
	struct mobi_slot *o = slot_at(s, inner);
	uint64_t loc = mobi_load(&o->loc);

	(void)state;
	mobi_store(&o->loc, UINT64_C(0));
	finds("leaks");
	mobi_store(&o->loc, loc);
}

static void test_check_object_larger_than_its_block(void **state)
{
	struct mobi_slot *o = slot_at(s, inner);

	(void)state;
	/* The value has room, the header behind it has not. */
	mobi_store(&o->header, 4000u);
	finds("are more than its block");
	mobi_store(&o->header, 0u);
}

static int puts_many(void *arg)
{
	struct mob_store *own = child_open(arg);

	for (uint32_t i = 0; i < (SANITIZED ? 3000 : 30000); i++) {
		struct mob_ref r[4];

		for (uint32_t k = 0; k < 4; k++) {
			r[k] = put_filled(own, 3000, k);
		}
		for (uint32_t k = 0; k < 4; k++) {
			if (mob_object_release(own, r[k]) < 0) {
				return 1;
			}
		}
	}
	mob_store_close(own);
	return 0;
}

/* Of objects that come and go meanwhile. */
static void test_check_no_block_is_missed_in_use(void **state)
{
	struct wanted w = { ": its block", 0 };
	siginfo_t over;
	char name[64];
	pid_t pid;
	uint32_t n = 0;

	(void)state;
	(void)snprintf(name, sizeof(name), "%s", mob_store_name(s));
	pid = child_start(puts_many, name);
	do {
		assert_true(mob_store_check(s, compare, &w) >= 0);
		n++;
		memset(&over, 0, sizeof(over));
		assert_int_equal(waitid(P_PID, (id_t)pid, &over,
					WEXITED | WNOHANG | WNOWAIT),
				 0);
	} while (!over.si_pid);
	assert_int_equal(child_result(pid), 0);
	print_message("%u checks, %d findings\n", n, w.n);
	assert_int_equal(w.n, 0);
	reap_until(s, MOBI_BIT(s->me));
}

static void test_check_free_slot_with_something(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);
	struct mobi_slot *o = slot_at(s, r);

	(void)state;
	assert_ok(mob_object_release(s, r));
	mobi_store(&o->loc, MOBI_LOC_INLINE);
	finds("is free with");
	mobi_store(&o->loc, UINT64_C(0));
}

static void test_check_edge_on_no_list(void **state)
{
	struct mobi_slot *o = slot_at(s, inner);
	uint32_t head = mobi_load(&o->head);

	(void)state;
	mobi_store(&o->head, 0u);
	finds("on no list");
	mobi_store(&o->head, head);
}

static void test_check_list_of_free_or_foreign_edges(void **state)
{
	struct mobi_edge *e = edge();
	uint64_t word = mobi_load(&e->word);
	uint64_t ref = mobi_load(&e->ref);

	(void)state;
	mobi_store(&e->word, MOBI_ESTATE(word, MOBI_E_FREE));
	finds("are free");
	mobi_store(&e->word, word);
	mobi_store(&e->ref, outer.lo);
	finds("names another");
	mobi_store(&e->ref, ref);
}

static void test_check_chunk_half_done_or_of_nobody(void **state)
{
	mobi_a64 *word = &s->chunks[chunk()].word;
	uint64_t was = mobi_load(word);
	uint32_t gen = MOBI_GEN(was);

	(void)state;
	mobi_store(word, MOBI_CWORD(gen, s->me, 0, MOBI_C_BUILD));
	finds("half done");
	mobi_store(word, MOBI_CWORD(gen, NOBODY, MOBI_CK_SEAT, MOBI_C_LIVE));
	finds("belongs to client 40");
	mobi_store(word, was);
}

static void test_check_group_of_nobody(void **state)
{
	mobi_a32 *owner = &s->pool[MOBI_POOL_SLOT].group[0].owner;
	uint32_t was = mobi_load(owner);

	(void)state;
	mobi_store(owner, NOBODY);
	finds("belongs to client 40");
	mobi_store(owner, was);
}

static void test_check_record_half_built(void **state)
{
	uint32_t rec;
	uint32_t gen;

	(void)state;
	assert_ok(mobi_rec_new(s, &rec, &gen));
	finds("half built");
	assert_true(mobi_rec_retire(
		s, rec, MOBI_RWORD(gen, 0, s->me, MOBI_R_BUILD), 0));
}

/* What looks odd and is as it should be. */
static void test_check_queue_of_nobody(void **state)
{
	struct mob_cq_entry e;
	struct mob_cq *q;
	mobi_a64 *word = NULL;
	uint64_t was = 0;

	(void)state;
	assert_ok(mob_cq_open(s, &q));
	assert_ok(mob_cq_add(q, inner, 1));
	for (uint32_t i = 0; i < MOBI_CQS; i++) {
		if (mobi_load(&s->cqs[i].word) & 255) {
			word = &s->cqs[i].word;
		}
	}
	assert_non_null(word);
	was = mobi_load(word);
	mobi_store(word, was & ~UINT64_C(255)); /* closed under its chunk */
	finds("which is client 0's");
	mobi_store(word, was);
	assert_int_equal(mob_cq_pop(q, 0, &e), 1);
	assert_ok(mob_object_release(s, e.ref));
	mob_cq_close(q);
}

static void test_check_board_of_nobody(void **state)
{
	(void)state;
	(void)mobi_fetch_or(&s->board->idle, MOBI_BIT(NOBODY));
	finds("idle clients");
	(void)mobi_fetch_and(&s->board->idle, ~MOBI_BIT(NOBODY));
	mobi_store(&s->board->now[0], 17u);
	finds("never used");
	mobi_store(&s->board->now[0], 0u);
}

static void test_check_row_that_is_out_of_date(void **state)
{
	struct mobi_slot *o = slot_at(s, inner);
	uint32_t type = mobi_load(&o->type);

	(void)state;
	assert_ok(mob_store_sync(s));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	mobi_store(&o->type, type + 1);
	finds("its row differ");
	/* Not when the catalogue knows. */
	mobi_catalogue_touch(s->cat_shared, (uint32_t)inner.lo);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	mobi_store(&o->type, type);
}

static void test_check_silent_while_an_object_is_made(void **state)
{
	struct mob_ref r;
	uint64_t id;
	void *at;

	(void)state;
	assert_ok(mob_object_create(s, 5000, 1, &r, &at));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_ok(mob_object_seal(s, r));
	assert_ok(mobi_slot_new(s, MOBI_F_OWNED, &id));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_true(mobi_slot_resolve_owned(s, id, MOBI_S_CANCELLED));
	assert_ok(mobi_slot_release(s, id));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_check_slot_left_half_done),
		TEST(test_check_pending_that_nobody_makes),
		TEST(test_check_bits_of_nobody),
		TEST(test_check_object_that_nothing_refers_to),
		TEST(test_check_block_that_nothing_names),
		TEST(test_check_object_larger_than_its_block),
		TEST(test_check_no_block_is_missed_in_use),
		TEST(test_check_free_slot_with_something),
		TEST(test_check_edge_on_no_list),
		TEST(test_check_list_of_free_or_foreign_edges),
		TEST(test_check_chunk_half_done_or_of_nobody),
		TEST(test_check_group_of_nobody),
		TEST(test_check_record_half_built),
		TEST(test_check_queue_of_nobody),
		TEST(test_check_board_of_nobody),
		TEST(test_check_row_that_is_out_of_date),
		TEST(test_check_silent_while_an_object_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
