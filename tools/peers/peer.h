/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of tools/bench-peers share: cases in rounds, printed as `mob
 * bench --json` prints them. Arguments of a program: ROUNDS GLOB PLACE. */
#ifndef PEER_H
#define PEER_H

#include <fnmatch.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SMALL 100u
#define PUTS 100000u
#define KEPT 200000u
#define READ 10000u
#define MIB ((size_t)1 << 20)
#define LARGE 200u
#define LISTED 1000000u
#define ROUNDS_MAX 100

struct peer {
	int rounds;
	const char *glob;
	const char *place; /* a directory, or a socket */
};

static inline uint64_t peer_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void peer_die(const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static inline struct peer peer_args(int argc, char **argv)
{
	struct peer p = { 0, "*", "" };

	if (argc != 4 || (p.rounds = atoi(argv[1])) < 1 ||
	    p.rounds > ROUNDS_MAX) {
		peer_die(argv[0], "usage: ROUNDS (1 to 100) GLOB PLACE");
	}
	p.glob = argv[2];
	p.place = argv[3];
	return p;
}

static inline bool peer_wants(const struct peer *p, const char *name)
{
	return fnmatch(p->glob, name, 0) == 0;
}

static inline int peer_order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One round warms up. once(arg) returns the value of a round. */
static inline void peer_case(const struct peer *p, const char *name,
			     const char *unit, double (*once)(void *arg),
			     void *arg)
{
	double v[ROUNDS_MAX];

	if (!peer_wants(p, name)) {
		return;
	}
	(void)fprintf(stderr, "%s\n", name);
	(void)once(arg);
	for (int i = 0; i < p->rounds; i++) {
		v[i] = once(arg);
	}
	qsort(v, (size_t)p->rounds, sizeof(v[0]), peer_order);
	printf("{\"case\":\"%s\",\"unit\":\"%s\",\"median\":%.1f,"
	       "\"min\":%.1f,\"max\":%.1f,\"rounds\":%d}\n",
	       name, unit, v[p->rounds / 2], v[0], v[p->rounds - 1], p->rounds);
	(void)fflush(stdout);
}

static inline double peer_rate(uint64_t n, uint64_t began)
{
	return (double)n * 1e9 / (double)(peer_now() - began);
}

#endif /* PEER_H */
