/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob-worker: the program that mobd starts as the workers of a session, and
 * that loads the session's module. Its work is in mob_main; a person who
 * starts it is told so.
 */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_MAIN(void)
{
	fprintf(stderr, "mob-worker: started by mobd as a worker of its "
			"session, not by hand\n"
			"hint: mobd --help\n");
	return 2;
}
