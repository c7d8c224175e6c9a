/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with workers, for tests whose main is MOB_MAIN: start it, look
 * inside, kill parts of it, and say whether all is back to nothing.
 */
#ifndef MOBI_TEST_LIVE_H
#define MOBI_TEST_LIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime.h"
#include "test_count.h"

#include <mobula/mobula.h>
#include <mobula/session.h>

/* How much longer things take than usually. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIVE_SLOW 10
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define LIVE_SLOW 10
#endif
#endif
#ifndef LIVE_SLOW
#define LIVE_SLOW 1
#endif

/* Starts a private session of so many workers and 64 MiB; fails the test if it
 * cannot. */
void live_start(int32_t workers);
/* The same with a policy. */
void live_start_with(int32_t workers, const char *policy);

/* Set-ups of a group: a session of one worker, of two. live_leave ends it. */
int live_start_one(void **state);
int live_start_two(void **state);

/* Asks again and again, for a minute (five under a sanitizer; MOB_TEST_PATIENCE: so
 * many seconds), until fn says true. */
bool live_await(bool (*fn)(void *arg), void *arg);

/* Tasks that have a record, and objects that exist. */
uint32_t live_tasks(void);
uint32_t live_objects(void);
/* Waits until so many tasks have one; false as live_await. */
bool live_await_tasks(uint32_t n);
/* Bytes of the store that are in use. */
uint64_t live_used_bytes(void);
/* Slots that were ever taken: a loop in constant memory does not raise it. */
uint32_t live_slots_used(void);

/* An error of this code pends, and has this text in it; from now on none does. */
void live_pends(int code, const char *part);

/* No task is left and no more than `objects` objects; then the audit, which
 * prints what it finds. Findings, or negative if it never became quiet. */
int live_audit(uint32_t objects);

/* Set-up and tear-down of a test: what it makes goes with it, nothing pends, and
 * the audit is clean. */
int live_open(void **state);
int live_clean(void **state);
/* Tear-down of one that begins a session itself: no fault is left armed, and no session. */
int live_leave(void **state);

/* Living workers; pid of the i-th of them, 0 if there is none. */
uint32_t live_workers(void);
int live_worker(uint32_t i);
int live_daemon(void);
/* A process that a signal has stopped. */
bool live_is_stopped(int pid);

/* Swaps the policy; with check false without the trial that refuses bad ones. */
int live_swap(const char *name_or_path, bool check);
/* Name of the policy that decides now; "" if that cannot be told. */
const char *live_policy(void);
uint64_t live_ejections(void);

/* Starts this program again with one argument, as nobody's worker. Its pid. */
int live_spawn(const char *arg, const char *arg2);
/* Collects it: exit code, or -signal. */
int live_collect(int pid);

/* Seed of random tests: from MOB_TEST_SEED, else the clock; printed. */
uint64_t live_seed(const char *what);
uint64_t live_random(uint64_t *seed);

/* A file of counters, one 64-bit word each, in the session directory: survives
 * the death of every process that counts. */
struct live_ledger {
	_Atomic uint64_t *at;
	size_t n;
	char path[256];
};
void live_ledger_open(struct live_ledger *l, size_t n);
void live_ledger_close(struct live_ledger *l);
/* For tasks: adds one to counter i of the file; returns what it was. */
uint64_t live_ledger_add(const char *path, uint64_t i);
/* What it is now. */
uint64_t live_ledger_get(const char *path, uint64_t i);
/* Takes n from it; raises it to at least v. */
void live_ledger_sub(const char *path, uint64_t i, uint64_t n);
void live_ledger_max(const char *path, uint64_t i, uint64_t v);

/* Waits until it is at least v; false as live_await. */
bool live_ledger_await(const struct live_ledger *l, size_t i, uint64_t v);

/* Are failpoints compiled in? Without them a test that needs some skips. */
#ifdef MOB_FAILPOINTS
#define LIVE_FAILPOINTS 1
#else
#define LIVE_FAILPOINTS 0
#endif

/*
 * A session that a test begins and ends itself, with a scope of its own. What is zero
 * is the default.
 */
struct live_session {
	const char *name; /* a private one; else it is stopped at the end */
	int32_t workers;
	const char *policy;
	uint64_t store_bytes; /* 64 MiB */
	const char *fault; /* of its daemon and workers: this process lives */
	struct live_ledger *ledger; /* is open meanwhile, with so many words */
	size_t words;
};
void live_begin(const struct live_session *s);
/* For a session of this program that others attach to: live_leave stops it if a test
 * that failed has left it. */
const char *live_session_name(void);
/* The audit has to be clean. */
void live_end(const struct live_session *s);

/*
 * For each of n faults, such as "graph.done=kill@7": begins a session with it, calls
 * body with its index, and ends the session. s->fault is not read.
 */
void live_each_fault(const struct live_session *s, const char *const *faults,
		     size_t n, void (*body)(size_t i));

/*
 * No task runs twice at the same attempt: tasks that call live_once mark
 * {generation, record, attempt} in a file of the session, in which each may stand
 * once. end gives how many marks there were, and how many more than once.
 */
void live_once_begin(size_t marks);
void live_once(void);
uint64_t live_once_end(uint64_t *out_twice);

#endif /* MOBI_TEST_LIVE_H */
