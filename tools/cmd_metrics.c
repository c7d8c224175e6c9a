/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob metrics: what a session counts, in the text format of Prometheus (version
 * 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats).
 */
#define _GNU_SOURCE
#include "cmd_metrics.h"
#include "out.h"

#include <mobula/record.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bounds of buckets that are printed: 256 ns to 137 s; what is shorter is in the
 * first, what is longer in +Inf. */
#define LE_FIRST 8u
#define LE_LAST 37u

static void head(FILE *f, const char *name, const char *type, const char *help)
{
	(void)fprintf(f, "# HELP mobula_%s %s\n# TYPE mobula_%s %s\n", name,
		      help, name, type);
}

/* key NULL: no label. */
static void sample(FILE *f, const char *name, const char *key,
		   const char *value, uint64_t n)
{
	if (key) {
		(void)fprintf(f, "mobula_%s{%s=\"%s\"} %" PRIu64 "\n", name,
			      key, value, n);
	} else {
		(void)fprintf(f, "mobula_%s %" PRIu64 "\n", name, n);
	}
}

static void one(FILE *f, const char *name, const char *type, uint64_t n,
		const char *help)
{
	head(f, name, type, help);
	sample(f, name, NULL, NULL, n);
}

/* ---- tasks ---- */

static void histogram(FILE *f, const char *name, const char *help,
		      const struct mob_histogram *h)
{
	uint64_t sum = 0;
	uint32_t b = 0;

	head(f, name, "histogram", help);
	for (uint32_t le = LE_FIRST; le <= LE_LAST; le++) {
		for (; b <= le; b++) {
			sum += h->bucket[b];
		}
		(void)fprintf(f, "mobula_%s_bucket{le=\"%.9g\"} %" PRIu64 "\n",
			      name, (double)(UINT64_C(1) << le) / 1e9, sum);
	}
	for (; b < MOB_HISTOGRAM_BUCKETS; b++) {
		sum += h->bucket[b];
	}
	(void)fprintf(f, "mobula_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name,
		      sum);
	(void)fprintf(f, "mobula_%s_sum %.9f\n", name, (double)h->sum_ns / 1e9);
	(void)fprintf(f, "mobula_%s_count %" PRIu64 "\n", name, sum);
}

static int count_task(const struct mob_task_info *t, void *arg)
{
	uint64_t *n = arg;

	if (t->state <= MOB_TASK_STATE_DELAYED) {
		n[t->state]++;
	}
	return 0;
}

static int count_worker(const struct mob_worker_info *w, void *arg)
{
	uint64_t *n = arg;

	if (w->state <= MOB_WORKER_STOPPED) {
		n[w->state]++;
	}
	return 0;
}

static void print_events(FILE *f, const struct mob_metrics *m,
			 const struct mob_record *r)
{
	head(f, "task_events_total", "counter",
	     "What has happened to tasks and to attempts to run them.");
	for (uint32_t k = MOB_EVENT_SUBMITTED; k < MOB_EVENT_KINDS; k++) {
		/* These are counted by the histogram of waits, and these are of
		 * no task. */
		if (k != MOB_EVENT_QUEUED &&
		    (k <= MOB_EVENT_CRASHED || k == MOB_EVENT_REMADE)) {
			sample(f, "task_events_total", "event",
			       mob_event_kind_name(k), m->events[k]);
		}
	}
	one(f, "worker_deaths_total", "counter", m->events[MOB_EVENT_DIED],
	    "Workers that died.");
	histogram(f, "task_queue_wait_seconds",
		  "How long attempts were queued before they ran.", &m->wait);
	histogram(f, "task_run_seconds",
		  "How long attempts ran that their worker ended.", &m->run);
	one(f, "recorded_events_total", "counter", r->written,
	    "Events written to the record.");
	one(f, "recorded_events_lost_total", "counter", r->lost,
	    "Events that later ones have overwritten.");
	one(f, "recorded_events", "gauge", r->kept, "Events that are kept.");
}

static int print_tasks(FILE *f, struct mob_session *s)
{
	uint64_t tasks[MOB_TASK_STATE_DELAYED + 1] = { 0 };
	uint64_t workers[MOB_WORKER_STOPPED + 1] = { 0 };
	struct mob_metrics m = MOB_METRICS_INIT;
	struct mob_record r = MOB_RECORD_INIT;
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	int rc = mob_session_metrics(s, &m);

	rc = rc < 0 ? rc : mob_session_stats(s, &st);
	rc = rc < 0 ? rc : mob_session_record(s, &r);
	rc = rc < 0 ? rc : mob_session_tasks(s, count_task, tasks);
	rc = rc < 0 ? rc : mob_session_workers(s, count_worker, workers);
	if (rc < 0) {
		return rc;
	}
	head(f, "tasks", "gauge", "Tasks that are not over, by state.");
	for (uint32_t i = 1; i <= MOB_TASK_STATE_DELAYED; i++) {
		sample(f, "tasks", "state", mob_task_state_name(i), tasks[i]);
	}
	head(f, "workers", "gauge", "Worker processes, by state.");
	for (uint32_t i = 1; i <= MOB_WORKER_STOPPED; i++) {
		sample(f, "workers", "state", mob_worker_state_name(i),
		       workers[i]);
	}
	print_events(f, &m, &r);
	one(f, "memory_kills_total", "counter", st.memory_kills,
	    "Attempts killed for lack of memory.");
	one(f, "memory_replaced_total", "counter", st.memory_replaced,
	    "Idle workers replaced for lack of memory.");
	one(f, "memory_limit_bytes", "gauge", st.memory_limit,
	    "The tightest limit of memory.");
	one(f, "memory_use_bytes", "gauge", st.memory_use,
	    "What is in use of that limit.");
	return 0;
}

/* ---- the store ---- */

static void print_kinds(FILE *f, const struct mob_memory_sums *m)
{
	head(f, "objects", "gauge", "Objects, by what keeps them.");
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		sample(f, "objects", "kind", mob_memory_kind_name(k),
		       m->kind[k].objects);
	}
	head(f, "object_bytes", "gauge",
	     "Bytes of the values of objects, by what keeps these.");
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		sample(f, "object_bytes", "kind", mob_memory_kind_name(k),
		       m->kind[k].size);
	}
	head(f, "arena_bytes", "gauge", "Bytes of the arena, by use.");
	sample(f, "arena_bytes", "use", "objects", m->all.block_bytes);
	sample(f, "arena_bytes", "use", "reserved", m->reserved_bytes);
	sample(f, "arena_bytes", "use", "tail", m->tail_bytes);
	sample(f, "arena_bytes", "use", "moving", m->moving_bytes);
	sample(f, "arena_bytes", "use", "free", m->free_bytes);
	sample(f, "arena_bytes", "use", "bare", m->bare_bytes);
	head(f, "file_bytes", "gauge", "Bytes outside the arena, by use.");
	sample(f, "file_bytes", "use", "tables", m->tables_bytes);
	sample(f, "file_bytes", "use", "catalogue", m->catalogue_bytes);
	sample(f, "file_bytes", "use", "spilled", m->all.file_bytes);
}

static void print_activity(FILE *f, const struct mob_activity *a,
			   const struct mob_store_stat *st)
{
	one(f, "objects_made_total", "counter", a->made, "Objects made.");
	one(f, "objects_freed_total", "counter", a->freed, "Objects freed.");
	one(f, "put_bytes_total", "counter", a->put_bytes,
	    "Bytes written to objects.");
	one(f, "gets_total", "counter", a->gets, "Views taken of objects.");
	one(f, "spills_total", "counter", a->spills,
	    "Objects written to the spill directory.");
	one(f, "restores_total", "counter", a->restores,
	    "Objects read back from there.");
	one(f, "evictions_total", "counter", st->evicted,
	    "Cached objects that went for want of room.");
	one(f, "prefetches_total", "counter", st->prefetches,
	    "Files of spilled objects that were read ahead.");
	one(f, "sleeps_total", "counter", a->sleeps,
	    "Sleeps until an object was resolved.");
	one(f, "room_waits_total", "counter", a->room_waits,
	    "Waits for room in a full store.");
	one(f, "reaps_total", "counter", st->reaps,
	    "Dead processes cleaned up after.");
	one(f, "processes", "gauge", a->n_processes,
	    "Processes that are attached.");
}

static int print_store(FILE *f, struct mob_store *store)
{
	struct mob_memory_sums sums;
	struct mob_store_stat st;
	struct mob_activity *a = malloc(sizeof(*a));
	int rc;

	if (!a) {
		return MOB_E_NOMEM;
	}
	rc = mob_store_activity(store, a);
	rc = rc < 0 ? rc : mob_store_memory_sums(store, &sums);
	rc = rc < 0 ? rc : mob_store_stat(store, &st);
	if (rc >= 0) {
		print_kinds(f, &sums);
		print_activity(f, a, &st);
	}
	free(a);
	return rc;
}

/* ---- the command ---- */

/* All of the session of this name; nothing stays open. 0 or an error. */
static int print_all(FILE *f, void *arg)
{
	const char *name = arg;
	struct mob_session *s;
	struct mob_store *store;
	int rc = mob_session_open(name, &s);

	if (rc >= 0) {
		rc = print_tasks(f, s);
		mob_session_close(s);
	} else if (rc == MOB_E_STATE) {
		rc = 0; /* a store alone */
	}
	if (rc >= 0) {
		rc = mob_store_open(name, &store);
	}
	if (rc >= 0) {
		rc = print_store(f, store);
		mob_store_close(store);
	}
	return rc < 0 ? rc : 0;
}

static int run_metrics(struct cli *c)
{
	const char *path = cli_text(c, "listen");
	char name[CMD_SESSION_MAX];
	char *text = NULL;
	size_t len = 0;
	FILE *f;
	int rc = cmd_session_name(c, NULL, name);

	if (rc) {
		return rc;
	}
	/* Whole or not at all. */
	f = open_memstream(&text, &len);
	if (!f) {
		return cli_fail_rc(MOB_E_NOMEM, name);
	}
	rc = print_all(f, name);
	if (fclose(f) && !rc) {
		rc = MOB_E_NOMEM;
	}
	if (rc) {
		rc = cli_fail_rc(rc, name);
	} else if (path) {
		rc = cmd_metrics_serve(path, name, print_all, name);
	} else {
		(void)fwrite(text, 1, len, stdout);
		rc = out_flush() ? CLI_DONE : CLI_FAILED;
	}
	free(text);
	return rc;
}

static const struct cli_opt metrics_opts[] = {
	{ "listen", 0, CLI_FILE, "PATH", NULL,
	  "answer HTTP requests on this unix socket" },
	{ 0 },
};

const struct cli_cmd cmd_metrics[] = {
	{ .args = "",
	  .help = "counters and histograms, in the text format of Prometheus",
	  .opts = metrics_opts,
	  .run = run_metrics,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ 0 },
};
