/* SPDX-License-Identifier: Apache-2.0 */
/* A program with a main of its own, which cannot be a worker: mob_init says so.
 * Exit code 0 if it does. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <string.h>

MOB_TASK(int64_t, one, void)
{
	return 1;
}

int main(void)
{
	int rc = mob_init(NULL);

	(void)printf("%s\n", mob_error());
	return !(rc == MOB_E_STATE && strstr(mob_error(), "MOB_MAIN") &&
		 mob_ref_is_none(mob_submit(one)));
}
