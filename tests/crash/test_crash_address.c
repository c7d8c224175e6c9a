/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that have the store at different addresses: each has mapped something of
 * a random size before it opens it. Objects, refs inside them, names, a stream and a
 * queue are the same for all of them; no word of the tables or of the arena is an
 * address in one of them; and one that was elsewhere is cleaned up after.
 *
 *   MOB_TEST_ADDRESSES=n MOB_TEST_SEED=n test_crash_address
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <mobula/stream.h>

#include <fcntl.h>
#include <sys/stat.h>

#define ITEMS 3u
#define MAPS_MAX 512

struct range {
	uint64_t from;
	uint64_t to;
};

/* What two processes tell each other. */
struct scene {
	char name[MOB_STORE_NAME_MAX + 1];
	uint64_t shift;
	uint64_t base[2]; /* of the tables in each */
	struct cell pending;
	struct cell stream;
	mobi_a32 done;
	uint32_t n; /* mappings of the maker */
	struct range map[MAPS_MAX];
};

static struct scene *sc;
static uint64_t rounds;
static uint64_t seed;

/* From then on what is mapped goes elsewhere. */
static void move_on(void)
{
	void *at = mmap(NULL, sc->shift, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		_exit(98);
	}
}

static void note_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[1024];

	sc->n = 0;
	while (f && fgets(line, sizeof(line), f)) {
		struct range *r = &sc->map[sc->n];

		if (sc->n < MAPS_MAX && sscanf(line, "%" SCNx64 "-%" SCNx64,
					       &r->from, &r->to) == 2) {
			sc->n++;
		}
	}
	if (f) {
		(void)fclose(f);
	}
}

/* Makes everything, and dies with it. */
static int make(void *arg)
{
	struct mob_stream *st;
	struct mob_store *s;
	struct mob_ref r[ITEMS];
	struct mob_ref outer;
	struct mob_ref ref;
	int rc = 0;

	(void)arg;
	move_on();
	s = child_open(sc->name);
	sc->base[0] = (uintptr_t)s->hdr;
	for (uint32_t i = 0; i < ITEMS; i++) {
		r[i] = put_filled(s, i == 0 ? 20 : i * 5000, i);
	}
	rc = mob_object_put_refs(s, r, ITEMS, &outer);
	rc = rc ? rc : mob_name_put(s, "outer", outer, 0, NULL);
	rc = rc ? rc : mob_object_pin(s, r[1]);
	rc = rc ? rc : mob_stream_create(s, NULL, &st, &ref);
	for (uint32_t i = 0; i < ITEMS && !rc; i++) {
		rc = mob_stream_put(st, r[i], 0);
	}
	if (rc) {
		return 1;
	}
	cell_set(&sc->stream, ref);
	ref = make_pending(s);
	cell_set(&sc->pending, ref);
	/* The other has a queue for it. */
	until_wanted(s, ref);
	if (mob_object_seal(s, ref)) {
		return 2;
	}
	note_mappings();
	mobi_store(&sc->done, 1u);
	for (;;) {
		(void)pause();
	}
}

static bool is_item(struct mob_store *s, struct mob_ref r, uint32_t i)
{
	struct mob_view v;
	bool is;

	if (mob_object_get(s, r, MOB_SEC * WATCHDOG_S, &v)) {
		return false;
	}
	is = v.size == (i == 0 ? 20 : i * 5000) && filled(v.at, v.size, i);
	mob_view_release(s, &v);
	return is;
}

/* Follows the name to what it refers to. */
static int follow_name(struct mob_store *s)
{
	struct mob_ref in[ITEMS];
	struct mob_view v;
	struct mob_ref r;

	if (mob_name_get(s, "outer", &r, NULL) || mob_object_get(s, r, 0, &v) ||
	    v.size != sizeof(in)) {
		return 1;
	}
	memcpy(in, v.at, sizeof(in));
	for (uint32_t i = 0; i < ITEMS; i++) {
		if (!is_item(s, in[i], i)) {
			return 1;
		}
	}
	mob_view_release(s, &v);
	return mob_object_release(s, r);
}

static int follow_stream(struct mob_store *s)
{
	struct mob_ref at = cell_wait(&sc->stream);

	for (uint32_t i = 0; i < ITEMS; i++) {
		struct mob_ref item;

		if (mob_stream_next(s, &at, MOB_SEC * WATCHDOG_S, &item) != 1 ||
		    !is_item(s, item, i) || mob_object_release(s, item)) {
			return 1;
		}
	}
	return mob_object_release(s, at);
}

static int wait_in_queue(struct mob_store *s)
{
	struct mob_cq_entry e;
	struct mob_cq *q;
	struct mob_view v;
	int rc = mob_cq_open(s, &q);

	rc = rc ? rc : mob_cq_add(q, cell_wait(&sc->pending), 7);
	if (rc || mob_cq_pop(q, MOB_SEC * WATCHDOG_S, &e) != 1 || e.user != 7 ||
	    mob_object_get(s, e.ref, 0, &v) || !filled(v.at, v.size, 8)) {
		return 1;
	}
	mob_view_release(s, &v);
	rc = mob_object_release(s, e.ref);
	mob_cq_close(q);
	return rc;
}

static bool is_address(uint64_t word)
{
	for (uint32_t i = 0; i < sc->n; i++) {
		const struct range *r = &sc->map[i];

		/* What is mapped low, as a program of a fixed address and the
		 * shadow memory of a sanitizer, has numbers that counts and
		 * times have, too. */
		if (word >> 45 && word >= r->from && word < r->to) {
			return true;
		}
	}
	return false;
}

/* Words in a file of the session that are addresses in the maker. */
static uint64_t addresses_in(const struct mob_store *s, const char *file)
{
	static uint64_t at[8192];
	int fd = openat(s->dir_fd, file, O_RDONLY | O_CLOEXEC);
	uint64_t found = 0;
	off_t from = 0;

	while (fd >= 0 && (from = lseek(fd, from, SEEK_DATA)) >= 0) {
		ssize_t n = pread(fd, at, sizeof(at), from);

		for (ssize_t i = 0; i < n / 8; i++) {
			if (is_address(at[i])) {
				(void)fprintf(stderr,
					      "%s, %lld: %#" PRIx64 "\n", file,
					      (long long)from + 8 * i, at[i]);
				found++;
			}
		}
		from += (off_t)sizeof(at);
	}
	if (fd < 0) {
		return 1;
	}
	(void)close(fd);
	return found;
}

/* Sees all that the other made, from another place. */
static int see(void *arg)
{
	struct mob_store *s;
	int bad;

	(void)arg;
	move_on();
	s = child_open(sc->name);
	sc->base[1] = (uintptr_t)s->hdr;
	bad = follow_stream(s) ? 1 : 0;
	bad |= wait_in_queue(s) ? 2 : 0;
	bad |= follow_name(s) ? 4 : 0;
	while (!mobi_load(&sc->done)) {
		(void)sched_yield();
	}
	bad |= addresses_in(s, "ctl") ? 8 : 0;
	bad |= addresses_in(s, "arena") ? 16 : 0;
	mob_store_close(s);
	return bad;
}

static uint64_t other_shift(void)
{
	return (1 + next_random(&seed) % 100000) * 4096;
}

/* Unpins the one that is pinned, and lets the outer one go. */
static void unpin_inside(struct mob_store *s, struct mob_ref outer)
{
	struct mob_ref in[ITEMS];
	struct mob_view v;

	assert_ok(mob_object_get(s, outer, 0, &v));
	memcpy(in, v.at, sizeof(in));
	mob_view_release(s, &v);
	assert_ok(mob_object_unpin(s, in[1]));
	assert_ok(mob_object_release(s, outer));
	assert_int_equal(mob_object_state(s, in[1]), MOB_OBJECT_GONE);
}

static void test_address_differs_and_all_is_the_same(void **state)
{
	struct mob_store *s = store_new(
		name_new(sc->name, sizeof(sc->name), "address"), 16 * MIB);
	struct counts was = counts_of(s);
	uint64_t me = clients_used(s);

	(void)state;
	for (uint64_t i = 0; i < rounds; i++) {
		struct mob_ref r;
		pid_t maker;
		pid_t seer;

		mobi_store(&sc->done, 0u);
		cell_set(&sc->pending, MOB_REF_NONE);
		cell_set(&sc->stream, MOB_REF_NONE);
		sc->base[0] = sc->base[1] = 0;
		sc->shift = other_shift();
		maker = child_start(make, NULL);
		(void)cell_wait(&sc->stream);
		sc->shift += other_shift();
		seer = child_start(see, NULL);
		assert_int_equal(child_result(seer), 0);
		child_kill(maker);
		assert_int_not_equal(sc->base[0], sc->base[1]);
		assert_int_not_equal(sc->base[0], (uintptr_t)s->hdr);
		reap_until(s, me);
		assert_int_equal(follow_name(s), 0);
		assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
		/* What the dead one pinned is what is inside. */
		assert_ok(mob_name_get(s, "outer", &r, NULL));
		assert_ok(mob_name_remove(s, "outer"));
		unpin_inside(s, r);
		assert_int_equal(counts_differ(was, counts_of(s)), 0);
	}
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_differs_and_all_is_the_same),
	};

	sc = shared_memory(sizeof(*sc));
	rounds = test_count("MOB_TEST_ADDRESSES", SANITIZED ? 10 : 100, 20000);
	seed = test_seed();
	return cmocka_run_group_tests_name("crash.address", tests, NULL, NULL);
}
