/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failpoints: the list of MOBULA_FAULT is parsed at the first hit of any of
 * them, then only counted down. A spec that does not parse ends the process:
 * a test with a slip in it would pass for the wrong reason.
 */
#define _POSIX_C_SOURCE 200809L

#include "fault.h"

#include "atomic.h"

#ifdef MOB_FAILPOINTS

#include "err.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 16
#define NAME_SIZE 64
/* SPEC_HELP: what is allowed, said with every refusal. */
#define SPEC_HELP "NAME=kill|stop|error[@N[+]], ',' between them"

enum { UNPARSED, PARSING, PARSED };

struct point {
	char name[NAME_SIZE];
	int sig; /* 0: an error */
	uint64_t from;
	bool onwards;
	mobi_a64 hits;
};

static struct point points[POINTS_MAX];
static unsigned n_points;
static mobi_a32 state;

static void parse_action(struct point *p, const char *text, size_t n)
{
	if (n == 4 && strncmp(text, "kill", n) == 0) {
		p->sig = SIGKILL;
	} else if (n == 4 && strncmp(text, "stop", n) == 0) {
		p->sig = SIGSTOP;
	} else if (n == 5 && strncmp(text, "error", n) == 0) {
		p->sig = 0;
	} else {
		mobi_panic(__FILE__, __LINE__,
			   "MOBULA_FAULT: action '%.*s' of '%s' is unknown; "
			   "give %s",
			   (int)n, text, p->name, SPEC_HELP);
	}
}

/* One "name=action@n+"; returns where it ends. */
static const char *parse_point(struct point *p, const char *text)
{
	size_t n = strcspn(text, "=,");
	const char *at = text + n;
	char *end = NULL;

	if (n == 0 || n >= NAME_SIZE || *at != '=') {
		mobi_panic(__FILE__, __LINE__,
			   "MOBULA_FAULT: '%s' is no failpoint; give %s", text,
			   SPEC_HELP);
	}
	memcpy(p->name, text, n);
	p->name[n] = '\0';
	at++;
	n = strcspn(at, "@,");
	parse_action(p, at, n);
	at += n;
	p->from = 1;
	p->onwards = false;
	mobi_store(&p->hits, 0);
	if (*at == '@') {
		at++;
		p->from = *at >= '1' && *at <= '9' ? strtoull(at, &end, 10) : 0;
		if (p->from == 0) {
			mobi_panic(__FILE__, __LINE__,
				   "MOBULA_FAULT: count '%s' of '%s' is not a "
				   "number from 1; give %s",
				   at, p->name, SPEC_HELP);
		}
		at = end;
		p->onwards = *at == '+';
		at += p->onwards;
	}
	return at;
}

static void parse(const char *spec)
{
	const char *at = spec;

	n_points = 0;
	while (*at != '\0') {
		if (n_points == POINTS_MAX) {
			mobi_panic(__FILE__, __LINE__,
				   "MOBULA_FAULT: more than %d failpoints",
				   POINTS_MAX);
		}
		at = parse_point(&points[n_points], at);
		n_points++;
		if (*at == ',' && at[1] != '\0') {
			at++;
		} else if (*at != '\0') {
			mobi_panic(__FILE__, __LINE__,
				   "MOBULA_FAULT: '%s' is left over; give %s",
				   at, SPEC_HELP);
		}
	}
}

void mobi_fault_arm(const char *spec)
{
	parse(spec);
	mobi_store(&state, PARSED);
}

static void parse_once(void)
{
	uint32_t seen = UNPARSED;

	if (mobi_load(&state) == PARSED) {
		return;
	}
	if (mobi_cas32(&state, &seen, PARSING)) {
		const char *spec = getenv("MOBULA_FAULT");

		parse(spec ? spec : "");
		mobi_store(&state, PARSED);
		return;
	}
	while (mobi_load(&state) != PARSED) {
		mobi_relax();
	}
}

static bool point_fires(struct point *p)
{
	uint64_t hit = mobi_fetch_add(&p->hits, 1) + 1;

	if (hit < p->from || (hit > p->from && !p->onwards)) {
		return false;
	}
	if (p->sig == 0) {
		return true;
	}
	(void)kill(getpid(), p->sig);
	return false;
}

bool mobi_fault_hit(const char *name)
{
	bool error = false;

	parse_once();
	for (unsigned i = 0; i < n_points; i++) {
		if (strcmp(points[i].name, name) == 0 &&
		    point_fires(&points[i])) {
			error = true;
		}
	}
	return error;
}

#endif /* MOB_FAILPOINTS */
