/* SPDX-License-Identifier: Apache-2.0 */
/* A program of somebody else that uses the layer store: no session is asked
 * for, the name is one that no store can have. */
#include <mobula/store.h>

#include <stdio.h>

int main(void)
{
	struct mob_store *store = NULL;
	int rc = mob_store_open("no-such-store-anywhere", &store);

	printf("%s: %s\n", mob_err_name(rc), mob_err_detail(rc));
	return rc >= 0;
}
