/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a store and an object in it, and tells the name of the object. Waits
 * until its input ends: when it leaves, what it made goes with it. */
#include <mobula/store.h>

#include <inttypes.h>
#include <stdio.h>

static int fail(const char *what, int rc)
{
	fprintf(stderr, "writer: %s: %s: %s\n", what, mob_err_message(rc),
		mob_err_detail(rc));
	return 1;
}

int main(int argc, char **argv)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *store;
	struct mob_ref ref;
	uint64_t *number;
	void *at;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: writer STORE\n");
		return 2;
	}
	opts.arena_bytes = UINT64_C(16) << 20;
	opts.flags = MOB_STORE_PRIVATE; /* goes with its last process */
	rc = mob_store_create(argv[1], &opts, &store);
	if (rc < 0) {
		return fail("create", rc);
	}
	/* Space in shared memory, written in place, then sealed. */
	rc = mob_object_create(store, 1000 * sizeof(*number), MOB_TYPE_BYTES,
			       &ref, &at);
	if (rc < 0) {
		return fail("object", rc);
	}
	number = at;
	for (uint64_t i = 0; i < 1000; i++) {
		number[i] = i * i;
	}
	rc = mob_object_seal(store, ref);
	if (rc < 0) {
		return fail("seal", rc);
	}
	printf("%016" PRIx64 " %016" PRIx64 "\n", ref.hi, ref.lo);
	(void)fflush(stdout);
	while (getchar() != EOF) {
	}
	mob_store_close(store);
	return 0;
}
