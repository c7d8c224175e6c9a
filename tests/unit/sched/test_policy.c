/* SPDX-License-Identifier: Apache-2.0 */
/* The policy host: defaults, verdicts, the stamp, the check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "err.h"
#include "policy.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS 4u
#define JOBS 3u
#define CLIENT 9u

/* What a policy made for one test saw of its calls. */
static struct {
	enum mobi_policy_op op;
	struct mobi_policy_seen stamp;
	bool busy;
	uint32_t worker, up;
	const struct mob_sched_task *task;
	const struct mob_sched_run *run;
} saw;

static struct bench {
	struct mobi_queues *queues;
	struct mobi_policy_stamp stamp;
	struct mobi_policy policy;
	struct mobi_policy_call call;
	struct mob_plugin plugin;
	uint64_t rnd, up, busy_until[WORKERS];
	unsigned char state[64];
	uint32_t got[1 + WORKERS + JOBS];
} * b;

static int setup(void **state)
{
	uint64_t n = mobi_queues_bytes(100, WORKERS, JOBS);

	(void)state;
	memset(&saw, 0, sizeof(saw));
	b = calloc(1, sizeof(*b));
	if (!b) {
		return -1;
	}
	b->queues = aligned_alloc(64, (n + 63) & ~UINT64_C(63));
	if (!b->queues) {
		return -1;
	}
	memset(b->queues, 0, n);
	mobi_queues_init(b->queues, 100, WORKERS, JOBS);
	b->rnd = 1;
	b->up = 7; /* worker 3 is not there */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(b->queues);
	free(b);
	return 0;
}

static void use(const struct mob_sched_ops *ops)
{
	b->plugin = (struct mob_plugin){
		.magic = MOB_PLUGIN_MAGIC,
		.abi = MOB_PLUGIN_ABI,
		.struct_size = sizeof(struct mob_plugin),
		.kind = MOB_PLUGIN_SCHED,
		.name = "made",
		.summary = "for a test",
		.ops = ops,
	};
	assert_int_equal(mobi_policy_of(&b->plugin, &b->policy), 0);
	b->call = (struct mobi_policy_call){
		.policy = &b->policy,
		.state = b->state,
		.queues = b->queues,
		.stamp = &b->stamp,
		.now_ns = 1234,
		.rnd = &b->rnd,
		.client = CLIENT,
	};
	mobi_policy_begin(&b->call, b->busy_until, &b->up);
}

static void queue_one(uint32_t task, uint32_t queue)
{
	struct mobi_queue_entry e = { .task = task, .queue = queue };

	assert_true(mobi_queues_push(b->queues, &e));
}

static const struct mob_sched_task a_task = {
	.struct_size = sizeof(struct mob_sched_task),
	.id = 77,
	.seq = 42,
	.from = MOB_NO_WORKER,
	.near = MOB_NO_WORKER,
};

/* ---- defaults ---- */

static const struct mob_sched_ops only_name = { MOB_SCHED_OPS };

static void test_policy_with_only_a_name_is_fifo(void **state)
{
	struct mob_place p;

	(void)state;
	use(&only_name);
	assert_int_equal(mobi_policy_start(&b->call), 0);
	p = mobi_policy_place(&b->call, &a_task);
	assert_int_equal(p.queue, MOBI_QUEUE_SHARED);
	assert_int_equal(p.rank, 42);
	p = mobi_policy_rerank(&b->call, &a_task);
	assert_int_equal(p.rank, 42);
	mobi_policy_tick(&b->call);
	mobi_policy_worker(&b->call, 1, true);
	mobi_policy_remove(&b->call, &a_task);
	mobi_policy_done(&b->call, &a_task, NULL);
	assert_int_equal(mobi_load(&b->stamp.strikes), 0);
}

static void test_policy_default_pick_reaches_every_queue(void **state)
{
	uint32_t n;

	(void)state;
	use(&only_name);
	n = mobi_policy_pick(&b->call, 1, b->got, b->queues->n_queues);
	assert_int_equal(n, 2);
	assert_int_equal(b->got[0], mobi_queue_of_worker(1));
	assert_int_equal(b->got[1], MOBI_QUEUE_SHARED);

	queue_one(1, mobi_queue_of_worker(3));
	queue_one(2, mobi_queue_of_worker(0));
	queue_one(3, mobi_queue_of_job(b->queues, 2));
	n = mobi_policy_pick(&b->call, 1, b->got, b->queues->n_queues);
	assert_int_equal(n, 5);
	assert_int_equal(b->got[2], mobi_queue_of_job(b->queues, 2));
	assert_int_equal(b->got[3], mobi_queue_of_worker(3) | MOB_Q_OLDEST);
	assert_int_equal(b->got[4], mobi_queue_of_worker(0) | MOB_Q_OLDEST);
}

static void test_policy_dump_without_op_is_empty(void **state)
{
	char out[4] = "xxx";

	(void)state;
	use(&only_name);
	mobi_policy_dump(&b->call, out, sizeof(out));
	assert_string_equal(out, "");
}

/* ---- verdicts ---- */

static struct mob_place place_hint(const struct mob_sched_host *h, void *state,
				   const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	return mob_place(t->hint, 5);
}

static void test_policy_place_is_checked(void **state)
{
	static const struct mob_sched_ops ops = { MOB_SCHED_OPS,
						  .place = place_hint };
	static const struct {
		uint32_t name;
		uint32_t queue;
		uint32_t strikes;
	} cases[] = {
		{ MOB_Q_SHARED, 0, 0 },
		{ MOB_Q_WORKER(2), 3, 0 },
		{ MOB_Q_WORKER(3), 0, 0 }, /* is not there */
		{ MOB_Q_WORKER(4), 0, 1 }, /* will never be */
		{ MOB_Q_WORKER(MOB_NO_WORKER), 0, 1 },
		{ MOB_Q_JOB(0), 5, 0 },
		{ MOB_Q_JOB(2), 7, 0 },
		{ MOB_Q_JOB(4), 6, 0 }, /* modulo the job queues */
		{ MOB_Q_WORKER(2) | MOB_Q_OLDEST, 0, 1 },
		{ 1, 0, 1 },
		{ 0x30000000, 0, 1 },
		{ 0x40000000, 0, 1 },
		{ UINT32_MAX, 0, 1 },
	};

	(void)state;
	use(&ops);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mob_sched_task t = a_task;
		uint32_t was = mobi_load(&b->stamp.strikes);
		struct mob_place p;

		t.hint = cases[i].name;
		p = mobi_policy_place(&b->call, &t);
		assert_int_equal(p.queue, cases[i].queue);
		assert_int_equal(p.rank, 5);
		assert_int_equal(mobi_load(&b->stamp.strikes) - was,
				 cases[i].strikes);
		if (cases[i].strikes) {
			assert_int_equal(mobi_load(&b->stamp.bad_what),
					 cases[i].name);
			assert_int_equal(mobi_load(&b->stamp.bad_op),
					 MOBI_POLICY_PLACE);
		}
	}
}

static uint32_t pick_wild(const struct mob_sched_host *h, void *state,
			  uint32_t worker, uint32_t *queues, uint32_t max)
{
	(void)h;
	(void)state;
	(void)max;
	queues[0] = MOB_Q_WORKER(worker) | MOB_Q_OLDEST;
	queues[1] = 12345;
	queues[2] = MOB_Q_JOB(1);
	return 3;
}

static uint32_t pick_many(const struct mob_sched_host *h, void *state,
			  uint32_t worker, uint32_t *queues, uint32_t max)
{
	(void)h;
	(void)state;
	(void)worker;
	for (uint32_t i = 0; i < max; i++) {
		queues[i] = MOB_Q_SHARED;
	}
	return max + 1;
}

static void test_policy_pick_leaves_unknown_queues_out(void **state)
{
	static const struct mob_sched_ops ops = { MOB_SCHED_OPS,
						  .pick = pick_wild };

	(void)state;
	use(&ops);
	assert_int_equal(mobi_policy_pick(&b->call, 2, b->got, 8), 2);
	assert_int_equal(b->got[0], mobi_queue_of_worker(2) | MOB_Q_OLDEST);
	assert_int_equal(b->got[1], mobi_queue_of_job(b->queues, 1));
	assert_int_equal(mobi_load(&b->stamp.strikes), 1);
	assert_int_equal(mobi_load(&b->stamp.bad_op), MOBI_POLICY_PICK);
	assert_int_equal(mobi_load(&b->stamp.bad_what), 12345);
}

static void test_policy_pick_count_above_max_is_a_strike(void **state)
{
	static const struct mob_sched_ops ops = { MOB_SCHED_OPS,
						  .pick = pick_many };

	(void)state;
	use(&ops);
	assert_int_equal(mobi_policy_pick(&b->call, 2, b->got, 8), 8);
	assert_int_equal(mobi_load(&b->stamp.strikes), 1);
	assert_int_equal(mobi_load(&b->stamp.bad_what), 9);
}

/* ---- every op, and its stamp ---- */

static void note(enum mobi_policy_op op)
{
	saw.op = op;
	saw.busy = mobi_policy_look(&b->stamp, &saw.stamp);
}

static int note_start(const struct mob_sched_host *h, void *state)
{
	(void)h;
	note(MOBI_POLICY_START);
	return *(unsigned char *)state ? MOB_E_STATE : 0;
}

static struct mob_place note_place(const struct mob_sched_host *h, void *state,
				   const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_PLACE);
	saw.task = t;
	return mob_place(MOB_Q_SHARED, 0);
}

static uint32_t note_pick(const struct mob_sched_host *h, void *state,
			  uint32_t worker, uint32_t *queues, uint32_t max)
{
	(void)h;
	(void)state;
	(void)queues;
	(void)max;
	note(MOBI_POLICY_PICK);
	saw.worker = worker;
	return 0;
}

static void note_done(const struct mob_sched_host *h, void *state,
		      const struct mob_sched_task *t,
		      const struct mob_sched_run *run)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_DONE);
	saw.task = t;
	saw.run = run;
}

static void note_remove(const struct mob_sched_host *h, void *state,
			const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_REMOVE);
	saw.task = t;
}

static struct mob_place note_rerank(const struct mob_sched_host *h, void *state,
				    const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_RERANK);
	saw.task = t;
	return mob_place(MOB_Q_JOB(1), 3);
}

static void note_worker(const struct mob_sched_host *h, void *state,
			uint32_t worker, uint32_t up)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_WORKER);
	saw.worker = worker;
	saw.up = up;
}

static void note_tick(const struct mob_sched_host *h, void *state)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_TICK);
}

static void note_dump(const struct mob_sched_host *h, const void *state,
		      char *out, size_t size)
{
	(void)h;
	(void)state;
	note(MOBI_POLICY_DUMP);
	memset(out, 'x', size); /* forgets the end */
}

static const struct mob_sched_ops noting = {
	MOB_SCHED_OPS,         .start = note_start,   .place = note_place,
	.pick = note_pick,     .done = note_done,     .remove = note_remove,
	.rerank = note_rerank, .worker = note_worker, .tick = note_tick,
	.dump = note_dump,
};

/* The op ran under a stamp that named it, and the stamp is gone. */
static void assert_stamped(enum mobi_policy_op op, uint64_t *last)
{
	struct mobi_policy_seen now;

	assert_int_equal(saw.op, op);
	assert_true(saw.busy);
	assert_int_equal(saw.stamp.op, op);
	assert_int_equal(saw.stamp.client, CLIENT);
	assert_int_equal(saw.stamp.since_ns, 1234);
	assert_int_not_equal(saw.stamp.busy, *last);
	assert_false(mobi_policy_look(&b->stamp, &now));
	*last = saw.stamp.busy;
	memset(&saw, 0, sizeof(saw));
}

static void test_policy_every_op_is_called_under_a_stamp(void **state)
{
	struct mob_sched_run run = { .worker = 2 };
	uint64_t last = 0;
	char out[4];

	(void)state;
	use(&noting);
	assert_int_equal(mobi_policy_start(&b->call), 0);
	assert_stamped(MOBI_POLICY_START, &last);
	(void)mobi_policy_place(&b->call, &a_task);
	assert_ptr_equal(saw.task, &a_task);
	assert_stamped(MOBI_POLICY_PLACE, &last);
	(void)mobi_policy_place(&b->call, &a_task);
	assert_stamped(MOBI_POLICY_PLACE, &last);
	assert_int_equal(mobi_policy_pick(&b->call, 2, b->got, 8), 0);
	assert_int_equal(saw.worker, 2);
	assert_stamped(MOBI_POLICY_PICK, &last);
	mobi_policy_done(&b->call, &a_task, &run);
	assert_ptr_equal(saw.run, &run);
	assert_stamped(MOBI_POLICY_DONE, &last);
	mobi_policy_remove(&b->call, &a_task);
	assert_stamped(MOBI_POLICY_REMOVE, &last);
	assert_int_equal(mobi_policy_rerank(&b->call, &a_task).queue,
			 mobi_queue_of_job(b->queues, 1));
	assert_stamped(MOBI_POLICY_RERANK, &last);
	mobi_policy_worker(&b->call, 1, true);
	assert_int_equal(saw.worker, 1);
	assert_int_equal(saw.up, 1);
	assert_stamped(MOBI_POLICY_WORKER, &last);
	mobi_policy_tick(&b->call);
	assert_stamped(MOBI_POLICY_TICK, &last);
	mobi_policy_dump(&b->call, out, sizeof(out));
	assert_string_equal(out, "xxx");
	assert_stamped(MOBI_POLICY_DUMP, &last);
}

static void test_policy_start_that_refuses_is_an_error(void **state)
{
	(void)state;
	use(&noting);
	b->state[0] = 1;
	assert_int_equal(mobi_policy_start(&b->call), MOB_E_STATE);
	assert_non_null(strstr(mob_err_detail(MOB_E_STATE), "made"));
}

static void test_policy_table_of_an_older_build_gets_defaults(void **state)
{
	/* Up to place: what lies behind is not part of it. */
	static struct mob_sched_ops older;

	(void)state;
	older = noting;
	older.struct_size = offsetof(struct mob_sched_ops, pick);
	use(&older);
	(void)mobi_policy_place(&b->call, &a_task);
	assert_int_equal(saw.op, MOBI_POLICY_PLACE);
	memset(&saw, 0, sizeof(saw));
	assert_int_equal(mobi_policy_pick(&b->call, 1, b->got, 8), 2);
	mobi_policy_tick(&b->call);
	assert_int_equal(saw.op, MOBI_POLICY_NONE);
}

/* ---- host ---- */

static void test_policy_host_shows_the_domain(void **state)
{
	const struct mob_sched_host *h;

	(void)state;
	use(&only_name);
	h = &b->call.host;
	assert_int_equal(h->workers, 3); /* the highest that is there */
	assert_int_equal(h->jobs, JOBS);
	assert_int_equal(h->now(h), 1234);
	assert_true(mob_sched_up(h, 2));
	assert_false(mob_sched_up(h, 3));
	queue_one(1, MOBI_QUEUE_SHARED);
	queue_one(2, mobi_queue_of_worker(1));
	queue_one(3, mobi_queue_of_job(b->queues, 2));
	assert_int_equal(mob_sched_len(h, MOB_Q_SHARED), 1);
	assert_int_equal(mob_sched_len(h, MOB_Q_WORKER(1)), 1);
	assert_int_equal(mob_sched_len(h, MOB_Q_WORKER(2)), 0);
	assert_int_equal(mob_sched_len(h, MOB_Q_WORKER(99)), 0);
	assert_int_equal(mob_sched_len(h, MOB_Q_JOB(2 + JOBS)), 1);
	assert_int_equal(mob_sched_len(h, 77), 0);
}

static void test_policy_random_numbers_repeat_from_the_same_seed(void **state)
{
	const struct mob_sched_host *h;
	uint64_t first;
	uint64_t second;

	(void)state;
	use(&only_name);
	h = &b->call.host;
	first = h->rnd(h);
	second = h->rnd(h);
	assert_int_not_equal(first, second);
	b->rnd = 1;
	assert_int_equal(h->rnd(h), first);
	assert_int_equal(h->rnd(h), second);
}

/* ---- tables and loading ---- */

static void test_policy_unusable_table_is_refused(void **state)
{
	static const struct {
		struct mob_sched_ops ops;
		int rc;
	} cases[] = {
		{ { .struct_size = MOB_SCHED_OPS_MIN - 1 }, MOB_E_PLUGIN },
		{ { .struct_size = sizeof(struct mob_sched_ops) + 8 },
		  MOB_E_VERSION },
		{ { MOB_SCHED_OPS, .flags = 0x80 }, MOB_E_VERSION },
		{ { MOB_SCHED_OPS, .reserved = 1 }, MOB_E_VERSION },
		{ { MOB_SCHED_OPS, .state_bytes = MOB_SCHED_STATE_MAX + 1 },
		  MOB_E_PLUGIN },
	};
	struct mobi_policy p;

	(void)state;
	use(&only_name);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b->plugin.ops = &cases[i].ops;
		assert_int_equal(mobi_policy_of(&b->plugin, &p), cases[i].rc);
		assert_non_null(strstr(mob_err_detail(cases[i].rc), "made"));
	}
	b->plugin.ops = NULL;
	assert_int_equal(mobi_policy_of(&b->plugin, &p), MOB_E_PLUGIN);
}

static void test_policy_fifo_is_compiled_in(void **state)
{
	struct mobi_policy p;

	(void)state;
	assert_int_equal(mobi_policy_load("fifo", &p), 0);
	assert_string_equal(p.plugin->name, "fifo");
	assert_ptr_equal(p.plugin, mobi_policy_fallback().plugin);
	assert_int_equal(mobi_policy_check(p.plugin), 0);
	assert_int_equal(mobi_policy_load("no_such_policy", &p),
			 MOB_E_NOT_FOUND);
}

/* ---- check ---- */

static void test_policy_check_accepts_a_name_alone(void **state)
{
	(void)state;
	use(&only_name);
	assert_int_equal(mobi_policy_check(&b->plugin), 0);
}

static void assert_check_says(const struct mob_sched_ops *ops, const char *text)
{
	use(ops);
	assert_int_equal(mobi_policy_check(&b->plugin), MOB_E_PLUGIN);
	if (!strstr(mob_err_detail(MOB_E_PLUGIN), text)) {
		fail_msg("\"%s\" does not say \"%s\"",
			 mob_err_detail(MOB_E_PLUGIN), text);
	}
}

static uint32_t pick_nothing(const struct mob_sched_host *h, void *state,
			     uint32_t worker, uint32_t *queues, uint32_t max)
{
	(void)h;
	(void)state;
	(void)worker;
	(void)queues;
	(void)max;
	return 0;
}

static struct mob_place place_on_0(const struct mob_sched_host *h, void *state,
				   const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	return mob_place(MOB_Q_WORKER(0), t->seq);
}

static uint32_t pick_shared(const struct mob_sched_host *h, void *state,
			    uint32_t worker, uint32_t *queues, uint32_t max)
{
	(void)h;
	(void)state;
	(void)worker;
	(void)max;
	queues[0] = MOB_Q_SHARED;
	return 1;
}

static void test_policy_check_finds_starvation(void **state)
{
	static const struct mob_sched_ops nothing = { MOB_SCHED_OPS,
						      .pick = pick_nothing };
	static const struct mob_sched_ops aside = { MOB_SCHED_OPS,
						    .place = place_on_0,
						    .pick = pick_shared };

	(void)state;
	assert_check_says(&nothing, "in the shared queue, all workers are "
				    "idle");
	assert_check_says(&aside, "in the queue of worker 0, all workers");
}

static void test_policy_check_finds_wrong_answers(void **state)
{
	static const struct mob_sched_ops wild = { MOB_SCHED_OPS,
						   .pick = pick_wild };
	static const struct mob_sched_ops many = { MOB_SCHED_OPS,
						   .pick = pick_many };

	(void)state;
	assert_check_says(&wild, "pick answered 0x3039, which is no queue");
	assert_check_says(&many, "a count above max");
}

static void meddle(const struct mob_sched_host *h, void *state,
		   const struct mob_sched_task *t,
		   const struct mob_sched_run *run)
{
	union {
		const struct mob_sched_task *c;
		struct mob_sched_task *w;
	} u = { t };

	(void)h;
	(void)state;
	(void)run;
	u.w->priority++;
}

static void test_policy_check_finds_a_changed_task(void **state)
{
	static const struct mob_sched_ops ops = { MOB_SCHED_OPS,
						  .done = meddle };

	(void)state;
	assert_check_says(&ops, "done wrote into task");
}

struct with_pointer {
	struct with_pointer *self;
};

static int pointer_start(const struct mob_sched_host *h, void *state)
{
	struct with_pointer *s = state;

	(void)h;
	s->self = s;
	return 0;
}

static struct mob_place pointer_place(const struct mob_sched_host *h,
				      void *state,
				      const struct mob_sched_task *t)
{
	struct with_pointer *s = state;

	(void)h;
	return mob_place(MOB_Q_SHARED, s->self == s ? t->seq : ~t->seq);
}

static void test_policy_check_finds_a_pointer_in_the_state(void **state)
{
	static const struct mob_sched_ops ops = {
		MOB_SCHED_OPS,
		.state_bytes = sizeof(struct with_pointer),
		.start = pointer_start,
		.place = pointer_place,
	};

	(void)state;
	assert_check_says(&ops, "keep no pointer in it");
}

static void dump_beyond(const struct mob_sched_host *h, const void *state,
			char *out, size_t size)
{
	(void)h;
	(void)state;
	out[size] = 'x';
}

static void test_policy_check_finds_a_dump_that_is_too_long(void **state)
{
	static const struct mob_sched_ops ops = { MOB_SCHED_OPS,
						  .dump = dump_beyond };

	(void)state;
	assert_check_says(&ops, "dump wrote more than the 4096 bytes");
}

static int refuse(const struct mob_sched_host *h, void *state)
{
	(void)h;
	(void)state;
	return MOB_E_PLUGIN;
}

static void test_policy_check_finds_a_start_that_refuses(void **state)
{
	static const struct mob_sched_ops ops = { MOB_SCHED_OPS,
						  .start = refuse };

	(void)state;
	assert_check_says(&ops, "start answered");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_policy_with_only_a_name_is_fifo),
		TEST(test_policy_default_pick_reaches_every_queue),
		TEST(test_policy_dump_without_op_is_empty),
		TEST(test_policy_place_is_checked),
		TEST(test_policy_pick_leaves_unknown_queues_out),
		TEST(test_policy_pick_count_above_max_is_a_strike),
		TEST(test_policy_every_op_is_called_under_a_stamp),
		TEST(test_policy_start_that_refuses_is_an_error),
		TEST(test_policy_table_of_an_older_build_gets_defaults),
		TEST(test_policy_host_shows_the_domain),
		TEST(test_policy_random_numbers_repeat_from_the_same_seed),
		TEST(test_policy_unusable_table_is_refused),
		TEST(test_policy_fifo_is_compiled_in),
		TEST(test_policy_check_accepts_a_name_alone),
		TEST(test_policy_check_finds_starvation),
		TEST(test_policy_check_finds_wrong_answers),
		TEST(test_policy_check_finds_a_changed_task),
		TEST(test_policy_check_finds_a_pointer_in_the_state),
		TEST(test_policy_check_finds_a_dump_that_is_too_long),
		TEST(test_policy_check_finds_a_start_that_refuses),
	};

	return cmocka_run_group_tests_name("sched.policy", tests, NULL, NULL);
}
