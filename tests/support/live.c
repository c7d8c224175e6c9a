/* SPDX-License-Identifier: Apache-2.0 */
/* A session with workers, for tests whose main is MOB_MAIN. */
#define _GNU_SOURCE
#include "live.h"

#include "domain.h"
#include "fault.h"
#include "node.h"
#include "os_clock.h"
#include "os_run.h"
#include "policy_row.h"
#include "pool.h"
#include "repeat.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE (LIVE_SLOW > 1 ? 300 : 60)

static void start(const struct live_session *s)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	int rc;

	opts.session = s->name;
	opts.workers = s->workers;
	opts.policy = s->policy;
	opts.store_bytes = s->store_bytes ? s->store_bytes : 64 << 20;
	rc = mob_init(&opts);
	if (rc < 0) {
		fail_msg("mob_init: %s: %s", mob_err_name(rc),
			 mob_err_detail(rc));
	}
}

void live_start_with(int32_t workers, const char *policy)
{
	const struct live_session s = { .workers = workers, .policy = policy };

	start(&s);
}

void live_start(int32_t workers)
{
	live_start_with(workers, NULL);
}

int live_start_one(void **state)
{
	(void)state;
	live_start(1);
	return 0;
}

int live_start_two(void **state)
{
	(void)state;
	live_start(2);
	return 0;
}

bool live_await(bool (*fn)(void *arg), void *arg)
{
	uint64_t end = mobi_now_ns() +
		       test_count("MOB_TEST_PATIENCE", PATIENCE, PATIENCE) *
			       (uint64_t)MOB_SEC;

	while (!fn(arg)) {
		if (mobi_now_ns() > end) {
			return false;
		}
		mobi_pause_ns(MOB_MS / 5);
	}
	return true;
}

uint32_t live_tasks(void)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);
	uint32_t n = 0;

	for (uint32_t i = 0; i < end; i++) {
		n += MOBI_STATE(mobi_load(&s->recs[i].word)) != MOBI_R_FREE;
	}
	return n;
}

uint32_t live_objects(void)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_SLOT);
	uint32_t n = 0;

	for (uint32_t i = 0; i < end; i++) {
		uint32_t st = MOBI_STATE(mobi_load(&s->slots[i].word));

		n += st != MOBI_S_FREE && st != MOBI_S_WORN;
	}
	return n;
}

static bool has_tasks(void *arg)
{
	return live_tasks() == *(const uint32_t *)arg;
}

bool live_await_tasks(uint32_t n)
{
	return live_await(has_tasks, &n);
}

uint64_t live_used_bytes(void)
{
	struct mob_store_stat st;

	assert_int_equal(mob_store_stat(mobi_rt.store, &st), 0);
	return st.arena_used_bytes;
}

uint32_t live_slots_used(void)
{
	return mobi_pool_used(mobi_rt.store, MOBI_POOL_SLOT);
}

void live_pends(int code, const char *part)
{
	assert_int_equal(mob_error_code(), code);
	if (!strstr(mob_error(), part)) {
		fail_msg("'%s' is not in: %s", part, mob_error());
	}
	mob_error_clear();
}

/* As a driver does that waits: if all others have died, it starts a daemon. */
static void look_for_daemon(void)
{
	static uint64_t next_ns;
	uint64_t now = mobi_now_ns();

	if (now >= next_ns) {
		next_ns = now + 250 * (uint64_t)MOB_MS;
		mobi_node_poll(mobi_rt.store);
	}
}

static bool is_quiet(void *arg)
{
	const uint32_t *objects = arg;

	look_for_daemon();
	return live_tasks() == 0 && live_objects() <= *objects;
}

static void say(const char *line, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "audit: %s\n", line);
}

static bool is_clean(void *arg)
{
	(void)arg;
	return mob_store_check(mobi_rt.store, NULL, NULL) == 0;
}

int live_audit(uint32_t objects)
{
	/* This one's own, which are held for the next call. */
	(void)mobi_repeat_drop();
	if (!live_await(is_quiet, &objects)) {
		(void)fprintf(stderr, "not quiet: %u tasks, %u objects\n",
			      live_tasks(), live_objects());
		return mob_store_check(mobi_rt.store, say, NULL) ? -1 : -2;
	}
	/* A worker may be about to end what it did, a daemon to reap. */
	return live_await(is_clean, NULL) ?
		       0 :
		       mob_store_check(mobi_rt.store, say, NULL);
}

static struct mob_scope scope;

int live_open(void **state)
{
	(void)state;
	scope = mob_scope_open();
	return 0;
}

int live_clean(void **state)
{
	int bad = 0;

	(void)state;
	mob_scope_close(&scope);
	if (mob_error_code()) {
		(void)fprintf(stderr, "left pending: %s\n", mob_error());
		mob_error_clear();
		bad = 1;
	}
	return live_audit(0) || bad ? -1 : 0;
}

const char *live_session_name(void)
{
	static char name[40];

	(void)snprintf(name, sizeof(name), "live-%u", mobi_proc_self().pid);
	return name;
}

int live_leave(void **state)
{
	(void)state;
	(void)unsetenv("MOBULA_FAULT");
	(void)unsetenv("MOBULA_EXTRA_WORKERS");
	mob_shutdown();
	mob_error_clear();
	if (mob_session_stop(live_session_name(), 0) == 0) {
		print_message("session %s was left\n", live_session_name());
	}
	return 0;
}

/* ---- sessions of a test ---- */

void live_begin(const struct live_session *s)
{
	if (s->fault) {
		assert_int_equal(setenv("MOBULA_FAULT", s->fault, 1), 0);
#ifdef MOB_FAILPOINTS
		mobi_fault_arm("");
#endif
	}
	start(s);
	if (s->ledger) {
		live_ledger_open(s->ledger, s->words);
	}
	scope = mob_scope_open();
}

void live_end(const struct live_session *s)
{
	mob_scope_close(&scope);
	assert_int_equal(live_audit(0), 0);
	if (s->ledger) {
		live_ledger_close(s->ledger);
	}
	mob_shutdown();
	if (s->name) {
		assert_int_equal(mob_session_stop(s->name, MOB_SEC), 0);
	}
	if (s->fault) {
		assert_int_equal(unsetenv("MOBULA_FAULT"), 0);
	}
}

void live_each_fault(const struct live_session *s, const char *const *faults,
		     size_t n, void (*body)(size_t i))
{
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	for (size_t i = 0; i < n; i++) {
		struct live_session with = *s;

		print_message("%s\n", faults[i]);
		with.fault = faults[i];
		live_begin(&with);
		body(i);
		live_end(&with);
	}
}

/* ---- processes ---- */

static uint32_t nth_worker(uint32_t i, uint32_t *out_pid)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t n = 0;

	for (uint32_t c = 1; c < MOBI_CLIENTS; c++) {
		uint64_t w = mobi_load(&s->clients[c].word);

		if (MOBI_STATE(w) != MOBI_CLIENT_LIVE ||
		    MOBI_ROLE(w) != MOBI_ROLE_WORKER ||
		    !mobi_proc_alive(&s->clients[c].proc)) {
			continue;
		}
		if (n++ == i && out_pid) {
			*out_pid = s->clients[c].proc.pid;
		}
	}
	return n;
}

uint32_t live_workers(void)
{
	return nth_worker(0, NULL);
}

int live_worker(uint32_t i)
{
	uint32_t pid = 0;

	(void)nth_worker(i, &pid);
	return (int)pid;
}

int live_daemon(void)
{
	struct mobi_sched *sh = mobi_rt.sched;

	return mobi_lock_held(&sh->daemon) ? (int)mobi_load(&sh->daemon_pid) :
					     0;
}

bool live_is_stopped(int pid)
{
	char path[64];
	char line[256] = "";
	const char *end = NULL;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof(line), f)) {
		end = strrchr(line, ')');
	}
	if (f) {
		(void)fclose(f);
	}
	return end && end[2] == 'T';
}

int live_spawn(const char *arg, const char *arg2)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/proc/self/exe", "test-child", arg, arg2,
			    (char *)NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	return pid;
}

int live_collect(int pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- policies ---- */

int live_swap(const char *name_or_path, bool check)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_sched *sh = mobi_rt.sched;
	uint32_t row;
	int rc = mobi_policy_row_add(
		s, name_or_path,
		check ? MOBI_POLICY_TRIAL : MOBI_POLICY_NO_TRIAL, &row);

	while (rc >= 0) {
		rc = mobi_domain_next(s, mobi_load(&sh->cur), row);
		if (rc != MOB_E_AGAIN && rc != MOB_E_BUSY) {
			break;
		}
		rc = 0;
		mobi_pause_ns(MOB_MS);
	}
	if (rc >= 0) {
		mobi_wake_worker(s);
	}
	return rc;
}

const char *live_policy(void)
{
	struct mobi_sched *sh = mobi_rt.sched;
	uint32_t i = MOBI_CUR_INDEX(mobi_load(&sh->cur));
	uint32_t row = sh->gens[i].policy % MOBI_POLICIES;

	return row ? sh->policy[row].name : "fifo";
}

uint64_t live_ejections(void)
{
	return mobi_load(&mobi_rt.sched->ejections);
}

/* ---- random ---- */

uint64_t live_seed(const char *what)
{
	(void)printf("%s: ", what);
	return test_seed();
}

uint64_t live_random(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* ---- ledger ---- */

static _Atomic uint64_t *map_counters(const char *path, size_t *io_n, bool make)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT | O_EXCL : 0),
		      0600);
	void *at;

	if (fd < 0) {
		return NULL;
	}
	if (make && ftruncate(fd, (off_t)(*io_n * sizeof(uint64_t)))) {
		(void)close(fd);
		return NULL;
	}
	*io_n = (size_t)lseek(fd, 0, SEEK_END) / sizeof(uint64_t);
	at = mmap(NULL, *io_n * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		  MAP_SHARED, fd, 0);
	(void)close(fd);
	return at == MAP_FAILED ? NULL : at;
}

void live_ledger_open(struct live_ledger *l, size_t n)
{
	static unsigned serial;

	(void)snprintf(l->path, sizeof(l->path), "%s/ledger-%u",
		       mobi_rt.store->path, serial++);
	l->n = n;
	l->at = map_counters(l->path, &l->n, true);
	assert_non_null(l->at);
}

void live_ledger_close(struct live_ledger *l)
{
	(void)munmap((void *)(uintptr_t)l->at, l->n * sizeof(uint64_t));
	(void)unlink(l->path);
}

struct word {
	const _Atomic uint64_t *at;
	uint64_t least;
};

static bool has_word(void *arg)
{
	const struct word *w = arg;

	return mobi_load(w->at) >= w->least;
}

bool live_ledger_await(const struct live_ledger *l, size_t i, uint64_t v)
{
	struct word w = { &l->at[i], v };

	return live_await(has_word, &w);
}

static size_t counters; /* in the file that is mapped */

/* A counter in a process that runs tasks; the last file stays mapped. */
static _Atomic uint64_t *counter(const char *path, uint64_t i)
{
	static char mapped[256];
	static _Atomic uint64_t *at;

	if (strcmp(path, mapped)) {
		counters = 0;
		at = map_counters(path, &counters, false);
		(void)snprintf(mapped, sizeof(mapped), "%s", path);
	}
	return at && i < counters ? &at[i] : NULL;
}

uint64_t live_ledger_add(const char *path, uint64_t i)
{
	_Atomic uint64_t *c = counter(path, i);

	return c ? mobi_fetch_add(c, UINT64_C(1)) : UINT64_MAX;
}

uint64_t live_ledger_get(const char *path, uint64_t i)
{
	_Atomic uint64_t *c = counter(path, i);

	return c ? mobi_load(c) : UINT64_MAX;
}

void live_ledger_sub(const char *path, uint64_t i, uint64_t n)
{
	_Atomic uint64_t *c = counter(path, i);

	if (c) {
		(void)mobi_fetch_sub(c, n);
	}
}

void live_ledger_max(const char *path, uint64_t i, uint64_t v)
{
	_Atomic uint64_t *c = counter(path, i);
	uint64_t have = c ? mobi_load(c) : v;

	while (have < v && !mobi_cas64(c, &have, v)) {
	}
}

/* ---- once ---- */

enum { ONCE_MARKS, ONCE_TWICE, ONCE_FULL, ONCE_TABLE };

static void once_path(char *out, size_t size)
{
	(void)snprintf(out, size, "%s/once", mobi_rt.store->path);
}

void live_once_begin(size_t marks)
{
	char path[256];
	size_t n = ONCE_TABLE + 2 * marks;
	_Atomic uint64_t *at;

	once_path(path, sizeof(path));
	at = map_counters(path, &n, true);
	assert_non_null(at);
	(void)munmap((void *)(uintptr_t)at, n * sizeof(uint64_t));
}

void live_once(void)
{
	const struct mobi_context *c = mobi_context();
	uint64_t mark = ((uint64_t)MOBI_GEN(c->task) << 22 | (uint32_t)c->task)
				<< 10 |
			(c->attempt & 0x3ff);
	uint64_t seed = ++mark; /* 0 is nobody's */
	char path[256];
	_Atomic uint64_t *head;
	size_t n;

	_Static_assert(MOBI_RECS <= 1u << 22, "a mark has 22 bits of record");
	once_path(path, sizeof(path));
	head = counter(path, 0);
	if (!head) {
		return;
	}
	n = counters - ONCE_TABLE;
	(void)mobi_fetch_add(&head[ONCE_MARKS], UINT64_C(1));
	for (size_t i = live_random(&seed) % n, k = 0; k < n; k++) {
		_Atomic uint64_t *at = &head[ONCE_TABLE + (i + k) % n];
		uint64_t have = 0;

		if (mobi_cas64(at, &have, mark)) {
			return;
		}
		if (have == mark) {
			(void)mobi_fetch_add(&head[ONCE_TWICE], UINT64_C(1));
			return;
		}
	}
	(void)mobi_fetch_add(&head[ONCE_FULL], UINT64_C(1));
}

uint64_t live_once_end(uint64_t *out_twice)
{
	char path[256];
	size_t n = 0;
	_Atomic uint64_t *at;
	uint64_t marks;

	once_path(path, sizeof(path));
	at = map_counters(path, &n, false);
	assert_non_null(at);
	assert_int_equal(at[ONCE_FULL], 0);
	*out_twice = at[ONCE_TWICE];
	marks = at[ONCE_MARKS];
	(void)munmap((void *)(uintptr_t)at, n * sizeof(uint64_t));
	assert_int_equal(unlink(path), 0);
	return marks;
}
