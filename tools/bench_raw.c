/* SPDX-License-Identifier: Apache-2.0 */
/* The raw primitives. */
#define _GNU_SOURCE
#include "bench_raw.h"
#include "bench_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ASLEEP_LIMIT_NS UINT64_C(10000000000)
/* An idle processor polls for a while before it halts, and wakes sooner then:
 * every sleeper gets the time to halt. */
#define HALT_NS UINT64_C(300000)

static void futex_wait(raw_word *word, uint32_t value)
{
	/* Returns at a wake, a signal or another value: the caller looks. */
	(void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(raw_word *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- copying ---- */

/* A mapping of an unnamed file in tmpfs, all pages written. */
static void *map_tmpfs(size_t size)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	void *at;

	if (fd < 0) {
		return MAP_FAILED;
	}
	at = ftruncate(fd, (off_t)size) ?
		     MAP_FAILED :
		     mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);
	(void)close(fd);
	if (at != MAP_FAILED) {
		memset(at, 1, size);
	}
	return at;
}

int raw_copy_open(struct raw_copy *c, size_t size)
{
	c->size = size;
	c->from = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->from == MAP_FAILED) {
		c->from = NULL;
		return -1;
	}
	memset(c->from, 2, size);
	c->to = map_tmpfs(size);
	if (c->to == MAP_FAILED) {
		c->to = NULL;
		return -1;
	}
	return 0;
}

void raw_copy_close(struct raw_copy *c)
{
	if (c->from) {
		(void)munmap(c->from, c->size);
	}
	if (c->to) {
		(void)munmap(c->to, c->size);
	}
}

void raw_copy_times(struct bench *b, struct raw_copy *c, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t t = bench_now();

		memcpy(c->to, c->from, c->size);
		/* The copy is wanted, whatever the compiler thinks. */
		__asm__ volatile("" : : "r"(c->to) : "memory");
		bench_sample(b, bench_now() - t);
	}
}

void raw_wait_until(raw_word *word, uint32_t value, bool spin)
{
	uint32_t now;

	while ((now = atomic_load(word)) != value) {
		if (spin) {
			relax();
		} else {
			futex_wait(word, now);
		}
	}
}

void raw_set(raw_word *word, uint32_t value)
{
	atomic_store(word, value);
	futex_wake(word);
}

/* ---- the peer's side ---- */

static void peer_ping_pong(struct raw_page *page, bool spin)
{
	for (uint32_t i = 1; i <= page->n; i++) {
		raw_wait_until(&page->ping, i, spin);
		atomic_store(&page->pong, i);
		if (!spin) {
			futex_wake(&page->pong);
		}
	}
}

static void peer_wake(struct raw_page *page)
{
	for (uint32_t i = 1; i <= page->n; i++) {
		atomic_store(&page->armed, i);
		raw_wait_until(&page->ping, i, false);
		page->t = bench_now();
		raw_set(&page->pong, i);
	}
}

static void peer_loop(struct raw_page *page,
		      void (*other)(struct raw_page *page, uint32_t what))
{
	uint32_t number = 0;

	for (;;) {
		raw_wait_until(&page->command, ++number, false);
		switch (page->what) {
		case RAW_PARKED:
		case RAW_SPINNING:
			peer_ping_pong(page, page->what == RAW_SPINNING);
			break;
		case RAW_WAKE:
			peer_wake(page);
			break;
		default:
			other(page, page->what);
		}
		raw_set(&page->done, number);
	}
}

/* ---- the measuring side ---- */

int raw_peer_start(struct raw_peer *p,
		   void (*other)(struct raw_page *page, uint32_t what))
{
	char name[64];

	p->syscall_fd = -1;
	p->page = mmap(NULL, sizeof(*p->page), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->page == MAP_FAILED) {
		p->page = NULL;
		return -1;
	}
	if (bench_pin(0, 0)) {
		return -1;
	}
	p->pid = fork();
	if (p->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		peer_loop(p->page, other);
	}
	if (p->pid < 0) {
		p->pid = 0;
		return -1;
	}
	if (bench_pin(p->pid, 1)) {
		return -1;
	}
	(void)snprintf(name, sizeof(name), "/proc/%d/syscall", (int)p->pid);
	p->syscall_fd = open(name, O_RDONLY | O_CLOEXEC);
	return p->syscall_fd < 0 ? -1 : 0;
}

void raw_peer_stop(struct raw_peer *p)
{
	if (p->pid) {
		(void)kill(p->pid, SIGKILL); /* it may hang in a command */
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
		}
		p->pid = 0;
	}
	if (p->page) {
		(void)munmap(p->page, sizeof(*p->page));
		p->page = NULL;
		if (p->syscall_fd >= 0) {
			(void)close(p->syscall_fd);
		}
	}
}

void raw_peer_tell(struct raw_peer *p, uint32_t what, uint32_t n)
{
	p->page->what = what;
	p->page->n = n;
	atomic_store(&p->page->ping, 0);
	atomic_store(&p->page->pong, 0);
	atomic_store(&p->page->armed, 0);
	(void)atomic_fetch_add(&p->page->command, 1);
	futex_wake(&p->page->command);
}

int raw_peer_wait(struct raw_peer *p)
{
	uint32_t number = atomic_load(&p->page->command);
	struct timespec limit = { 0, 100000000 };
	uint32_t now;

	while ((now = atomic_load(&p->page->done)) != number) {
		(void)syscall(SYS_futex, &p->page->done, FUTEX_WAIT, now,
			      &limit, NULL, 0);
		if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
			p->pid = 0;
			errno = ESRCH;
			return -1;
		}
	}
	return 0;
}

static bool sleeps_in(long call, enum raw_sleep in)
{
	return in == RAW_IN_FUTEX ? call == SYS_futex :
				    call == SYS_read || call == SYS_recvfrom;
}

int raw_peer_asleep(const struct raw_peer *p, enum raw_sleep in)
{
	uint64_t end = bench_now() + ASLEEP_LIMIT_NS;
	char text[64];
	ssize_t n;

	/* "202 0x7f... ": the number of the call that it sleeps in. */
	do {
		n = pread(p->syscall_fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = 0;
		if (n > 0 && text[0] != 'r' &&
		    sleeps_in(strtol(text, NULL, 10), in)) {
			end = bench_now() + HALT_NS;
			while (bench_now() < end) {
			}
			return 0;
		}
		(void)sched_yield();
	} while (n >= 0 && bench_now() < end);
	return -1;
}

int raw_ping_pong(struct bench *b, struct raw_peer *p, bool spin, uint32_t n)
{
	struct raw_page *page = p->page;

	raw_peer_tell(p, spin ? RAW_SPINNING : RAW_PARKED, n);
	for (uint32_t i = 1; i <= n; i++) {
		uint64_t t = bench_now();

		atomic_store(&page->ping, i);
		if (!spin) {
			futex_wake(&page->ping);
		}
		raw_wait_until(&page->pong, i, spin);
		if (i > n / 10) {
			bench_sample(b, bench_now() - t);
		}
	}
	return raw_peer_wait(p);
}

int raw_wake(struct bench *b, struct raw_peer *p, uint32_t n)
{
	struct raw_page *page = p->page;

	raw_peer_tell(p, RAW_WAKE, n);
	for (uint32_t i = 1; i <= n; i++) {
		uint64_t t;

		while (atomic_load(&page->armed) != i) {
			(void)sched_yield();
		}
		if (raw_peer_asleep(p, RAW_IN_FUTEX)) {
			return bench_fail(b, "the peer is not seen asleep");
		}
		t = bench_now();
		raw_set(&page->ping, i);
		raw_wait_until(&page->pong, i, false);
		bench_sample(b, page->t > t ? page->t - t : 0);
	}
	return raw_peer_wait(p);
}

int raw_fork_exec(struct bench *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t t = bench_now();
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

			(void)dup2(fd, STDOUT_FILENO);
			(void)execl("/proc/self/exe", "mob", "version",
				    (char *)NULL);
			_exit(127);
		}
		if (pid < 0) {
			return bench_fail(b, "fork: %s", strerror(errno));
		}
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			return bench_fail(b, "exec of this program failed");
		}
		bench_sample(b, bench_now() - t);
	}
	return 0;
}
