/* SPDX-License-Identifier: Apache-2.0 */
/* mob task explain: why a task does not run, and why those not that it waits for. */
#include "cmd.h"
#include "out.h"

#include <mobula/explain.h>

#include <inttypes.h>
#include <stdio.h>

#define HOPS_MAX 64u
#define TEXT_MAX 240

static const struct out_col cols[] = {
	{ "id", "TASK", OUT_TEXT },
	{ "name", "NAME", OUT_TEXT },
	{ "why", NULL, OUT_TEXT },
	{ "text", "WHY", OUT_TEXT },
	{ "object", NULL, OUT_TEXT },
	{ "made_by", NULL, OUT_TEXT },
	{ "objects", NULL, OUT_COUNT },
	{ "in_ns", NULL, OUT_NS },
	{ "attempt", NULL, OUT_COUNT },
	{ "cpus", NULL, OUT_REAL },
	{ "cpus_free", NULL, OUT_REAL },
	{ "cpus_all", NULL, OUT_REAL },
	{ "policy", NULL, OUT_TEXT },
	{ "queue", NULL, OUT_TEXT },
	{ "before", NULL, OUT_COUNT },
	{ "queued_ns", NULL, OUT_NS },
	{ "workers", NULL, OUT_COUNT },
	{ "worker", NULL, OUT_COUNT },
	{ "resource", NULL, OUT_TEXT },
	{ "deadlock", NULL, OUT_TEXT },
	{ "pid", NULL, OUT_COUNT },
	{ "stopped", NULL, OUT_BOOL },
	{ 0 },
};

static double cores(uint32_t cpu)
{
	return (double)cpu / 10000.0;
}

static const char *queue_text(const struct mob_explanation *e, char buf[40])
{
	static const char *const kind[] = { "the shared queue",
					    "the queue of worker",
					    "the queue of job" };

	if (e->queue == MOB_QUEUE_SHARED || e->queue > MOB_QUEUE_JOB) {
		return kind[0];
	}
	(void)snprintf(buf, 40, "%s %" PRIu32, kind[e->queue], e->queue_of);
	return buf;
}

/* "object 5f3a91c2-17.3, made by task 12.1, and 2 more" */
static void object_text(const struct mob_explanation *e, char *out, size_t size)
{
	char ref[CMD_REF_MAX];
	char id[CMD_REF_MAX];
	char by[80] = "";
	char more[40] = "";

	if (mob_ref_is_none(e->object)) {
		(void)snprintf(out, size, "objects that are resolved by now");
		return;
	}
	if (e->maker) {
		(void)snprintf(by, sizeof(by), ", made by task %s",
			       cmd_task_text(id, e->maker));
	} else if (e->maker_process) {
		(void)snprintf(by, sizeof(by),
			       ", made by process %" PRIu32 "%s",
			       e->maker_process,
			       e->maker_is_stopped ? ", which is stopped" : "");
	}
	if (e->objects > 1) {
		(void)snprintf(more, sizeof(more), ", and %" PRIu32 " more",
			       e->objects - 1);
	}
	(void)snprintf(out, size, "object %s%s%s", cmd_ref_text(ref, e->object),
		       by, more);
}

/* "worker 3", and if it is stopped that, and its pid for kill -CONT. */
static const char *worker_text(const struct mob_explanation *e,
			       const char *what, char out[80])
{
	int n = snprintf(out, 80, "%s %" PRIu32, what, e->worker);

	if (e->is_stopped && n > 0 && n < 80) {
		(void)snprintf(out + n, 80 - (size_t)n,
			       " (pid %" PRIu32 ", stopped by a signal)",
			       e->pid);
	}
	return out;
}

static void next_text(const struct mob_explanation *e, const char *queue,
		      char *out, size_t size)
{
	char worker[80];

	if (e->worker) {
		(void)snprintf(out, size,
			       "%s has taken it with others, and runs it soon",
			       worker_text(e, "worker", worker));
	} else {
		(void)snprintf(out, size,
			       "is the next in %s, which a worker takes from "
			       "when policy %s lets it",
			       queue, e->policy);
	}
}

static void ready_text(const struct mob_explanation *e, char *out, size_t size)
{
	char queue[40];
	char ns[OUT_FORMAT_MAX];

	switch (e->why) {
	case MOB_WHY_NO_RESOURCE:
		(void)snprintf(out, size,
			       "wishes for %g of resource %s, %g of %g is free",
			       cores(e->resource_wish), e->resource,
			       cores(e->resource_free), cores(e->resource_all));
		break;
	case MOB_WHY_TOO_LARGE:
		if (e->resource) {
			(void)snprintf(out, size,
				       "wishes for %g of resource %s; the "
				       "session has %g",
				       cores(e->resource_wish), e->resource,
				       cores(e->resource_all));
			break;
		}
		(void)snprintf(out, size,
			       "wishes for %g processors; all workers together "
			       "have %g",
			       cores(e->cpus), cores(e->cpus_all));
		break;
	case MOB_WHY_NO_WORKER:
		(void)snprintf(out, size, "no worker lives");
		break;
	case MOB_WHY_UNSEEN:
		(void)snprintf(out, size,
			       "is ready; none of the %" PRIu32 " workers has "
			       "looked at it "
			       "yet",
			       e->workers);
		break;
	case MOB_WHY_QUEUED:
		(void)snprintf(out, size,
			       "policy %s holds it in %s behind %" PRIu64 " oth"
			       "ers,"
			       " for"
			       " %s",
			       e->policy, queue_text(e, queue), e->before,
			       out_format_ns(ns, e->queued_ns));
		break;
	case MOB_WHY_NO_ROOM:
		(void)snprintf(out, size,
			       "is the next in %s; wishes for %g processors, "
			       "%g of %g are free",
			       queue_text(e, queue), cores(e->cpus),
			       cores(e->cpus_free), cores(e->cpus_all));
		break;
	default:
		next_text(e, queue_text(e, queue), out, size);
		break;
	}
}

static void text_of(const struct mob_explanation *e, char *out, size_t size)
{
	char object[TEXT_MAX / 2];
	char worker[80];
	char ns[OUT_FORMAT_MAX];

	switch (e->why) {
	case MOB_WHY_RUNS:
		(void)snprintf(out, size, "runs on %s",
			       worker_text(e, "worker", worker));
		break;
	case MOB_WHY_BLOCKED:
		object_text(e, object, sizeof(object));
		(void)snprintf(out, size, "runs on %s, waits there for %s",
			       worker_text(e, "worker", worker), object);
		break;
	case MOB_WHY_AGAIN:
		(void)snprintf(out, size,
			       "has ended; %s looks whether it is to run again "
			       "for what went of its results",
			       worker_text(e, "process", worker));
		break;
	case MOB_WHY_DONE:
		(void)snprintf(out, size, "has ended");
		break;
	case MOB_WHY_ARGUMENT:
		object_text(e, object, sizeof(object));
		(void)snprintf(out, size, "waits for %s", object);
		break;
	case MOB_WHY_DELAYED:
		(void)snprintf(out, size, "attempt %" PRIu32 " begins in %s",
			       e->attempt, out_format_ns(ns, e->in_ns));
		break;
	default:
		ready_text(e, out, size);
		break;
	}
}

/* The tasks that were told, to see when they go round. */
struct chain {
	struct out out;
	uint64_t task[HOPS_MAX];
	uint32_t n;
	uint64_t next; /* 0: none */
	char deadlock[512];
};

static int print(const struct mob_explanation *e, void *arg)
{
	struct chain *k = arg;
	struct out *o = &k->out;
	bool queued = e->why >= MOB_WHY_QUEUED && e->why != MOB_WHY_AGAIN;
	char text[TEXT_MAX];
	char queue[40];
	char id[CMD_REF_MAX];

	text_of(e, text, sizeof(text));
	out_text(o, cmd_task_text(id, e->task));
	out_text(o, e->name);
	out_text(o, mob_why_name(e->why));
	out_text(o, text);
	out_text(o, mob_ref_is_none(e->object) ? NULL :
						 cmd_ref_text(id, e->object));
	out_text(o, e->maker ? cmd_task_text(id, e->maker) : NULL);
	out_u64(o, e->objects);
	if (e->why == MOB_WHY_DELAYED) {
		out_u64(o, e->in_ns);
	} else {
		out_none(o);
	}
	out_u64(o, e->attempt);
	out_real(o, cores(e->cpus));
	out_real(o, cores(e->cpus_free));
	out_real(o, cores(e->cpus_all));
	out_text(o, e->policy);
	out_text(o, queued ? queue_text(e, queue) : NULL);
	if (queued) {
		out_u64(o, e->before);
		out_u64(o, e->queued_ns);
	} else {
		out_none(o);
		out_none(o);
	}
	out_u64(o, e->workers);
	out_u64_some(o, e->worker);
	out_text(o, e->resource);
	out_text(o, e->deadlock);
	out_u64_some(o, e->pid);
	out_bool(o, e->is_stopped || e->maker_is_stopped);
	out_end_row(o);
	if (e->deadlock) {
		(void)snprintf(k->deadlock, sizeof(k->deadlock), "%s",
			       e->deadlock);
	}
	k->next = e->maker;
	return 0;
}

static bool was_told(const struct chain *k, uint64_t task)
{
	for (uint32_t i = 0; i < k->n; i++) {
		if (k->task[i] == task) {
			return true;
		}
	}
	return false;
}

int cmd_task_explain(struct cli *c)
{
	struct chain k = { .n = 0 };
	struct mob_session *s = NULL;
	bool round = false;
	int rc;

	if (!cmd_task_parse(c->args[0], &k.next)) {
		return cli_fail(CLI_USAGE,
				"an id looks like 17.3; 'mob task list' shows "
				"those there are",
				"'%s' is no id of a task", c->args[0]);
	}
	rc = cmd_session_open(c, NULL, &s);
	if (rc) {
		return rc;
	}
	out_begin(&k.out, cols);
	do {
		k.task[k.n++] = k.next;
		rc = mob_session_explain(s, k.next, print, &k);
		round = !rc && k.next && was_told(&k, k.next);
	} while (!rc && k.next && !round && k.n < HOPS_MAX);
	mob_session_close(s);
	if (out_end(&k.out)) {
		return CLI_FAILED;
	}
	/* What one waits for may have ended meanwhile. */
	if (rc < 0 && (rc != MOB_E_NOT_FOUND || k.n == 1)) {
		return cli_fail_rc(rc, c->args[0]);
	}
	if (k.deadlock[0]) {
		cli_say("deadlock: %s", k.deadlock);
	} else if (round) {
		cli_say("they wait for each other");
	} else if (k.n == HOPS_MAX && k.next) {
		cli_say("and so on: only the first %u are shown", HOPS_MAX);
	}
	return CLI_DONE;
}
