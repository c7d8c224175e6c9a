/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions seen from outside: what is listed while it runs, swapping the
 * policy below queued tasks, stopping, and removing what the dead left.
 *
 * All sessions of this program are in a directory of its own. A task that is to
 * last reads from a named pipe: opening the other end proves that it runs,
 * closing it ends it.
 */
#define _GNU_SOURCE
#include "live.h"

#include "os_dir.h"
#include "os_run.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUEUED 200

static char dir[64] = "/dev/shm/mob-inspect-XXXXXX";

/* ---- tasks ---- */

MOB_TASK(int64_t, hold, mob_str, gate)
{
	char c;
	int fd = open(gate, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &c, 1) < 0) {
		mob_fail(1, "no gate");
	}
	(void)close(fd);
	return 1;
}

MOB_TASK(int64_t, hold_below, mob_str, gate)
{
	int64_t x = 0;

	mob_get(mob_submit(hold, gate), &x);
	return x + 1;
}

MOB_TASK(int64_t, add, int64_t, a, int64_t, b)
{
	return a + b;
}

/* Another queue is open meanwhile, on which nobody sleeps. */
MOB_TASK(int64_t, hold_two, mob_str, one, mob_str, two)
{
	mob_ref refs[2] = { mob_submit(hold, one), mob_submit(hold, two) };
	int64_t x[2] = { 0, 0 };
	struct mob_queue *other;

	if (mob_queue_open(&other)) {
		return -1;
	}
	mob_queue_add(other, mob_submit(add, refs[1], 1), 0);
	mob_get_all(refs, 2, x);
	mob_queue_close(other);
	return x[0] + x[1];
}

/* Reads x, and not what the plain ref names. */
MOB_TASK(int64_t, total, mob_args, list, mob_ref, plain, int64_t, x)
{
	int64_t sum = x + mob_ref_is_none(plain);

	for (size_t i = 0; i < list.n; i++) {
		int64_t v;

		mob_args_get(list, i, &v);
		sum += v;
	}
	return sum;
}

/* Takes one byte of the pipe. */
MOB_TASK(int64_t, square, mob_str, gate, int64_t, x)
{
	char c;
	int fd = open(gate, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &c, 1) != 1) {
		mob_fail(1, "no token");
	}
	(void)close(fd);
	return x * x;
}

/* ---- gates ---- */

struct gate {
	char path[96];
};

static struct gate gate_make(const char *name)
{
	struct gate g;

	(void)snprintf(g.path, sizeof(g.path), "%s/%s", dir, name);
	(void)unlink(g.path);
	assert_int_equal(mkfifo(g.path, 0600), 0);
	return g;
}

/* Returns when the task is there, and lets it go. */
static void gate_open(const struct gate *g)
{
	int fd = open(g->path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

/* ---- looking ---- */

struct found {
	const char *name;
	uint32_t driver_pid; /* 0: by name */
	bool there;
	uint32_t state;
	uint32_t daemon_pid;
	uint32_t workers;
	uint32_t processes;
	uint64_t age_ns;
	uint64_t file_bytes;
	char program[64];
	char path[256];
	char own_name[64];
};

static int find_session(const struct mob_session_info *s, void *arg)
{
	struct found *f = arg;

	if (f->driver_pid ? s->driver_pid != f->driver_pid :
			    strcmp(s->name, f->name) != 0) {
		return 0;
	}
	f->there = true;
	f->state = s->state;
	f->daemon_pid = s->daemon_pid;
	f->workers = s->workers;
	f->processes = s->processes;
	f->age_ns = s->age_ns;
	f->file_bytes = s->file_bytes;
	(void)snprintf(f->program, sizeof(f->program), "%s", s->program);
	(void)snprintf(f->path, sizeof(f->path), "%s", s->path);
	(void)snprintf(f->own_name, sizeof(f->own_name), "%s", s->name);
	return 7;
}

/* Is it there, with two workers? */
static bool runs(void *arg)
{
	struct found *f = arg;

	f->there = false;
	(void)mob_session_each(find_session, f);
	return f->there && f->state == MOB_SESSION_RUNNING && f->workers == 2;
}

static struct mob_session *current(void)
{
	struct mob_session *s = NULL;

	assert_int_equal(mob_session_current(&s), 0);
	return s;
}

/* The tasks of a session, those of each name one row. */
#define ROWS 16
struct rows {
	struct mob_task_info task[ROWS];
	char name[ROWS][32];
	uint32_t n;
};

static int add_row(const struct mob_task_info *t, void *arg)
{
	struct rows *r = arg;

	if (r->n < ROWS && t->state != MOB_TASK_STATE_DONE) {
		r->task[r->n] = *t;
		(void)snprintf(r->name[r->n], sizeof(r->name[0]), "%s",
			       t->name);
		r->n++;
	}
	return 0;
}

static const struct mob_task_info *row_of(const struct rows *r,
					  const char *name)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (strcmp(r->name[i], name) == 0) {
			return &r->task[i];
		}
	}
	return NULL;
}

struct want {
	struct mob_session *s;
	struct rows rows;
	const char *name;
	uint32_t state;
	uint32_t waits;
	bool (*more)(struct want *w);
};

/* Is there a task of this name in this state that waits for so many? */
static bool is_so(void *arg)
{
	struct want *w = arg;
	const struct mob_task_info *t;

	w->rows.n = 0;
	if (mob_session_tasks(w->s, add_row, &w->rows)) {
		return false;
	}
	t = row_of(&w->rows, w->name);
	return t && t->state == w->state && t->waits == w->waits &&
	       (!w->more || w->more(w));
}

/* ---- listing ---- */

struct crew {
	uint32_t n;
	uint32_t blocked;
	uint32_t pid[8];
	char blocked_name[32];
	bool ok;
};

static int add_worker(const struct mob_worker_info *w, void *arg)
{
	struct crew *c = arg;

	c->pid[c->n++ % 8] = w->pid;
	c->ok &= w->struct_size == sizeof(*w) && w->number > 0 &&
		 w->number < 64 && w->threads >= 1 &&
		 w->private_bytes >= 4096 && w->private_bytes < 1u << 30 &&
		 w->age_ns > 0 && w->state >= MOB_WORKER_STARTING &&
		 w->state <= MOB_WORKER_BLOCKED;
	if (w->state == MOB_WORKER_BLOCKED) {
		c->blocked++;
		c->ok &= w->task != 0;
		(void)snprintf(c->blocked_name, sizeof(c->blocked_name), "%s",
			       w->task_name);
	}
	return 0;
}

static void test_session_running_is_listed_with_workers(void **state)
{
	struct found f = { .driver_pid = (uint32_t)getpid() };
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct crew c = { .ok = true };
	struct mob_session *s;

	(void)state;
	live_start(2);
	assert_true(live_await(runs, &f));
	assert_string_equal(f.program, "test_multi_inspect");
	assert_true(f.daemon_pid > 0);
	assert_int_equal(f.processes, 4);
	assert_true(f.age_ns > 0);
	assert_true(f.file_bytes > 1 << 20);
	s = current();
	assert_int_equal(mob_session_workers(s, add_worker, &c), 0);
	assert_int_equal(c.n, 2);
	assert_true(c.ok);
	assert_int_not_equal(c.pid[0], c.pid[1]);
	assert_int_equal(mob_session_describe(s, &info), 0);
	assert_int_equal(info.driver_pid, getpid());
	assert_int_equal(info.workers, 2);
	assert_string_equal(info.path, f.path);
	mob_session_close(s);
	assert_int_equal(mob_session_open(f.own_name, &s), 0);
	mob_session_close(s);
	mob_shutdown();
	f.there = false;
	assert_int_equal(mob_session_each(find_session, &f), 0);
	assert_false(f.there);
}

static void test_describe_short_struct_is_not_overrun(void **state)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct mob_session *s;

	(void)state;
	live_start(1);
	s = current();
	info.struct_size = 8;
	info.name = "kept";
	assert_int_equal(mob_session_describe(s, &info), 0);
	assert_int_equal(info.struct_size, 8);
	assert_int_equal(info.state, MOB_SESSION_RUNNING);
	assert_string_equal(info.name, "kept");
	info.struct_size = 0;
	assert_int_equal(mob_session_describe(s, &info), MOB_E_VERSION);
	mob_session_close(s);
	mob_shutdown();
}

/* `add` waits for the first hold, `hold_below` for the one that it made. */
static bool others_are_so(struct want *w)
{
	const struct mob_task_info *add_row_ = row_of(&w->rows, "add");

	return add_row_ && add_row_->state == MOB_TASK_STATE_WAITING;
}

struct one {
	uint64_t id;
	int calls;
};

static int see_one(const struct mob_task_info *t, void *arg)
{
	struct one *o = arg;

	o->calls++;
	return t->id == o->id ? 42 : 0;
}

static void check_waits(struct want *w, mob_ref first)
{
	const struct mob_task_info *below = row_of(&w->rows, "hold_below");
	const struct mob_task_info *sum = row_of(&w->rows, "add");
	const struct mob_task_info *maker = NULL;
	struct one o = { .calls = 0 };

	assert_true(mob_ref_equal(sum->waits_for, first));
	assert_int_equal(sum->waits, 1);
	assert_int_equal(sum->n_args, 1);
	assert_int_equal(sum->n_returns, 1);
	assert_int_equal(sum->attempt, 0);
	assert_int_equal(sum->worker, 0);
	assert_int_equal(below->n_args, 0);
	assert_int_equal(below->attempt, 1);
	assert_true(below->worker_pid > 0);
	assert_true(below->run_ns > 0);
	assert_true(below->age_ns >= below->run_ns);
	for (uint32_t i = 0; i < w->rows.n; i++) {
		const struct mob_task_info *t = &w->rows.task[i];

		if (t->id == below->waits_for_task) {
			maker = t;
		}
		if (t->id == sum->waits_for_task) {
			assert_true(mob_ref_equal(t->ret, first));
			o.calls++;
		}
	}
	assert_int_equal(o.calls, 1);
	assert_non_null(maker);
	assert_true(mob_ref_equal(maker->ret, below->waits_for));
	o.calls = 0;
	o.id = sum->id;
	assert_int_equal(mob_session_task(w->s, sum->id, see_one, &o), 42);
	assert_int_equal(o.calls, 1);
	assert_int_equal(mob_session_task(w->s, sum->id + (UINT64_C(1) << 32),
					  see_one, &o),
			 MOB_E_NOT_FOUND);
	assert_int_equal(mob_session_task(w->s, 0, see_one, &o),
			 MOB_E_NOT_FOUND);
	assert_int_equal(o.calls, 1);
}

static void test_task_blocked_shows_what_it_waits_for(void **state)
{
	struct gate one = gate_make("one");
	struct gate two = gate_make("two");
	struct want w = { .name = "hold_below",
			  .state = MOB_TASK_STATE_BLOCKED,
			  .waits = 1,
			  .more = others_are_so };
	struct crew c = { .ok = true };
	mob_ref first, below, sum;
	int64_t x = 0;

	(void)state;
	live_start(2);
	w.s = current();
	first = mob_submit(hold, (mob_str)one.path);
	below = mob_submit(hold_below, (mob_str)two.path);
	sum = mob_submit(add, first, 5);
	assert_true(live_await(is_so, &w));
	check_waits(&w, first);
	assert_int_equal(mob_session_workers(w.s, add_worker, &c), 0);
	assert_true(c.ok);
	assert_int_equal(c.blocked, 1);
	assert_string_equal(c.blocked_name, "hold_below");
	gate_open(&one);
	gate_open(&two);
	assert_int_equal(mob_get(sum, &x), 0);
	assert_int_equal(x, 6);
	assert_int_equal(mob_get(below, &x), 0);
	assert_int_equal(x, 2);
	mob_session_close(w.s);
	mob_shutdown();
}

static void test_task_blocked_on_many_shows_how_many(void **state)
{
	struct gate one = gate_make("one");
	struct gate two = gate_make("two");
	struct want w = { .name = "hold_two",
			  .state = MOB_TASK_STATE_BLOCKED,
			  .waits = 2 };
	const struct mob_task_info *t;
	mob_ref both;
	int64_t x = 0;

	(void)state;
	live_start(2);
	w.s = current();
	both = mob_submit(hold_two, (mob_str)one.path, (mob_str)two.path);
	assert_true(live_await(is_so, &w));
	t = row_of(&w.rows, "hold_two");
	assert_false(mob_ref_is_none(t->waits_for));
	assert_true(t->waits_for_task != 0);
	w.waits = 1;
	gate_open(&one);
	assert_true(live_await(is_so, &w));
	gate_open(&two);
	assert_int_equal(mob_get(both, &x), 0);
	assert_int_equal(x, 2);
	mob_session_close(w.s);
	mob_shutdown();
}

#define MANY 150
#define PUT 10

static void test_task_with_many_arguments_shows_the_first(void **state)
{
	struct gate one = gate_make("one");
	struct gate two = gate_make("two");
	struct want w = { .name = "total",
			  .state = MOB_TASK_STATE_WAITING,
			  .waits = MANY - PUT };
	const struct mob_task_info *t;
	mob_ref refs[MANY];
	mob_ref sum;
	int64_t x = 0;

	(void)state;
	live_start(2);
	w.s = current();
	for (size_t i = 0; i < PUT; i++) {
		refs[i] = mob_put((int64_t)1);
	}
	refs[PUT] = mob_submit(hold, (mob_str)one.path);
	refs[PUT + 1] = mob_submit(hold, (mob_str)two.path);
	for (size_t i = PUT + 2; i < MANY; i++) {
		refs[i] = refs[PUT + 1];
	}
	sum = mob_submit(total, mob_args_of(refs, MANY), refs[PUT], 5);
	assert_true(live_await(is_so, &w));
	t = row_of(&w.rows, "total");
	assert_int_equal(t->n_args, MANY + 1);
	assert_true(mob_ref_equal(t->waits_for, refs[PUT]));
	gate_open(&one);
	w.waits = MANY - PUT - 1;
	assert_true(live_await(is_so, &w));
	t = row_of(&w.rows, "total");
	assert_true(mob_ref_equal(t->waits_for, refs[PUT + 1]));
	gate_open(&two);
	assert_int_equal(mob_get(sum, &x), 0);
	assert_int_equal(x, MANY + 5);
	mob_session_close(w.s);
	mob_shutdown();
}

/* ---- swap ---- */

/* Gives tokens whenever a swap was committed: so a worker comes and takes the
 * new generation over, and most tasks stay queued. */
struct feeder {
	struct mob_session *s;
	int fd;
	_Atomic int stop;
	int rc;
};

static void *feed(void *arg)
{
	struct feeder *f = arg;
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	uint64_t seen = 0;

	while (!mobi_load(&f->stop) && !f->rc) {
		f->rc = mob_session_stats(f->s, &st);
		if (!f->rc && st.swaps > seen) {
			seen = st.swaps;
			f->rc = write(f->fd, "xx", 2) == 2 ? 0 : -1;
		}
		mobi_pause_ns(MOB_MS / 5);
	}
	return NULL;
}

/* Workers that found their task at once have not placed the later ones. */
static bool all_but_two_wait(void *arg)
{
	struct mob_policy_info p = MOB_POLICY_INFO_INIT;

	return mob_session_policy(arg, &p) == 0 && p.running == 2 &&
	       p.ready + p.queued == QUEUED - 2;
}

static void check_policy(struct mob_session *s, const char *name,
			 uint64_t generation, uint64_t swaps)
{
	struct mob_policy_info p = MOB_POLICY_INFO_INIT;
	bool builtin = strcmp(name, "fifo") == 0;

	assert_int_equal(mob_session_policy(s, &p), 0);
	assert_string_equal(p.name, name);
	assert_string_equal(p.wanted, name);
	assert_int_equal(p.generation, generation);
	assert_int_equal(p.swaps, swaps);
	assert_int_equal(p.ejections, 0);
	assert_string_equal(p.last_ejected, "");
	assert_int_equal(p.flags, builtin ? MOB_POLICY_BUILTIN : 0);
	assert_int_equal(p.path[0] == 0, builtin);
}

static bool ran_all(void *arg)
{
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;

	return mob_session_stats(arg, &st) == 0 && st.tasks_run == QUEUED;
}

static void swap_through(struct mob_session *s)
{
	static const char *const order[] = { "lifo", "ws", "fifo" };
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;

	for (uint64_t i = 0; i < 3; i++) {
		uint64_t gen = 0;
		int rc = mob_policy_swap(s, order[i], &gen);

		if (rc < 0) {
			fail_msg("swap to %s: %s: %s", order[i],
				 mob_err_name(rc), mob_err_detail(rc));
		}
		assert_int_equal(gen, i + 2);
		check_policy(s, order[i], i + 2, i + 1);
		assert_int_equal(mob_session_stats(s, &st), 0);
		/* Who took the first one over has placed all. */
		assert_true(i == 0 || st.swap_queued >= QUEUED / 2);
		assert_true(st.swap_running > 0);
	}
}

static void test_swap_while_queued_all_results_right(void **state)
{
	struct gate g = gate_make("tokens");
	struct feeder f = { .fd = open(g.path, O_RDWR | O_CLOEXEC) };
	mob_ref refs[QUEUED];
	int64_t x[QUEUED];
	char tokens[QUEUED];
	pthread_t thread;
	struct mob_session *s;

	(void)state;
	assert_true(f.fd >= 0);
	live_start_with(2, "fifo");
	s = current();
	f.s = current();
	check_policy(s, "fifo", 1, 0);
	for (int64_t i = 0; i < QUEUED; i++) {
		refs[i] = mob_submit(square, (mob_str)g.path, i);
	}
	assert_true(live_await(all_but_two_wait, s));
	assert_int_equal(pthread_create(&thread, NULL, feed, &f), 0);
	swap_through(s);
	mobi_store(&f.stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(f.rc, 0);
	memset(tokens, 'x', sizeof(tokens));
	assert_int_equal(write(f.fd, tokens, sizeof(tokens)), sizeof(tokens));
	assert_int_equal(mob_get_all(refs, QUEUED, x), 0);
	for (int64_t i = 0; i < QUEUED; i++) {
		assert_int_equal(x[i], i * i);
	}
	/* Each once, and no more. */
	assert_true(live_await(ran_all, s));
	assert_int_equal(close(f.fd), 0);
	mob_session_close(f.s);
	mob_session_close(s);
	mob_shutdown();
}

static void refuse(struct mob_session *s, const char *policy, int rc,
		   const char *text)
{
	uint64_t gen = 77;

	assert_int_equal(mob_policy_swap(s, policy, &gen), rc);
	assert_int_equal(gen, 77);
	if (!strstr(mob_err_detail(rc), text)) {
		fail_msg("'%s' lacks '%s'", mob_err_detail(rc), text);
	}
	check_policy(s, "fifo", 1, 0);
}

static void test_swap_bad_policy_keeps_the_old(void **state)
{
	char path[96];
	struct mob_session *s;
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/sched_text.so", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs("no plugin\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	live_start_with(1, "fifo");
	s = current();
	refuse(s, "nowhere", MOB_E_NOT_FOUND, "sched_nowhere.so");
	refuse(s, "/nowhere/sched_x.so", MOB_E_NOT_FOUND, "/nowhere");
	refuse(s, path, MOB_E_PLUGIN, "sched_text.so");
	refuse(s, BAD_CRASH, MOB_E_PLUGIN, "signal");
	refuse(s, "No Name", MOB_E_INVAL, "No Name");
	mob_session_close(s);
	mob_shutdown();
}

/* Seats that are not free, dead ones too. */
static uint32_t seats(void)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		n += MOBI_STATE(mobi_load(&mobi_rt.store->clients[i].word)) !=
		     MOBI_CLIENT_FREE;
	}
	return n;
}

static void test_swap_from_outside_leaves_no_seat(void **state)
{
	struct found f = { .driver_pid = (uint32_t)getpid() };
	struct mob_session *s;

	(void)state;
	live_start_with(2, "fifo");
	s = current();
	assert_true(live_await(runs, &f));
	for (uint64_t i = 0; i < 3; i++) {
		const char *name = i % 2 ? "fifo" : "lifo";

		assert_int_equal(live_collect(live_spawn(name, f.path)), 0);
		check_policy(s, name, i + 2, i + 1);
		assert_int_equal(seats(), 4);
	}
	mob_session_close(s);
	mob_shutdown();
}

/* ---- the end ---- */

static bool is_dead(void *arg)
{
	const uint32_t *pid = arg;
	struct mobi_proc p;

	return mobi_proc_of((int)*pid, &p) < 0;
}

static bool there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static void test_stop_ends_processes_and_removes_directory(void **state)
{
	struct found f = { .name = "stopped" };
	struct want w = { .name = "hold", .state = MOB_TASK_STATE_RUNNING };
	struct crew c = { .ok = true };
	struct gate g = gate_make("serve");
	struct mob_session *s;
	int fd = open(g.path, O_RDWR | O_CLOEXEC);
	int child = live_spawn("serve", "stopped");

	(void)state;
	assert_true(fd >= 0);
	assert_true(live_await(runs, &f));
	assert_int_equal(mob_session_open("stopped", &s), 0);
	w.s = s;
	assert_true(live_await(is_so, &w));
	assert_int_equal(mob_session_workers(s, add_worker, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(mob_session_stop("stopped", 30 * MOB_SEC), 0);
	assert_true(is_dead(&f.daemon_pid));
	assert_true(is_dead(&c.pid[0]));
	assert_true(is_dead(&c.pid[1]));
	assert_false(there(f.path));
	/* Who was looking is told; who was attached too. */
	assert_int_equal(mob_session_workers(s, add_worker, &c), MOB_E_CLOSED);
	assert_int_equal(mob_policy_swap(s, "fifo", NULL), MOB_E_CLOSED);
	mob_session_close(s);
	assert_int_equal(live_collect(child), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(mob_session_open("stopped", &s), MOB_E_NOT_FOUND);
	assert_int_equal(mob_session_stop("stopped", 0), MOB_E_NOT_FOUND);
	assert_int_equal(mob_session_stop("stopped", -5), MOB_E_INVAL);
}

static void test_stop_at_once_kills_a_stopped_daemon(void **state)
{
	struct found f = { .name = "stuck" };
	struct want w = { .name = "hold", .state = MOB_TASK_STATE_RUNNING };
	struct gate g = gate_make("serve");
	int fd = open(g.path, O_RDWR | O_CLOEXEC);
	int child = live_spawn("serve", "stuck");

	(void)state;
	assert_true(fd >= 0);
	assert_true(live_await(runs, &f));
	assert_int_equal(mob_session_open("stuck", &w.s), 0);
	assert_true(live_await(is_so, &w));
	mob_session_close(w.s);
	assert_int_equal(kill((pid_t)f.daemon_pid, SIGSTOP), 0);
	assert_int_equal(mob_session_stop("stuck", 0), 0);
	assert_true(is_dead(&f.daemon_pid));
	assert_false(there(f.path));
	assert_int_equal(live_collect(child), 0);
	assert_int_equal(close(fd), 0);
}

static int keep(const struct mob_session_info *s, void *arg)
{
	int *n = arg;

	*n += s->state == MOB_SESSION_STALE;
	return 1;
}

static bool is_stale(void *arg)
{
	struct found *f = arg;

	f->there = false;
	(void)mob_session_each(find_session, f);
	return f->there && f->state == MOB_SESSION_STALE;
}

static void test_gc_removes_what_a_killed_driver_left(void **state)
{
	struct crew c = { .ok = true };
	int child = live_spawn("private", "");
	struct found f = { .driver_pid = (uint32_t)child };
	struct mob_session *s;
	char name[64];
	int kept = 0;

	(void)state;
	assert_true(live_await(runs, &f));
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
	assert_int_equal(mob_session_open(f.path, &s), 0);
	assert_int_equal(mob_session_workers(s, add_worker, &c), 0);
	mob_session_close(s);
	/* All stand before one dies, so that none starts another. */
	assert_int_equal(kill((pid_t)f.daemon_pid, SIGSTOP), 0);
	for (uint32_t i = 0; i < c.n; i++) {
		assert_int_equal(kill((pid_t)c.pid[i], SIGSTOP), 0);
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(live_collect(child), -SIGKILL);
	for (uint32_t i = 0; i < c.n; i++) {
		assert_int_equal(kill((pid_t)c.pid[i], SIGKILL), 0);
	}
	assert_int_equal(kill((pid_t)f.daemon_pid, SIGKILL), 0);
	(void)snprintf(name, sizeof(name), "%s", f.own_name);
	f.driver_pid = 0;
	f.name = name;
	assert_true(live_await(is_stale, &f));
	assert_int_equal(mob_session_gc(keep, &kept), 0);
	assert_int_equal(kept, 1);
	assert_true(there(f.path));
	assert_int_equal(mob_session_gc(NULL, NULL), 1);
	assert_false(there(f.path));
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
}

static void test_store_alone_is_listed_as_store(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct found f = { .name = "alone" };
	struct mob_store *store;
	struct mob_session *s;

	(void)state;
	opts.arena_bytes = 64 << 20;
	assert_int_equal(mob_store_create("alone", &opts, &store), 0);
	mob_store_close(store);
	assert_int_equal(mob_session_each(find_session, &f), 7);
	assert_int_equal(f.state, MOB_SESSION_STORE);
	assert_int_equal(mob_session_open("alone", &s), MOB_E_STATE);
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
	assert_int_equal(mob_session_stop("alone", 0), 0);
	assert_false(there(f.path));
}

static void test_other_directories_are_foreign(void **state)
{
	struct found f = { .name = "zzz" };
	char path[128];

	(void)state;
	assert_int_equal(mob_session_each(find_session, &f), 0);
	(void)snprintf(path, sizeof(path), "%s/mobula-%u/zzz", dir,
		       (unsigned)geteuid());
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/mobula-%u/zzz/ctl", dir,
		       (unsigned)geteuid());
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(mob_session_each(find_session, &f), 7);
	assert_int_equal(f.state, MOB_SESSION_FOREIGN);
	assert_int_equal(f.workers, 0);
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
	assert_int_equal(mobi_dir_remove(f.path), 0);
}

/* ---- children ---- */

/* Ends when the session is stopped: 0 if that is what it was told. */
static int serve(const char *name)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	char gate[96];
	int64_t x = 0;

	opts.session = name;
	opts.workers = 2;
	opts.store_bytes = 64 << 20;
	(void)snprintf(gate, sizeof(gate), "%s/serve", dir);
	if (mob_init(&opts)) {
		return 2;
	}
	return mob_get(mob_submit(hold, (mob_str)gate), &x) == MOB_E_CLOSED ?
		       0 :
		       3;
}

static int swap_there(const char *policy, const char *path)
{
	struct mob_session *s;
	int rc = mob_session_open(path, &s);

	if (rc >= 0) {
		rc = mob_policy_swap(s, policy, NULL);
		mob_session_close(s);
	}
	if (rc < 0) {
		(void)fprintf(stderr, "swap: %s\n", mob_err_detail(rc));
	}
	return rc < 0;
}

static int child_main(char **argv)
{
	const char *base = getenv("MOBULA_SESSION_DIR");

	(void)snprintf(dir, sizeof(dir), "%s", base ? base : "");
	if (strcmp(argv[1], "serve") == 0) {
		return serve(argv[2]);
	}
	if (strcmp(argv[1], "private") == 0) {
		live_start(2);
		for (;;) {
			(void)pause();
		}
	}
	return swap_there(argv[1], argv[2]);
}

/* ---- */

static int group_open(void **state)
{
	(void)state;
	return mkdtemp(dir) ? setenv("MOBULA_SESSION_DIR", dir, 1) : -1;
}

static int group_close(void **state)
{
	(void)state;
	return mobi_dir_remove(dir);
}

/* A test that failed has not left its session. */
#define TEST(fn) cmocka_unit_test_teardown(fn, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_session_running_is_listed_with_workers),
		TEST(test_describe_short_struct_is_not_overrun),
		TEST(test_task_blocked_shows_what_it_waits_for),
		TEST(test_task_blocked_on_many_shows_how_many),
		TEST(test_task_with_many_arguments_shows_the_first),
		TEST(test_swap_while_queued_all_results_right),
		TEST(test_swap_bad_policy_keeps_the_old),
		TEST(test_swap_from_outside_leaves_no_seat),
		TEST(test_stop_ends_processes_and_removes_directory),
		TEST(test_stop_at_once_kills_a_stopped_daemon),
		TEST(test_gc_removes_what_a_killed_driver_left),
		TEST(test_store_alone_is_listed_as_store),
		TEST(test_other_directories_are_foreign),
	};

	return argc > 1 ? child_main(argv) :
			  cmocka_run_group_tests_name("multi.inspect", tests,
						      group_open, group_close);
}
