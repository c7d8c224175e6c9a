/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the store of the writer and reads its object where it lies. */
#include <mobula/store.h>

#include <inttypes.h>
#include <stdio.h>

static int fail(const char *what, int rc)
{
	fprintf(stderr, "reader: %s: %s: %s\n", what, mob_err_message(rc),
		mob_err_detail(rc));
	return 1;
}

int main(int argc, char **argv)
{
	struct mob_store *store;
	struct mob_view view;
	struct mob_ref ref;
	const uint64_t *number;
	int rc;

	if (argc != 4 || sscanf(argv[2], "%" SCNx64, &ref.hi) != 1 ||
	    sscanf(argv[3], "%" SCNx64, &ref.lo) != 1) {
		fprintf(stderr, "usage: reader STORE REF\n");
		return 2;
	}
	rc = mob_store_open(argv[1], &store);
	if (rc < 0) {
		return fail("open", rc);
	}
	rc = mob_object_get(store, ref, MOB_SEC, &view);
	if (rc < 0) {
		return fail("get", rc);
	}
	number = view.at; /* the writer's bytes, read only, not copied */
	printf("%" PRIu64 " bytes; the last number is %" PRIu64 "\n", view.size,
	       number[view.size / sizeof(*number) - 1]);
	mob_view_release(store, &view);
	mob_store_close(store);
	return 0;
}
