/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of tools/bench-peers share. */
#include "peer.h"

#include "cli.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Of the second process, in the page's `other`. */
struct talk {
	uint64_t begin;
	uint64_t end;
	bool done;
};

const char *peer_place;
/* cli.c asks for them; these programs have none. */
const struct cli_noun cli_nouns[] = { { 0 } };

int peer_main(int argc, char **argv, const struct bench_case *cases)
{
	struct bench_plan plan = { .cases = cases, .json = true };
	char *end;

	if (argc < 4 || argc > 5 || (argc == 5 && strcmp(argv[4], "quick"))) {
		cli_say("arguments: ROUNDS GLOB PLACE [quick]");
		return CLI_USAGE;
	}
	plan.rounds = (uint32_t)strtoul(argv[1], &end, 10);
	if (*end || !plan.rounds || plan.rounds > 1000) {
		cli_say("ROUNDS is '%s'; it must be 1 to 1000", argv[1]);
		return CLI_USAGE;
	}
	plan.glob = argv[2];
	peer_place = argv[3];
	plan.quick = argc == 5;
	return bench_run(&plan);
}

void peer_second(struct raw_page *page, bool (*work)(void *arg, uint32_t n),
		 void *arg)
{
	struct talk *talk = (struct talk *)(void *)page->other;

	/* Both are hot when it begins. */
	atomic_store(&page->armed, 1);
	raw_wait_until(&page->ping, 1, true);
	talk->begin = bench_now();
	talk->done = work(arg, page->n);
	talk->end = bench_now();
}

int peer_both(struct bench *b, struct raw_peer *p, uint32_t n,
	      bool (*work)(void *arg, uint32_t n), void *arg, double *out_value)
{
	struct talk *talk = (struct talk *)(void *)p->page->other;
	uint64_t begin;
	uint64_t end;
	bool done;

	memset(talk, 0, sizeof(*talk));
	raw_peer_tell(p, RAW_OTHER, n);
	while (atomic_load(&p->page->armed) != 1) {
		(void)sched_yield();
	}
	raw_set(&p->page->ping, 1);
	begin = bench_now();
	done = work(arg, n);
	end = bench_now();
	if (raw_peer_wait(p) || !talk->done || !done) {
		return bench_fail(b, "a put failed in one of two processes");
	}
	begin = talk->begin < begin ? talk->begin : begin;
	end = talk->end > end ? talk->end : end;
	*out_value = 2.0 * n * 1e9 / (double)(end - begin);
	return 0;
}
