/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lost wake-ups: a process waits, in each way that there is, for what another
 * seals at about the same moment. Who waits looks again every 250 ms on its own,
 * which would hide a wake-up that never came: so here a sleep ends when it is
 * woken, and not before LOST_NS. One that does is lost.
 *
 *   MOB_TEST_WAKE=n        so many pairs of a wait and a seal
 */
#define _GNU_SOURCE

#include "os_futex.h"
#include "store_fixture.h"
#include "test_count.h"

#include <string.h>

#define LOST_NS (20 * MOB_SEC)
/* Shorter sleeps are of threads that nobody will ring. */
#define RUNG_NS (10 * MOB_MS)
#define REFS 4
#define DELAY_MAX 400u /* turns of a loop */

enum way { GET, ANY, SOME, ALL, QUEUE, DESCRIPTOR, WAYS };
static const char *const names[WAYS] = { "get", "wait any", "2 of 4",
					 "all", "queue",    "descriptor" };

struct shared {
	char name[MOB_STORE_NAME_MAX + 1];
	struct mob_ref ref[REFS];
	mobi_a64 begun; /* pairs, by who seals */
	mobi_a64 ended; /* by who waits */
	mobi_a64 slept[WAYS];
	mobi_a32 lost; /* way + 1 of the first */
};

static struct shared *sh;
static uint64_t seed;
static enum way way;

int __wrap_mobi_futex_wait(mobi_a32 *word, uint32_t value, int64_t timeout_ns);
int __real_mobi_futex_wait(mobi_a32 *word, uint32_t value, int64_t timeout_ns);

static void note_lost(void)
{
	uint32_t none = 0;

	(void)mobi_cas32(&sh->lost, &none, (uint32_t)way + 1);
}

int __wrap_mobi_futex_wait(mobi_a32 *word, uint32_t value, int64_t timeout_ns)
{
	int rc;

	if (!sh || (timeout_ns >= 0 && timeout_ns < RUNG_NS)) {
		return __real_mobi_futex_wait(word, value, timeout_ns);
	}
	(void)mobi_fetch_add(&sh->slept[way], UINT64_C(1));
	rc = __real_mobi_futex_wait(word, value, LOST_NS);
	if (rc == MOB_E_TIMEOUT) {
		note_lost();
	}
	return rc;
}

/* Moves the race: a while that is random, at times all of a time slice. */
static void delay(uint64_t *random)
{
	uint64_t n = next_random(random);

	if (n % 16 == 0) {
		(void)sched_yield();
	}
	for (n = (n >> 8) % DELAY_MAX; n; n--) {
		mobi_relax();
	}
}

/* ---- who waits ---- */

static int pop(struct mob_store *s, struct mob_cq *q, int64_t timeout_ns)
{
	struct mob_cq_entry e;
	int rc = mob_cq_pop(q, timeout_ns, &e);

	return rc == 1 ? mob_object_release(s, e.ref) : rc;
}

static int wait_in_queue(struct mob_store *s, struct mob_cq *q,
			 uint64_t *random)
{
	struct pollfd p = { mob_cq_fd(q), POLLIN, 0 };
	int rc = mob_cq_add(q, sh->ref[0], 0);

	delay(random);
	if (rc < 0 || way == QUEUE) {
		return rc < 0 ? rc : pop(s, q, MOB_FOREVER);
	}
	while ((rc = pop(s, q, 0)) == MOB_E_TIMEOUT) {
		(void)mobi_fetch_add(&sh->slept[way], UINT64_C(1));
		if (poll(&p, 1, (int)(LOST_NS / MOB_MS)) != 1) {
			note_lost();
			return 1;
		}
	}
	return rc;
}

static int wait_for_many(struct mob_store *s)
{
	size_t n = way == ANY ? 1 : way == SOME ? 2 : REFS;
	bool ready[REFS];
	int rc = mob_object_wait(s, sh->ref, REFS, n, MOB_FOREVER, ready);

	return rc == (int)n ? 0 : 1;
}

static int wait_once(struct mob_store *s, struct mob_cq *queue,
		     struct mob_cq *polled, uint64_t *random)
{
	struct mob_view v;
	int rc;

	switch (way) {
	case GET:
		rc = mob_object_get(s, sh->ref[0], MOB_FOREVER, &v);
		if (rc == 0) {
			rc = filled(v.at, v.size, 8) ? 0 : 1;
			mob_view_release(s, &v);
		}
		return rc;
	case QUEUE:
		return wait_in_queue(s, queue, random);
	case DESCRIPTOR:
		return wait_in_queue(s, polled, random);
	default:
		return wait_for_many(s);
	}
}

static enum way way_of(uint64_t pair)
{
	uint64_t x = seed ^ (pair + 1) * UINT64_C(0x9e3779b97f4a7c15);

	(void)next_random(&x);
	return (enum way)(next_random(&x) % WAYS);
}

static int waiter(void *arg)
{
	uint64_t n = *(const uint64_t *)arg;
	uint64_t random = seed ^ 0x5bd1e995u;
	struct mob_store *s = child_open(sh->name);
	struct mob_cq *q[2];

	if (mob_cq_open(s, &q[0]) || mob_cq_open(s, &q[1]) ||
	    mob_cq_fd(q[1]) < 0) {
		return 1;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (i % 1024 == 0) {
			(void)alarm(WATCHDOG_S);
		}
		while (mobi_load(&sh->begun) != i + 1) {
			(void)sched_yield();
		}
		way = way_of(i);
		delay(&random);
		if (wait_once(s, q[0], q[1], &random) || mobi_load(&sh->lost)) {
			return 2;
		}
		mobi_store(&sh->ended, i + 1);
	}
	mob_cq_close(q[0]);
	mob_cq_close(q[1]);
	mob_store_close(s);
	return 0;
}

/* ---- who seals ---- */

/* False: the waiter has ended. */
static bool pair(struct mob_store *s, uint64_t i, uint64_t *random)
{
	enum way w = way_of(i);
	uint32_t refs = w == ANY || w == SOME || w == ALL ? REFS : 1;
	uint32_t seals = w == ANY ? 1 : w == SOME ? 2 : refs;
	uint32_t first = (uint32_t)(next_random(random) % refs);

	for (uint32_t k = 0; k < refs; k++) {
		sh->ref[k] = make_pending(s);
	}
	mobi_store(&sh->begun, i + 1);
	for (uint32_t k = 0; k < seals; k++) {
		delay(random);
		assert_ok(mob_object_seal(s, sh->ref[(first + k) % refs]));
	}
	for (uint32_t turns = 0; mobi_load(&sh->ended) != i + 1; turns++) {
		if (mobi_load(&sh->lost)) {
			return false;
		}
		(void)sched_yield();
	}
	for (uint32_t k = seals; k < refs; k++) {
		assert_ok(mob_object_abort(s, sh->ref[(first + k) % refs]));
	}
	for (uint32_t k = 0; k < refs; k++) {
		assert_ok(mob_object_release(s, sh->ref[k]));
	}
	return true;
}

/* With the learned spin, or asleep at once. */
static void pairs(const char *spin, uint64_t n)
{
	struct mob_store *s = store_new(NULL, 4 * MIB);
	uint64_t random = seed;
	uint64_t i = 0;
	pid_t pid;

	assert_int_equal(setenv("MOBULA_SPIN", spin, 1), 0);
	sh = shared_memory(sizeof(*sh));
	(void)snprintf(sh->name, sizeof(sh->name), "%s", mob_store_name(s));
	pid = child_start(waiter, &n);
	while (i < n && pair(s, i, &random)) {
		i++;
	}
	if (i < n) {
		fail_msg("a wake-up is lost: %s, pair %" PRIu64 ", "
			 "MOBULA_SPIN=%"
			 "s, "
			 "MOB_TEST_SEED="
			 "%" PRIu64,
			 names[mobi_load(&sh->lost) - 1], i, spin, seed);
	}
	assert_int_equal(child_result(pid), 0);
	print_message("%" PRIu64 " pairs, MOBULA_SPIN=%s; asleep:", n, spin);
	for (int w = 0; w < WAYS; w++) {
		print_message(" %s %" PRIu64, names[w],
			      mobi_load(&sh->slept[w]));
		/* Each way has been asleep, or this says nothing. */
		assert_true(n < 1000 || mobi_load(&sh->slept[w]) > 0);
	}
	print_message("\n");
	assert_int_equal(munmap(sh, sizeof(*sh)), 0);
	sh = NULL;
	store_end(s);
}

static void test_wake_each_way_none_is_lost(void **state)
{
	uint64_t n = test_count("MOB_TEST_WAKE", SANITIZED ? 20000 : 200000,
				10000000);

	(void)state;
	pairs("auto", n / 2);
	pairs("0", n - n / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wake_each_way_none_is_lost),
	};

	seed = test_seed();
	return cmocka_run_group_tests_name("crash.wake", tests, NULL, NULL);
}
