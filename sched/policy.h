/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only caller of policies: finds them, fills in what they leave out, checks
 * what they answer, and leaves a stamp for the watchdog around each call.
 */
#ifndef MOBI_POLICY_H
#define MOBI_POLICY_H

#include "atomic.h"
#include "queue.h"

#include <mobula/sched.h>

#include <stdbool.h>
#include <stdint.h>

struct mobi_policy {
	const struct mob_plugin *plugin;
	const struct mob_sched_ops *ops;
};

enum mobi_policy_op {
	MOBI_POLICY_NONE,
	MOBI_POLICY_START,
	MOBI_POLICY_PLACE,
	MOBI_POLICY_PICK,
	MOBI_POLICY_DONE,
	MOBI_POLICY_REMOVE,
	MOBI_POLICY_RERANK,
	MOBI_POLICY_WORKER,
	MOBI_POLICY_TICK,
	MOBI_POLICY_DUMP,
	MOBI_POLICY_OPS
};

/*
 * In shared memory, one for each lock of a domain. Written by the holder of
 * the lock; the watchdog reads it without.
 *
 * busy = {number of the call 32, client 16, op 16}; op 0: not in a policy. The
 * number tells two calls of one client apart. since_ns is written before busy
 * and belongs to it if busy reads the same before and after.
 * A kill inside leaves busy set: this is how a crash of a policy is told from
 * a crash of the host.
 */
struct mobi_policy_stamp {
	mobi_a64 busy;
	mobi_a64 since_ns;
	mobi_a32 strikes;  /* wrong answers so far */
	mobi_a32 bad_op;   /* enum mobi_policy_op of the last one */
	mobi_a64 bad_what; /* its queue name, or its count */
};
_Static_assert(sizeof(struct mobi_policy_stamp) == 32, "stamp");

/* A look at the stamp: false if nobody is in a policy. */
struct mobi_policy_seen {
	uint64_t busy; /* compare: the same value is the same call */
	uint64_t since_ns;
	uint32_t client;
	enum mobi_policy_op op;
};
bool mobi_policy_look(const struct mobi_policy_stamp *stamp,
		      struct mobi_policy_seen *out_seen);
const char *mobi_policy_op_name(enum mobi_policy_op op);

/* Makes the policies that are compiled in known to the plugin loader, for
 * listings; mobi_policy_load does so itself. */
void mobi_policy_register(void);

/*
 * Loads by name or path (see core/plugin.h). The fallback is compiled in, so
 * the name "fifo" always works. Errors: as mobi_plugin_load; MOB_E_PLUGIN if
 * the table is not one that this host can call.
 */
int mobi_policy_load(const char *name_or_path, struct mobi_policy *out_policy);
/* Checks the table of a plugin that is loaded already. */
int mobi_policy_of(const struct mob_plugin *plugin,
		   struct mobi_policy *out_policy);
struct mobi_policy mobi_policy_fallback(void);
uint32_t mobi_policy_state_bytes(const struct mobi_policy *p);

/*
 * Everything a call needs. Made by the caller in its private memory, under the
 * lock; now_ns is read once per hold of the lock and serves as the policy's
 * clock and as the start for the watchdog.
 */
struct mobi_policy_call {
	const struct mobi_policy *policy;
	void *state; /* zeroed before mobi_policy_start, aligned to 64 */
	const struct mobi_queues *queues;
	struct mobi_policy_stamp *stamp;
	uint64_t now_ns;
	uint64_t *rnd; /* state of the generator, shared; any value but 0 */
	uint32_t client;
	struct mob_sched_host host; /* mobi_policy_begin fills it */
};

/*
 * Fills c->host from the queues. c is otherwise complete. busy_until_ns and up
 * are arrays of the caller, for q->workers workers.
 */
void mobi_policy_begin(struct mobi_policy_call *c,
		       const uint64_t *busy_until_ns, const uint64_t *up);

/* Default ops step in. The queue of the place is a number for queue.h and
 * legal: an unknown one is the shared queue and a strike, that of a worker
 * that is not there the shared one. */
int mobi_policy_start(struct mobi_policy_call *c);
struct mob_place mobi_policy_place(struct mobi_policy_call *c,
				   const struct mob_sched_task *task);
struct mob_place mobi_policy_rerank(struct mobi_policy_call *c,
				    const struct mob_sched_task *task);

/*
 * The queues that the worker may take from: numbers for queue.h, each with
 * MOB_Q_OLDEST or without; empty queues and repetitions may be among them.
 * Unknown ones are left out and are a strike, so is a count above max. Returns
 * how many; max is at least queues->n_queues.
 */
uint32_t mobi_policy_pick(struct mobi_policy_call *c, uint32_t worker,
			  uint32_t *out_queues, uint32_t max);

void mobi_policy_done(struct mobi_policy_call *c,
		      const struct mob_sched_task *task,
		      const struct mob_sched_run *run);
void mobi_policy_remove(struct mobi_policy_call *c,
			const struct mob_sched_task *task);
void mobi_policy_worker(struct mobi_policy_call *c, uint32_t worker, bool up);
void mobi_policy_tick(struct mobi_policy_call *c);
/* Always writes a text, "" if the policy has none. */
void mobi_policy_dump(struct mobi_policy_call *c, char *out, size_t size);

/* ---- the check before a policy is let near a session (policy_check.c) ----
 *
 * 10,000 made-up tasks on 1, 2 and 7 workers in virtual time. All must run,
 * once; all answers must be legal; nothing may starve; two runs must be alike;
 * the state must stay within its bytes, and work at any address.
 */

/* The checks have the numbers from 0 on; NULL after the last. */
const char *mobi_policy_check_name(uint32_t check);

/* One check, or all of them. Returns 0 or MOB_E_PLUGIN with a detail that names
 * the check, the op and the task. A policy that crashes or never returns takes
 * the caller with it. */
int mobi_policy_check_one(const struct mob_plugin *plugin, uint32_t check);
int mobi_policy_check(const struct mob_plugin *plugin);

/*
 * Loads the policy and does one check, or all with MOBI_POLICY_CHECK_ALL, in a
 * forked child that may use cpu_s seconds of processor time, and ten times as
 * long in all. Returns as
 * mobi_policy_check, or MOB_E_CRASHED or MOB_E_TIMEOUT, with a detail; the
 * caller has not loaded the policy afterwards.
 */
#define MOBI_POLICY_CHECK_ALL UINT32_MAX
int mobi_policy_try(const char *name_or_path, uint32_t check, uint32_t cpu_s);

#endif /* MOBI_POLICY_H */
