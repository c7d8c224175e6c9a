/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of a policy, by name; policy_day.c does the work. */
#include "policy.h"

#include "err.h"
#include "os_trial.h"
#include "policy_day.h"

static int no_memory(const struct mobi_policy *p)
{
	return mobi_err(MOB_E_NOMEM, "check of policy %s: out of memory",
			p->plugin->name);
}

static int run(const struct mobi_policy *p, const char *name, uint32_t workers,
	       bool moves, uint64_t *out_trace)
{
	struct mobi_day *d = mobi_day_create(p, name, workers, moves);
	int rc = d ? mobi_day_run(d, out_trace) : no_memory(p);

	mobi_day_destroy(d);
	return rc;
}

static int check_table(const struct mobi_policy *p, const char *name)
{
	/* mobi_policy_of has looked at the rest. */
	return p->plugin->summary ? 0 :
				    mobi_err(MOB_E_PLUGIN,
					     "policy %s, %s: no summary; give "
					     "MOB_PLUGIN_DEFINE a .summary",
					     p->plugin->name, name);
}

static int check_1(const struct mobi_policy *p, const char *name)
{
	uint64_t trace;

	return run(p, name, 1, false, &trace);
}

static int check_2(const struct mobi_policy *p, const char *name)
{
	uint64_t trace;

	return run(p, name, 2, false, &trace);
}

static int check_7(const struct mobi_policy *p, const char *name)
{
	uint64_t trace;

	return run(p, name, 7, false, &trace);
}

static int check_repeat(const struct mobi_policy *p, const char *name)
{
	uint64_t a = 0;
	uint64_t b = 0;
	int rc = run(p, name, 7, false, &a);

	if (rc == 0) {
		rc = run(p, name, 7, true, &b);
	}
	if (rc == 0 && a != b) {
		rc = mobi_err(MOB_E_PLUGIN,
			      "policy %s, %s: the same tasks ran in another "
			      "order when the state had another address; keep "
			      "no pointer in it and nothing in static "
			      "variables, "
			      "take time and randomness from the host",
			      p->plugin->name, name);
	}
	return rc;
}

static int check_dump(const struct mobi_policy *p, const char *name)
{
	static const size_t sizes[] = { 4096, 100, 1 };
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 3; i++) {
		struct mobi_day *d = mobi_day_create(p, name, 2, false);

		rc = d ? mobi_day_dump(d, sizes[i]) : no_memory(p);
		mobi_day_destroy(d);
	}
	return rc;
}

static const struct {
	const char *name;
	int (*fn)(const struct mobi_policy *p, const char *name);
} checks[] = {
	{ "table", check_table },   { "1 worker", check_1 },
	{ "2 workers", check_2 },   { "7 workers", check_7 },
	{ "repeat", check_repeat }, { "dump", check_dump },
};
#define CHECKS (sizeof(checks) / sizeof(checks[0]))

const char *mobi_policy_check_name(uint32_t check)
{
	return check < CHECKS ? checks[check].name : NULL;
}

int mobi_policy_check_one(const struct mob_plugin *plugin, uint32_t check)
{
	struct mobi_policy p;
	int rc = mobi_policy_of(plugin, &p);

	MOB_ASSERT(check < CHECKS);
	return rc < 0 ? rc : checks[check].fn(&p, checks[check].name);
}

int mobi_policy_check(const struct mob_plugin *plugin)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < CHECKS; i++) {
		rc = mobi_policy_check_one(plugin, i);
	}
	return rc;
}

struct attempt {
	const char *policy;
	uint32_t check;
};

static int attempt_main(void *arg)
{
	const struct attempt *a = arg;
	struct mobi_policy p;
	int rc = mobi_policy_load(a->policy, &p);

	if (rc < 0) {
		return rc;
	}
	return a->check == MOBI_POLICY_CHECK_ALL ?
		       mobi_policy_check(p.plugin) :
		       mobi_policy_check_one(p.plugin, a->check);
}

int mobi_policy_try(const char *name_or_path, uint32_t check, uint32_t cpu_s)
{
	struct attempt a = { name_or_path, check };
	struct mobi_trial_end end;
	int rc = mobi_trial(attempt_main, &a, cpu_s, cpu_s * 10000, &end);

	if (rc == MOB_E_CRASHED || rc == MOB_E_TIMEOUT) {
		return mobi_err(rc, "policy %s, %s: %s", name_or_path,
				check == MOBI_POLICY_CHECK_ALL ?
					"check" :
					checks[check].name,
				end.detail);
	}
	return rc;
}
