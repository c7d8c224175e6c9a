/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline_check: reads what mob timeline printed from standard input, and exits 0
 * if it holds together: slices of a track lie inside each other or apart; each flow
 * has one beginning and one end, not before it, and both lie in slices of their
 * tracks; each track has a name. Prints how many there are of each.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 100000

struct event {
	char ph;
	unsigned long tid;
	unsigned long long ts;  /* ns */
	unsigned long long end; /* of a slice */
	unsigned long id;       /* of a flow */
	char name[64];
	char cat[16];
};

static struct event ev[LINES_MAX];
static size_t n;
static int bad;

static void complain(const char *what, const struct event *e)
{
	(void)fprintf(stderr, "%s: %c %s on track %lu at %llu ns\n", what,
		      e->ph, e->name, e->tid, e->ts);
	bad = 1;
}

/* What follows "key": in the line, or NULL. */
static const char *field(const char *line, const char *key)
{
	char want[32];
	const char *at;

	(void)snprintf(want, sizeof(want), "\"%s\":", key);
	at = strstr(line, want);
	return at ? at + strlen(want) : NULL;
}

static unsigned long long number(const char *line, const char *key)
{
	const char *at = field(line, key);

	return at ? strtoull(at, NULL, 10) : 0;
}

/* Microseconds with three digits, as ns. */
static unsigned long long ns(const char *line, const char *key)
{
	const char *at = field(line, key);
	char *rest = NULL;
	unsigned long long us = at ? strtoull(at, &rest, 10) : 0;

	return us * 1000 +
	       (rest && *rest == '.' ? strtoull(rest + 1, NULL, 10) : 0);
}

static void text(const char *line, const char *key, char *out, size_t size)
{
	const char *at = field(line, key);
	size_t len = at && *at == '"' ? strcspn(at + 1, "\"") : 0;

	len = len < size ? len : size - 1;
	if (at) {
		memcpy(out, at + 1, len);
	}
	out[len] = '\0';
}

static void read_line(const char *line)
{
	struct event *e = &ev[n];
	const char *ph = field(line, "ph");

	if (!ph || n == LINES_MAX) {
		return;
	}
	e->ph = ph[1];
	e->tid = (unsigned long)number(line, "tid");
	e->ts = ns(line, "ts");
	e->end = e->ts + ns(line, "dur");
	e->id = (unsigned long)number(line, "id");
	text(line, "name", e->name, sizeof(e->name));
	text(line, "cat", e->cat, sizeof(e->cat));
	n++;
}

static void check_slice(const struct event *a)
{
	for (size_t i = 0; i < n; i++) {
		const struct event *b = &ev[i];

		if (b->ph == 'X' && b->tid == a->tid && b->ts > a->ts &&
		    b->ts < a->end && b->end > a->end) {
			complain("overlaps another", a);
			complain("this one", b);
		}
	}
}

static bool in_slice(const struct event *a)
{
	for (size_t i = 0; i < n; i++) {
		if (ev[i].ph == 'X' && ev[i].tid == a->tid &&
		    ev[i].ts <= a->ts && ev[i].end >= a->ts) {
			return true;
		}
	}
	return false;
}

static void check_flow(const struct event *a)
{
	size_t ends = 0;
	size_t same = 0;

	for (size_t i = 0; i < n; i++) {
		const struct event *b = &ev[i];

		if ((b->ph != 's' && b->ph != 'f') || b->id != a->id) {
			continue;
		}
		same++;
		ends += a->ph == 's' && b->ph == 'f' && b->ts >= a->ts &&
			!strcmp(a->name, b->name);
	}
	if (same != 2 || (a->ph == 's' && ends != 1)) {
		complain("a flow without its other end", a);
	}
	if (!in_slice(a)) {
		complain("a flow outside all slices", a);
	}
}

static void check_track(const struct event *a)
{
	for (size_t i = 0; i < n; i++) {
		if (ev[i].ph == 'M' && ev[i].tid == a->tid &&
		    !strcmp(ev[i].name, "thread_name")) {
			return;
		}
	}
	complain("a track without a name", a);
}

static size_t count(char ph, const char *name, const char *cat)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += ev[i].ph == ph && (!name || !strcmp(ev[i].name, name)) &&
		       (!cat || !strcmp(ev[i].cat, cat));
	}
	return sum;
}

int main(void)
{
	static char line[1 << 16];

	while (fgets(line, sizeof(line), stdin)) {
		read_line(line);
	}
	for (size_t i = 0; i < n; i++) {
		if (ev[i].ph == 'X') {
			check_slice(&ev[i]);
			check_track(&ev[i]);
		} else if (ev[i].ph == 's' || ev[i].ph == 'f') {
			check_flow(&ev[i]);
		}
	}
	(void)printf("runs %zu waits %zu submits %zu starts %zu results %zu\n",
		     count('X', NULL, "task"), count('X', NULL, "wait"),
		     count('X', NULL, "submit"), count('s', "submit", NULL),
		     count('s', "result", NULL));
	return bad || !n;
}
