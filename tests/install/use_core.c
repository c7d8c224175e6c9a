/* SPDX-License-Identifier: Apache-2.0 */
/* A program of somebody else that uses the layer core alone. */
#include <mobula/err.h>
#include <mobula/version.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
	printf("mobula %s, %s\n", mob_version(), mob_err_name(MOB_E_TIMEOUT));
	return strcmp(mob_version(), MOB_VERSION) != 0;
}
