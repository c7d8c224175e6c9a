/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the library that runs. */
#include <mobula/version.h>

const char *mob_version(void)
{
	return MOB_VERSION;
}
