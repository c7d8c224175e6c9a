/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine can do at best: copying, waking and starting without a
 * library. Everything here is plain C, futex(2), mmap(2), fork and exec.
 */
#ifndef MOBI_BENCH_RAW_H
#define MOBI_BENCH_RAW_H

#include "bench.h"

#include <stdatomic.h>
#include <sys/types.h>

typedef _Atomic uint32_t raw_word;

/* ---- copying ---- */

/* A private source and a file of tmpfs, both with all pages in place. */
struct raw_copy {
	unsigned char *from;
	unsigned char *to;
	size_t size;
};
/* Return 0, or -1 with errno set. */
int raw_copy_open(struct raw_copy *c, size_t size);
void raw_copy_close(struct raw_copy *c);
/* Copies n times, a sample each. */
void raw_copy_times(struct bench *b, struct raw_copy *c, uint64_t n);

/* ---- a second process ---- */

/*
 * A peer that this process forked. It waits for commands and runs `other`, if
 * it is set, for commands from RAW_OTHER on. Shared by both, each word that one
 * writes while the other waits on a cache line of its own.
 */
struct raw_page {
	_Alignas(64) raw_word command; /* number of the command */
	_Alignas(64) raw_word done;    /* the last one that was carried out */
	_Alignas(64) raw_word ping;
	_Alignas(64) raw_word pong;
	_Alignas(64) raw_word armed; /* about to wait for this number */
	_Alignas(64) uint64_t t;     /* when it woke up */
	uint32_t what;
	uint32_t n;
	_Alignas(64) unsigned char other[256]; /* arguments of the case */
};

enum { RAW_PARKED, RAW_SPINNING, RAW_WAKE, RAW_OTHER };

struct raw_peer {
	struct raw_page *page;
	pid_t pid;
	int syscall_fd; /* /proc/PID/syscall */
};

/* Forks the peer: it runs on the second processor, this process on the first
 * from now on. Returns 0, or -1 with errno set. */
int raw_peer_start(struct raw_peer *p,
		   void (*other)(struct raw_page *page, uint32_t what));
/* Kills the peer and waits for its end. A zeroed one is fine. */
void raw_peer_stop(struct raw_peer *p);
/* Gives a command, and waits until it is carried out. A peer that died is -1
 * with errno ESRCH. */
void raw_peer_tell(struct raw_peer *p, uint32_t what, uint32_t n);
int raw_peer_wait(struct raw_peer *p);
/* Waits until the peer sleeps in a futex wait, or in the read of a socket, and its
 * processor has had the time to halt; -1 if it does not in 10 s. */
enum raw_sleep { RAW_IN_FUTEX, RAW_IN_SOCKET };
int raw_peer_asleep(const struct raw_peer *p, enum raw_sleep in);

/* ---- primitives; each adds n samples and returns 0, or -1 ---- */

/* There and back: both sides sleep in futex waits, or both spin. */
int raw_ping_pong(struct bench *b, struct raw_peer *p, bool spin, uint32_t n);
/* From before the wake, the sleeper seen asleep, to its first instruction. */
int raw_wake(struct bench *b, struct raw_peer *p, uint32_t n);
/* fork, exec of this very program, its end. */
int raw_fork_exec(struct bench *b, uint32_t n);

/* Waits until the word has the value, in futex waits or spinning. */
void raw_wait_until(raw_word *word, uint32_t value, bool spin);
/* Gives it the value and wakes who waits for it. */
void raw_set(raw_word *word, uint32_t value);

#endif /* MOBI_BENCH_RAW_H */
