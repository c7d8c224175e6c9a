/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob timeline: what is recorded, in the trace event format that chrome://tracing
 * and Perfetto read (G. Kulkarni and others, "Trace Event Format", 2016): a track
 * a process, a slice a run, and flows from submit to start, and from the end of a
 * run to the start of each task that needs its result.
 */
#include "cmd_record.h"
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACKS_MAX 1024

struct line {
	FILE *f;
	const struct rec *r;
	uint64_t base;
	uint64_t now;
	uint64_t flow; /* number of the last one */
	bool some;
};

/* ---- pieces ---- */

/* Begins an event; what follows adds fields, and end_event ends it. */
static void event(struct line *l, const char *ph, uint32_t track)
{
	(void)fprintf(l->f, "%s\n{\"ph\":\"%s\",\"pid\":1,\"tid\":%" PRIu32,
		      l->some ? "," : "", ph, track);
	l->some = true;
}

/* Microseconds, as the format has them. */
static void add_us(struct line *l, const char *key, uint64_t ns)
{
	(void)fprintf(l->f, ",\"%s\":%" PRIu64 ".%03u", key, ns / 1000,
		      (unsigned)(ns % 1000));
}

static void add_time(struct line *l, uint64_t ns)
{
	add_us(l, "ts", ns > l->base ? ns - l->base : 0);
}

static void add_text(struct line *l, const char *key, const char *text)
{
	(void)fprintf(l->f, ",\"%s\":", key);
	out_json_text(l->f, text);
}

static void end_event(struct line *l)
{
	(void)fputc('}', l->f);
}

static uint32_t track_of(uint32_t process, uint32_t pid)
{
	return pid ? pid : process;
}

static void flow(struct line *l, const char *ph, const char *name,
		 uint32_t track, uint64_t ns)
{
	event(l, ph, track);
	add_time(l, ns);
	add_text(l, "name", name);
	(void)fprintf(l->f, ",\"cat\":\"flow\",\"id\":%" PRIu64 "%s", l->flow,
		      *ph == 'f' ? ",\"bp\":\"e\"" : "");
	end_event(l);
}

static void arrow(struct line *l, const char *name, uint32_t from,
		  uint64_t from_ns, uint32_t to, uint64_t to_ns)
{
	l->flow++;
	flow(l, "s", name, from, from_ns < to_ns ? from_ns : to_ns);
	flow(l, "f", name, to, to_ns);
}

/* ---- one task ---- */

static void slice(const struct rec_run *run, void *arg)
{
	struct line *l = arg;
	uint64_t end = run->end ? run->end_ns : l->now;
	char id[CMD_REF_MAX];

	event(l, "X", track_of(run->process, run->pid));
	add_time(l, run->start_ns);
	add_us(l, "dur", end > run->start_ns ? end - run->start_ns : 0);
	add_text(l, "name", run->name);
	(void)fprintf(l->f, ",\"cat\":\"task\",\"args\":{\"task\":\"%s\"",
		      cmd_task_text(id, run->task));
	(void)fprintf(l->f, ",\"attempt\":%" PRIu32, run->attempt);
	add_text(l, "end", run->end ? mob_event_kind_name(run->end) : "runs");
	if (run->queued_ns) {
		add_us(l, "queued_us", run->start_ns - run->queued_ns);
	}
	if (run->code) {
		(void)fprintf(l->f, ",\"code\":%" PRId32, run->code);
	}
	if (run->signal) {
		(void)fprintf(l->f, ",\"signal\":%" PRIu32, run->signal);
	}
	(void)fputc('}', l->f);
	end_event(l);
}

/* From each BLOCKED to what ends it. */
static void waits(struct line *l, const struct mob_event *const *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t end = l->now;
		char id[CMD_REF_MAX];

		if (e[i]->kind != MOB_EVENT_BLOCKED) {
			continue;
		}
		for (size_t k = i + 1; k < n; k++) {
			if (e[k]->kind != MOB_EVENT_NEEDS &&
			    e[k]->kind != MOB_EVENT_SUBMITTED) {
				end = e[k]->time_ns;
				break;
			}
		}
		event(l, "X", track_of(e[i]->process, e[i]->pid));
		add_time(l, e[i]->time_ns);
		add_us(l, "dur", end > e[i]->time_ns ? end - e[i]->time_ns : 0);
		add_text(l, "name", "waits");
		(void)fputs(",\"cat\":\"wait\",\"args\":{", l->f);
		if (e[i]->other) {
			(void)fprintf(l->f, "\"for\":\"%s\"",
				      cmd_task_text(id, e[i]->other));
		}
		(void)fputc('}', l->f);
		end_event(l);
	}
}

static const struct mob_event *first_of(const struct mob_event *const *e,
					size_t n, uint32_t kind)
{
	for (size_t i = 0; i < n; i++) {
		if (e[i]->kind == kind) {
			return e[i];
		}
	}
	return NULL;
}

static void last_run(const struct rec_run *run, void *arg)
{
	*(struct rec_run *)arg = *run;
}

static void submit(struct line *l, const struct mob_event *from,
		   const struct mob_event *start)
{
	uint32_t track = track_of(from->process, from->pid);
	char id[CMD_REF_MAX];
	char name[160];

	(void)snprintf(name, sizeof(name), "submit %s", from->name);
	event(l, "X", track);
	add_time(l, from->time_ns);
	add_us(l, "dur", 1);
	add_text(l, "name", name);
	(void)fprintf(l->f, ",\"cat\":\"submit\",\"args\":{\"task\":\"%s\"}",
		      cmd_task_text(id, from->task));
	end_event(l);
	if (start) {
		arrow(l, "submit", track, from->time_ns,
		      track_of(start->process, start->pid), start->time_ns);
	}
}

/* From the end of a run to the start of who needs its result. */
static void data(struct line *l, uint64_t producer,
		 const struct mob_event *start)
{
	const struct mob_event *const *e;
	size_t n = rec_of_task(l->r, producer, &e);
	struct rec_run run = { 0 };
	uint64_t end;

	rec_runs(e, n, last_run, &run);
	if (!run.end) {
		return;
	}
	end = run.end_ns < start->time_ns ? run.end_ns : start->time_ns;
	arrow(l, "result", track_of(run.process, run.pid),
	      end > run.start_ns ? end - 1 : run.start_ns,
	      track_of(start->process, start->pid), start->time_ns);
}

static void instant(struct line *l, const struct mob_event *e, const char *what,
		    const char *of)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "%s %s", what, of);
	event(l, "i", track_of(e->process, e->pid));
	add_time(l, e->time_ns);
	add_text(l, "name", text);
	(void)fputs(",\"s\":\"t\"", l->f);
	end_event(l);
}

static void task(const struct mob_event *const *e, size_t n, void *arg)
{
	struct line *l = arg;
	const struct mob_event *from = first_of(e, n, MOB_EVENT_SUBMITTED);
	const struct mob_event *start = first_of(e, n, MOB_EVENT_STARTED);
	const struct mob_event *gone = first_of(e, n, MOB_EVENT_CANCELLED);

	rec_runs(e, n, slice, l);
	waits(l, e, n);
	if (from) {
		submit(l, from, start);
	}
	if (gone && !start) {
		instant(l, gone, "cancelled", gone->name);
	}
	for (size_t i = 0; start && i < n; i++) {
		if (e[i]->kind == MOB_EVENT_NEEDS) {
			data(l, e[i]->other, start);
		}
	}
}

/* ---- processes ---- */

static void name_track(struct line *l, uint32_t track, const char *what,
		       uint32_t process)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s %" PRIu32, what, process);
	event(l, "M", track);
	(void)fputs(",\"name\":\"thread_name\",\"args\":{", l->f);
	(void)fputs("\"name\":", l->f);
	out_json_text(l->f, name);
	(void)fputc('}', l->f);
	end_event(l);
	event(l, "M", track);
	(void)fprintf(l->f,
		      ",\"name\":\"thread_sort_index\",\"args\":{"
		      "\"sort_index\":%" PRIu32 "}",
		      process);
	end_event(l);
}

static const char *role_of(const struct mob_event *e)
{
	static const char *const role[] = { "process", "tool", "driver",
					    "worker", "daemon" };

	if (e->kind == MOB_EVENT_STARTED) {
		return "worker"; /* its beginning is overwritten */
	}
	return e->kind == MOB_EVENT_JOINED && e->code > 0 && e->code < 5 ?
		       role[e->code] :
		       role[0];
}

/* Each process that told something, once: by what its events say of it. */
static void tracks(struct line *l)
{
	static struct {
		uint32_t track;
		uint32_t process;
		const char *role;
		bool tells;
	} seen[TRACKS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < l->r->n; i++) {
		const struct mob_event *e = &l->r->ev[i];
		uint32_t track = track_of(e->process, e->pid);
		size_t k = 0;

		while (k < n && seen[k].track != track) {
			k++;
		}
		if (k == TRACKS_MAX) {
			continue; /* it has its number for a name */
		}
		if (k == n || !strcmp(seen[k].role, "process")) {
			seen[k].track = track;
			seen[k].process = e->process;
			seen[k].role = role_of(e);
		}
		seen[k].tells |= e->kind != MOB_EVENT_JOINED &&
				 e->kind != MOB_EVENT_LEFT;
		n = k == n ? n + 1 : n;
	}
	for (size_t k = 0; k < n; k++) {
		if (!seen[k].tells) {
			continue;
		}
		name_track(l, seen[k].track, seen[k].role, seen[k].process);
	}
}

static void deaths(struct line *l)
{
	for (size_t i = 0; i < l->r->n; i++) {
		const struct mob_event *e = &l->r->ev[i];
		char of[64];

		if (e->kind == MOB_EVENT_DIED) {
			(void)snprintf(of, sizeof(of),
				       "%" PRIu32 ", signal %" PRIu32, e->of,
				       e->signal);
			instant(l, e, "death of worker", of);
		}
	}
}

static void print(FILE *f, const struct rec *r, const char *session)
{
	struct line l = { .f = f, .r = r, .now = r->sum.now_ns };

	l.base = r->n ? r->ev[0].time_ns : l.now;
	(void)fputs("{\"displayTimeUnit\":\"ns\",\"otherData\":{\"session\":",
		    f);
	out_json_text(f, session);
	(void)fprintf(f,
		      ",\"clock\":\"CLOCK_MONOTONIC\",\"base_ns\":%" PRIu64
		      ",\"events\":%" PRIu64 ",\"lost\":%" PRIu64
		      ",\"whole_ns\":%" PRIu64 ",\"torn\":%" PRIu64,
		      l.base, r->sum.kept, r->sum.lost, r->sum.whole_ns,
		      r->sum.torn);
	(void)fputs("},\"traceEvents\":[", f);
	event(&l, "M", 0);
	(void)fputs(",\"name\":\"process_name\",\"args\":{\"name\":", f);
	out_json_text(f, session);
	(void)fputc('}', f);
	end_event(&l);
	tracks(&l);
	rec_tasks(r, task, &l);
	deaths(&l);
	(void)fputs("\n]}\n", f);
}

/* ---- the command ---- */

static int write_file(const char *path, const struct rec *r,
		      const char *session)
{
	FILE *f = fopen(path, "we");
	bool bad;

	if (!f) {
		return cli_fail(errno == ENOENT ? CLI_NOT_FOUND : CLI_FAILED,
				NULL, "%s: %s", path, strerror(errno));
	}
	print(f, r, session);
	bad = ferror(f) != 0;
	if (fclose(f) || bad) {
		return cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				strerror(errno));
	}
	return CLI_DONE;
}

static int run_timeline(struct cli *c)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	const char *path = cli_text(c, "output");
	struct mob_session *s;
	struct rec r = { 0 };
	int rc = cmd_session_open(c, NULL, &s);

	if (rc) {
		return rc;
	}
	rc = mob_session_describe(s, &info);
	rc = rc < 0 ? cli_fail_rc(rc, "session") : rec_load(s, &r);
	if (rc) {
		mob_session_close(s);
		return rc;
	}
	if (path) {
		rc = write_file(path, &r, info.name);
	} else {
		print(stdout, &r, info.name);
		rc = out_flush() ? CLI_DONE : CLI_FAILED;
	}
	if (rc == CLI_DONE) {
		rec_say_missing(&r);
	}
	rec_free(&r);
	mob_session_close(s);
	return rc;
}

static const struct cli_opt timeline_opts[] = {
	{ "output", 'o', CLI_FILE, "FILE", NULL,
	  "write to this file instead of standard output" },
	{ 0 },
};

const struct cli_cmd cmd_timeline[] = {
	{ .args = "",
	  .help = "what ran when and where, for chrome://tracing and Perfetto",
	  .opts = timeline_opts,
	  .run = run_timeline,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ 0 },
};
