/* SPDX-License-Identifier: Apache-2.0 */
/* An arena of its own for a test: memory files, and what every test asks. */
#ifndef ARENA_FIXTURE_H
#define ARENA_FIXTURE_H

#include "arena.h"
#include "err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)
#define GIB (UINT64_C(1024) * MIB)
#define ME 1u

/* Whether the address or thread sanitizer is compiled in: slow, and the second
 * has no room for large mappings. */
#if defined(__has_feature)
#define HAS_SANITIZER(name) __has_feature(name)
#else
#define HAS_SANITIZER(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_SANITIZER(thread_sanitizer)
#define TSAN 1
#else
#define TSAN 0
#endif
#if TSAN || defined(__SANITIZE_ADDRESS__) || HAS_SANITIZER(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

struct fixture {
	int fd;
	int ctl_fd;
	uint64_t bytes;
	uint64_t meta_bytes;
	void *meta;
	struct mobi_arena *a;
};

static inline uint64_t tag_of(uint64_t n)
{
	return UINT64_C(7) << 32 | (n + 1);
}

/* The files and the mapping of an arena that nobody has opened yet. 0: done. */
static inline int fixture_files(struct fixture *f, uint64_t bytes)
{
	f->bytes = bytes;
	f->meta_bytes = mobi_arena_meta_bytes(bytes);
	f->fd = memfd_create("arena", MFD_CLOEXEC);
	f->ctl_fd = memfd_create("ctl", MFD_CLOEXEC);
	f->a = NULL;
	f->meta = MAP_FAILED;
	if (f->fd < 0 || f->ctl_fd < 0 || ftruncate(f->fd, (off_t)bytes) != 0 ||
	    ftruncate(f->ctl_fd, (off_t)f->meta_bytes) != 0) {
		return -1;
	}
	f->meta = mmap(NULL, f->meta_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		       f->ctl_fd, 0);
	return f->meta == MAP_FAILED ? -1 : 0;
}

static inline int fixture_attach(const struct fixture *f, uint32_t client,
				 struct mobi_arena **out)
{
	return mobi_arena_open(f->fd, f->bytes, f->meta, f->ctl_fd, 0, client,
			       out);
}

static inline void fixture_open(struct fixture *f, uint64_t bytes)
{
	assert_int_equal(fixture_files(f, bytes), 0);
	assert_int_equal(fixture_attach(f, ME, &f->a), 0);
}

static inline void fixture_close(struct fixture *f)
{
	mobi_arena_leave(f->a);
	mobi_arena_close(f->a);
	assert_int_equal(munmap(f->meta, f->meta_bytes), 0);
	assert_int_equal(close(f->fd), 0);
	assert_int_equal(close(f->ctl_fd), 0);
}

static inline void print_line(const char *line, void *arg)
{
	(void)arg;
	print_error("%s\n", line);
}

static inline void print_block(uint64_t loc, uint64_t tag, void *arg)
{
	uint64_t *n = arg;

	if ((*n)++ < 10) {
		print_error("block %#llx has tag %#llx\n",
			    (unsigned long long)loc, (unsigned long long)tag);
	}
}

static inline void count_block(uint64_t loc, uint64_t tag, void *arg)
{
	(void)loc;
	(void)tag;
	(*(uint64_t *)arg)++;
}

/* Nothing has a tag, the structure is sound, and the whole arena can be had in
 * one piece. Returns what is wrong, for children too. */
static inline int arena_unused(struct mobi_arena *a, uint64_t bytes,
			       uint64_t live)
{
	uint64_t n = 0;
	mobi_a64 loc = 0;
	int wrong = mobi_arena_check(a, live, print_line, NULL);

	mobi_arena_walk(a, print_block, &n);
	wrong += n != 0;
	if (n == 0) {
		if (mobi_arena_alloc(a, bytes, tag_of(0), &loc) != 0) {
			print_error("the whole arena cannot be had\n");
			wrong++;
		} else {
			wrong += mobi_arena_check(a, live, print_line, NULL);
			wrong += !mobi_arena_free(a, loc, tag_of(0));
			wrong += mobi_arena_check(a, live, print_line, NULL);
		}
	}
	return wrong;
}

static inline void assert_unused(struct fixture *f)
{
	assert_int_equal(arena_unused(f->a, f->bytes, UINT64_C(1) << ME), 0);
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Takes blocks until there is no more room; how many. */
static inline uint64_t fill(struct mobi_arena *a, uint64_t size, mobi_a64 *loc,
			    uint64_t max)
{
	uint64_t n = 0;

	while (n < max && mobi_arena_alloc(a, size, tag_of(n), &loc[n]) == 0) {
		n++;
	}
	return n;
}

/* Frees them, in steps of stride. */
static inline void drop(struct mobi_arena *a, mobi_a64 *loc, uint64_t n,
			uint64_t stride)
{
	for (uint64_t from = 0; from < stride; from++) {
		for (uint64_t i = from; i < n; i += stride) {
			assert_true(mobi_arena_free(a, loc[i], tag_of(i)));
		}
	}
}

struct block {
	mobi_a64 loc;
	uint64_t size;
};

/* Both ends of a block say whose it is. */
static inline void block_mark(struct mobi_arena *a, const struct block *b,
			      uint64_t n)
{
	unsigned char *at = mobi_arena_rw(a, b->loc);

	memcpy(at, &n, sizeof(n));
	memcpy(at + mobi_arena_block_bytes(a, b->loc) - sizeof(n), &n,
	       sizeof(n));
}

static inline bool block_marked(struct mobi_arena *a, const struct block *b,
				uint64_t n)
{
	const unsigned char *at = mobi_arena_ro(a, b->loc);

	return memcmp(at, &n, sizeof(n)) == 0 &&
	       memcmp(at + mobi_arena_block_bytes(a, b->loc) - sizeof(n), &n,
		      sizeof(n)) == 0;
}

/* Memory that a test shares with its children. */
static inline void *shared_memory(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* In a child of fork: cmocka catches these, and a child that is caught goes on
 * as a second runner of the tests. */
static inline void child_signals(void)
{
	(void)signal(SIGSEGV, SIG_DFL);
	(void)signal(SIGBUS, SIG_DFL);
	(void)signal(SIGILL, SIG_DFL);
	(void)signal(SIGFPE, SIG_DFL);
	(void)signal(SIGSYS, SIG_DFL);
}

/* Exit code of a child, or -1 if a signal ended it. */
static inline int child_result(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR) {
			return -1;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * What stands for the store's slots: a word {generation 32, owner 24, state 8}
 * and the location. BUSY is as LOCK or FREEING there: its dead owner's block
 * is freed by the reaper.
 */
enum { SLOT_FREE = 0, SLOT_BUSY = 1, SLOT_LIVE = 2 };
struct slot {
	mobi_a64 word;
	mobi_a64 loc;
};
#define SLOT_WORD(gen, owner, state)                                           \
	((uint64_t)(gen) << 32 | (uint64_t)(owner) << 8 | (state))
#define SLOT_GEN(w) ((w) >> 32)
#define SLOT_OWNER(w) ((uint32_t)((w) >> 8) & 0xffffffu)
#define SLOT_STATE(w) ((uint32_t)(w)&255u)

static inline uint64_t slot_tag(uint64_t word, uint64_t i)
{
	return SLOT_GEN(word) << 32 | (i + 1);
}

/* As the store does after a death: what the slots of the dead name is freed,
 * then the arena is put in order; last_first: the other way round. */
static inline void slots_reap(struct mobi_arena *a, struct slot *slots,
			      uint64_t n, uint32_t dead, bool last_first)
{
	if (last_first) {
		mobi_arena_reap(a, UINT64_C(1) << dead);
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t w = mobi_load(&slots[i].word);

		if (SLOT_STATE(w) == SLOT_BUSY && SLOT_OWNER(w) == dead) {
			(void)mobi_arena_free(a, mobi_load(&slots[i].loc),
					      slot_tag(w, i));
			mobi_store(&slots[i].loc, 0);
			mobi_store(&slots[i].word,
				   SLOT_WORD(SLOT_GEN(w) + 1, 0, SLOT_FREE));
		}
	}
	mobi_arena_reap(a, UINT64_C(1) << dead);
}

#endif /* ARENA_FIXTURE_H */
