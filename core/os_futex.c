/* SPDX-License-Identifier: Apache-2.0 */
/* Futexes of Linux. Never FUTEX_PRIVATE_FLAG: the words are shared. */
#define _GNU_SOURCE

#include "os_futex.h"

#include "err.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int mobi_futex_wait(mobi_a32 *word, uint32_t value, int64_t timeout_ns)
{
	struct timespec t;
	struct timespec *limit = NULL;

	if (timeout_ns >= 0) {
		t.tv_sec = (time_t)(timeout_ns / 1000000000);
		t.tv_nsec = (long)(timeout_ns % 1000000000);
		limit = &t;
	}
	if (syscall(SYS_futex, word, FUTEX_WAIT, value, limit, NULL, 0) == 0 ||
	    errno == EAGAIN || errno == EINTR) {
		return 0;
	}
	if (errno == ETIMEDOUT) {
		return mobi_err(MOB_E_TIMEOUT,
				"futex wait: not woken within %" PRId64 " ns",
				timeout_ns);
	}
	/* The word is not mapped or not aligned. */
	mobi_panic(__FILE__, __LINE__, "futex wait: errno %d", errno);
}

int mobi_futex_wake(mobi_a32 *word, int n)
{
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);

	if (woken < 0) {
		mobi_panic(__FILE__, __LINE__, "futex wake: errno %d", errno);
	}
	return (int)woken;
}
