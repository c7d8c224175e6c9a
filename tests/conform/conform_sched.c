/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite of scheduling policies, as a program.
 *
 *   conform_sched [--fails TEXT] POLICY
 *
 * Runs each check on the policy, a name or a path, in a child with a limit of
 * processor time, and prints a line for each. Exit: 0 all pass, 1 some do not,
 * 2 usage. With --fails the policy is broken on purpose: 0 if a check does not
 * pass and says TEXT.
 */
#include "err.h"
#include "policy.h"

#include <stdio.h>
#include <string.h>

#define CPU_S 3u

int main(int argc, char **argv)
{
	const char *must_say = NULL;
	const char *policy;
	bool failed = false;

	if (argc == 4 && strcmp(argv[1], "--fails") == 0) {
		must_say = argv[2];
	} else if (argc != 2) {
		fprintf(stderr, "usage: %s [--fails TEXT] POLICY\n", argv[0]);
		return 2;
	}
	policy = argv[argc - 1];
	for (uint32_t i = 0; mobi_policy_check_name(i); i++) {
		int rc = mobi_policy_try(policy, i, CPU_S);
		const char *detail = mob_err_detail(rc);

		if (rc == 0) {
			printf("ok     %s\n", mobi_policy_check_name(i));
			continue;
		}
		printf("not ok %s: %s: %s\n", mobi_policy_check_name(i),
		       mob_err_name(rc), detail);
		if (must_say && strstr(detail, must_say)) {
			return 0;
		}
		failed = true;
	}
	return failed || must_say ? 1 : 0;
}
