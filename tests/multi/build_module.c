/* SPDX-License-Identifier: Apache-2.0 */
/* A module in several builds, of which some are not to be loaded: BUILD_KIND. */
#include <mobula/mobula.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

MOB_TASK(int64_t, module_answer, void)
{
	return BUILD_KIND;
}

#if BUILD_KIND == 3
/* As if it had been compiled for a library whose definitions are larger. */
static const struct mob_task_def other = {
	.struct_size = sizeof(struct mob_task_def) + 8,
	.name = "module_other",
	.file = "other.c",
	.line = 1
};
static const struct mob_task_def *const others[1] = { &other };
#endif

__attribute__((constructor)) static void begin(void)
{
	const char *ledger = getenv("TEST_MODULE_LEDGER");
	int fd = ledger ? open(ledger, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

	if (fd >= 0) {
		(void)dprintf(fd, "%d\n", (int)getpid());
		(void)close(fd);
	}
#if BUILD_KIND == 3
	mob_module_register_raw(others, others + 1);
#elif BUILD_KIND == 4
	exit(0);
#elif BUILD_KIND == 5
	abort();
#endif
}
