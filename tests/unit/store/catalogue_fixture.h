/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory and slots for tests of the catalogue. The test plays the store:
 * it makes objects and frees them by setting the words. The tables are shared
 * with children of fork. Include after <cmocka.h>.
 */
#ifndef CATALOGUE_FIXTURE_H
#define CATALOGUE_FIXTURE_H

#include "catalogue.h"
#include "os_clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_FLAGS (MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE)

struct fixture {
	struct mobi_cat_shared *shared;
	struct mobi_slot *slots;
	uint64_t began_ns;
	struct mobi_catalogue *cat;
	char dir[64];
};

static inline void *fixture_map(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_FLAGS, -1, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static inline struct mobi_catalogue *fixture_open(struct fixture *f)
{
	struct mobi_catalogue *c = NULL;

	return mobi_catalogue_open(AT_FDCWD, f->dir, f->shared, f->slots,
				   f->began_ns, &c) ?
		       NULL :
		       c;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->shared = fixture_map(sizeof(*f->shared));
	f->slots = fixture_map(MOBI_SLOTS * sizeof(*f->slots));
	/* The session began 10 s ago: objects can be old. */
	f->began_ns = mobi_now_ns() - UINT64_C(10000000000);
	(void)snprintf(f->dir, sizeof(f->dir), "/dev/shm/mob-cat-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->cat = fixture_open(f);
	assert_non_null(f->cat);
	*state = f;
	return 0;
}

/* Killed makers of files leave some under other names. */
static inline void fixture_clean_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.') {
			assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
		}
	}
	(void)closedir(d);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	mobi_catalogue_close(f->cat);
	fixture_clean_dir(f->dir);
	assert_int_equal(rmdir(f->dir), 0);
	(void)munmap(f->shared, sizeof(*f->shared));
	(void)munmap(f->slots, MOBI_SLOTS * sizeof(*f->slots));
	free(f);
	return 0;
}

static inline uint32_t fixture_now_ms(const struct fixture *f)
{
	return (uint32_t)((mobi_now_ns() - f->began_ns) / 1000000);
}

/* ---- the store's part ---- */

static inline void slot_birth(struct fixture *f, uint32_t n)
{
	struct mobi_slot *o = &f->slots[n];
	uint32_t gen = MOBI_GEN(mobi_load(&o->word));

	mobi_store(&o->word, MOBI_WORD(gen, 3, MOBI_F_LOCK, MOBI_S_PENDING));
	mobi_store(&o->size, (uint64_t)gen * 1000 + n);
	mobi_store(&o->type, n % 7 + 1);
	mobi_store(&o->creator, n % 63 + 1);
	mobi_store(&o->born_ms, 0u); /* old; a test of age sets it */
	mobi_store(&o->word, MOBI_WORD(gen, 0, 0, MOBI_S_PENDING));
}

static inline void slot_resolve(struct fixture *f, uint32_t n, uint32_t state)
{
	struct mobi_slot *o = &f->slots[n];
	uint32_t gen = MOBI_GEN(mobi_load(&o->word));

	mobi_store(&o->word, MOBI_WORD(gen, 0, 0, state));
	mobi_catalogue_touch(f->shared, n);
}

static inline void slot_make(struct fixture *f, uint32_t n)
{
	slot_birth(f, n);
	slot_resolve(f, n, MOBI_S_SEALED);
}

static inline void slot_free(struct fixture *f, uint32_t n)
{
	struct mobi_slot *o = &f->slots[n];
	uint32_t gen = MOBI_GEN(mobi_load(&o->word));

	mobi_store(&o->word, MOBI_WORD(gen, 5, 0, MOBI_S_FREEING));
	mobi_store(&o->word, MOBI_WORD(gen + 1, 0, 0, MOBI_S_FREE));
	if (mobi_load(&f->shared->indexed[n])) {
		mobi_catalogue_touch(f->shared, n);
	}
}

/* One step in the life of slot n. */
static inline void slot_step(struct fixture *f, uint32_t n, unsigned dice)
{
	uint64_t w = mobi_load(&f->slots[n].word);

	if (mobi_resolved(w)) {
		slot_free(f, n);
	} else if (MOBI_STATE(w) == MOBI_S_PENDING) {
		slot_resolve(f, n, MOBI_S_SEALED + dice % 4);
	} else if (dice % 4) {
		slot_make(f, n);
	} else {
		slot_birth(f, n);
	}
}

/* xorshift; the test prints the seed. */
static inline uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* ---- what is right ---- */

static inline void print_line(const char *line, void *arg)
{
	unsigned *n = arg;

	if (++*n <= 10) {
		(void)fprintf(stderr, "%s\n", line);
	}
}

static inline int fixture_check(struct fixture *f, uint32_t used)
{
	unsigned n = 0;

	return mobi_catalogue_check(f->cat, used, print_line, &n);
}

struct tally {
	struct fixture *f;
	uint64_t rows;
	uint64_t wrong;
	uint64_t next; /* slot */
};

static inline int tally_row(const struct mob_object_info *i, void *arg)
{
	struct tally *t = arg;
	uint32_t n = (uint32_t)i->ref.lo;
	struct mobi_slot *o = &t->f->slots[n];
	uint64_t w = mobi_load(&o->word);
	int valued = MOBI_STATE(w) <= MOBI_S_FAILED;

	if (n < t->next || !mobi_resolved(w) ||
	    MOBI_GEN(w) != i->ref.lo >> 32 || MOBI_STATE(w) != i->state ||
	    i->ref.hi != UINT64_C(77) << 32 ||
	    i->size != (valued ? mobi_load(&o->size) : 0) ||
	    i->type != (valued ? mobi_load(&o->type) : 0) ||
	    i->creator != mobi_load(&o->creator) ||
	    i->born_ms != mobi_load(&o->born_ms) || i->site) {
		t->wrong++;
	}
	t->next = (uint64_t)n + 1;
	t->rows++;
	return 0;
}

/* The oracle: by its own words, not by mobi_catalogue_check. */
static inline void assert_equal_slots(struct fixture *f, uint32_t used)
{
	struct tally t = { .f = f };
	uint64_t want = 0;

	for (uint32_t n = 0; n < used; n++) {
		want += (uint64_t)mobi_resolved(mobi_load(&f->slots[n].word));
	}
	assert_int_equal(mobi_catalogue_list(f->cat, 77, tally_row, &t, NULL),
			 0);
	assert_int_equal(t.wrong, 0);
	assert_int_equal(t.rows, want);
}

#endif /* CATALOGUE_FIXTURE_H */
