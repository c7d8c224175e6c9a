/* SPDX-License-Identifier: Apache-2.0 */
/* Recording of errors, inside. The public half is <mobula/err.h>. */
#ifndef MOBI_ERR_H
#define MOBI_ERR_H

#include <mobula/err.h>

#include <stdint.h>

/*
 * Records the detail of rc for this thread and returns rc, so that an origin
 * reads `return mobi_err(MOB_E_INVAL, "mob_wait: n_ready is %u ...", n)`.
 * Part 1 of the text names the call and argument; a hint follows "; ".
 * At most 511 bytes are kept. Keeps errno.
 */
int mobi_err(int rc, const char *fmt, ...) MOB_PRINTF(2, 3);

/* As mobi_err, with ": <strerror(errno)>" appended. ENOSPC, ENOMEM, EACCES and
 * EPERM choose MOB_E_DISK_FULL, NOMEM and PERM instead of rc = MOB_E_SYS. */
int mobi_err_errno(const char *fmt, ...) MOB_PRINTF(1, 2);

/* What this thread's last failure was, to be told after what clean-up does. */
#define MOBI_ERR_DETAIL 512
struct mobi_err_last {
	int rc;
	char text[MOBI_ERR_DETAIL];
};
void mobi_err_save(struct mobi_err_last *out);
void mobi_err_restore(const struct mobi_err_last *e);

/* Bugs only, never input: prints and aborts, in release builds too. */
void mobi_panic(const char *file, int line, const char *fmt, ...)
	MOB_PRINTF(3, 4) MOB_NORETURN;
#define MOB_ASSERT(cond)                                                       \
	do {                                                                   \
		if (!(cond)) {                                                 \
			mobi_panic(__FILE__, __LINE__, "%s", #cond);           \
		}                                                              \
	} while (0)

#endif /* MOBI_ERR_H */
