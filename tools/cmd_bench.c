/* SPDX-License-Identifier: Apache-2.0 */
/* mob bench: how fast it is, beside the raw primitives. */
#include "bench.h"
#include "cmd.h"
#include "out.h"

static int list(const struct bench_case *cases)
{
	static const struct out_col cols[] = {
		{ "case", "CASE", OUT_TEXT },
		{ "raw", "RAW PRIMITIVE", OUT_TEXT },
		{ 0 },
	};
	struct out o;

	out_begin(&o, cols);
	for (const struct bench_case *i = cases; i->name; i++) {
		out_text(&o, i->name);
		out_text(&o, i->raw_name);
		out_end_row(&o);
	}
	return out_end(&o);
}

static int run(struct cli *c, const struct bench_case *cases)
{
	struct bench_plan plan = { .cases = cases };
	uint64_t rounds = cli_number(c, "rounds");
	uint64_t processors = cli_number(c, "processors");

	if (cli_flag(c, "list")) {
		return list(cases);
	}
	plan.glob = cli_text(c, "case");
	plan.rounds = rounds > UINT32_MAX ? UINT32_MAX : (uint32_t)rounds;
	plan.processors = processors > UINT32_MAX ? UINT32_MAX :
						    (uint32_t)processors;
	plan.json = out_style.json;
	plan.header = out_style.header;
	plan.quick = cli_flag(c, "quick");
	plan.strict = cli_flag(c, "strict");
	if (plan.quick) {
		cli_say("--quick: the figures mean nothing");
	}
	return bench_run(&plan);
}

static int run_store(struct cli *c)
{
	return run(c, bench_store_cases);
}

static int run_task(struct cli *c)
{
	return run(c, bench_task_cases);
}

static const struct cli_opt opts[] = {
	{ "rounds", 'r', CLI_NUMBER, "N", "5", "rounds of each case" },
	{ "case", 'c', CLI_TEXT, "GLOB", NULL, "only cases whose names match" },
	{ "processors", 'p', CLI_NUMBER, "N", "2",
	  "use so many processors; 0: all" },
	{ "quick", 0, CLI_FLAG, NULL, NULL,
	  "little work, to see that the cases run" },
	{ "strict", 0, CLI_FLAG, NULL, NULL,
	  "exit with 1 if a case misses what it should reach" },
	{ "list", 'l', CLI_FLAG, NULL, NULL, "list the cases, run none" },
	{ 0 },
};

const struct cli_cmd cmd_bench[] = {
	{ .name = "store",
	  .args = "",
	  .help = "objects: put, get, wake, beside memcpy and futex",
	  .opts = opts,
	  .run = run_store },
	{ .name = "task",
	  .args = "",
	  .help = "tasks: latency, throughput, granularity, start",
	  .opts = opts,
	  .run = run_task },
	{ 0 },
};
