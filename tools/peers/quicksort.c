/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times the program of docs/patterns/01_tree_of_tasks.c, taken in as it stands,
 * from put to get, beside the same algorithm run in place in one process.
 * Prints one JSON object a line, as `mob bench --json`.
 */
#define _GNU_SOURCE
#include <mobula/mobula.h>

/* Its own main function is not used: there is another one below. */
#undef MOB_MAIN
#define MOB_MAIN(...) MOB_UNUSED static int pattern_main(__VA_ARGS__)
#include "../../docs/patterns/01_tree_of_tasks.c"

#include <time.h>

#define NUMBERS 4000000u
#define LEAF 200000u
#define ROUNDS 5

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void swap(int32_t *a, int32_t *b)
{
	int32_t t = *a;

	*a = *b;
	*b = t;
}

/* The same quicksort in place: pivot is the last element, leaves are sorted. */
static void quick_sort(int32_t *v, size_t n)
{
	while (n > LEAF) {
		size_t lesser = 0;

		for (size_t i = 0; i < n - 1; i++) {
			if (v[i] <= v[n - 1]) {
				swap(&v[i], &v[lesser++]);
			}
		}
		swap(&v[lesser], &v[n - 1]);
		/* The smaller part by recursion, so the stack stays low. */
		if (lesser < n - 1 - lesser) {
			quick_sort(v, lesser);
			v += lesser + 1;
			n -= lesser + 1;
		} else {
			quick_sort(v + lesser + 1, n - 1 - lesser);
			n = lesser;
		}
	}
	qsort(v, n, sizeof(*v), compare);
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, int64_t *ns)
{
	qsort(ns, ROUNDS, sizeof(*ns), by_time);
	(void)printf("{\"case\":\"%s\",\"unit\":\"ns\",\"better\":\"lower\","
		     "\"median\":%lld,\"min\":%lld,\"max\":%lld,"
		     "\"rounds\":%d}\n",
		     name, (long long)ns[ROUNDS / 2], (long long)ns[0],
		     (long long)ns[ROUNDS - 1], ROUNDS);
}

/* From put to get; *out_ok says whether the result equals sorted. */
static int64_t distributed(const int32_t *unsorted, const int32_t *sorted,
			   bool *out_ok)
{
	int64_t t = now_ns();

	*out_ok = false;
	MOB_SCOPE
	{
		mob_ref in = mob_put(mob_i32s_of(unsorted, NUMBERS));
		mob_i32s out;

		if (mob_get(mob_submit(quick_sort_distributed, in), &out)) {
			(void)fprintf(stderr, "quicksort: %s\n", mob_error());
			return 0;
		}
		t = now_ns() - t;
		*out_ok = out.n == NUMBERS &&
			  memcmp(out.at, sorted, NUMBERS * sizeof(*sorted)) ==
				  0;
	}
	return t;
}

static int run(int argc, char **argv)
{
	int32_t *unsorted = malloc(NUMBERS * sizeof(*unsorted));
	int32_t *sorted = malloc(NUMBERS * sizeof(*sorted));
	int64_t alone[ROUNDS];
	int64_t tasks[ROUNDS];

	(void)argc;
	(void)argv;
	if (!unsorted || !sorted || mob_init(NULL)) {
		(void)fprintf(stderr, "quicksort: no session\n");
		return 1;
	}
	for (size_t i = 0; i < NUMBERS; i++) {
		unsorted[i] = rand() % 1000000;
	}
	for (int i = 0; i < ROUNDS; i++) {
		bool ok;

		memcpy(sorted, unsorted, NUMBERS * sizeof(*sorted));
		alone[i] = now_ns();
		quick_sort(sorted, NUMBERS);
		alone[i] = now_ns() - alone[i];
		tasks[i] = distributed(unsorted, sorted, &ok);
		if (!ok) {
			(void)fprintf(stderr, "quicksort: wrong result\n");
			return 1;
		}
	}
	report("quicksort.sequential", alone);
	report("quicksort.distributed", tasks);
	free(unsorted);
	free(sorted);
	return 0;
}

int main(int argc, char **argv)
{
	return mob_main(argc, argv, run);
}
