/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live SESSION RUNNING GO END: a session to look at. Its one worker runs a task
 * that opens fifo GO for reading, and so stands still until somebody opens it
 * for writing; a second task is queued, a third waits for the first, and nobody needs the
 * fourth. Prints
 * "ready" when the first runs, then takes the results, prints their sum, and
 * stays until somebody opens fifo END for writing.
 */
#include <mobula/mobula.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Waits until the other side of a fifo is opened. */
static int meet(const char *fifo, int how)
{
	int fd = open(fifo, how);

	return fd < 0 ? -1 : close(fd);
}

MOB_TASK(int32_t, live_stand, mob_str, running, mob_str, go)
{
	printf("stands until it is let go\n");
	if (meet(running, O_WRONLY) || meet(go, O_RDONLY)) {
		mob_fail(1, "%s or %s cannot be opened", running, go);
		return 0;
	}
	return 1;
}

MOB_TASK(int32_t, live_one, void)
{
	return 1;
}

MOB_TASK(int32_t, live_plus, int32_t, a)
{
	return a + 1;
}

MOB_TASK(int32_t, live_spare, void)
{
	return 1;
}

MOB_MAIN(int argc, char **argv)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	struct mob_ref ref[3];
	int32_t sum = 0;
	int rc;

	if (argc != 5) {
		(void)fprintf(stderr, "usage: live SESSION RUNNING GO END\n");
		return 2;
	}
	opts.session = argv[1];
	opts.policy = "fifo";
	opts.workers = 1;
	opts.store_bytes = 64 << 20;
	rc = mob_init(&opts);
	if (rc < 0) {
		(void)fprintf(stderr, "live: %s\n", mob_err_detail(rc));
		return 1;
	}
	ref[0] = mob_submit(live_stand, argv[2], argv[3]);
	ref[1] = mob_submit(live_one);
	ref[2] = mob_submit(live_plus, ref[0]);
	(void)mob_submit(live_spare);
	if (meet(argv[2], O_RDONLY)) {
		return 1;
	}
	(void)puts("ready");
	(void)fflush(stdout);
	for (int i = 0; i < 3; i++) {
		int32_t x;

		if (mob_get(ref[i], &x)) {
			(void)fprintf(stderr, "live: %s\n", mob_error());
			return 1;
		}
		sum += x;
	}
	(void)printf("sum %d\n", (int)sum);
	(void)fflush(stdout);
	rc = meet(argv[4], O_RDONLY);
	mob_shutdown();
	return rc ? 1 : 0;
}
