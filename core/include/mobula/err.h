/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. A fallible function returns 0 or a positive count on success and a
 * negative MOB_E_* on failure. The numbers are fixed: they travel in shared
 * memory and on the wire. Add at the end, never renumber.
 */
#ifndef MOBULA_ERR_H
#define MOBULA_ERR_H

#include <mobula/export.h>

MOB_EXTERN_C_BEGIN

/* X(name, number, nearest errno, message) */
#define MOB_ERR_MAP(X)                                                         \
	X(INVAL, 1, EINVAL, "invalid argument")                                \
	X(NOMEM, 2, ENOMEM, "out of memory")                                   \
	X(SYS, 3, EIO, "a system call failed")                                 \
	X(VERSION, 4, EPROTO, "version mismatch")                              \
	X(TIMEOUT, 5, ETIMEDOUT, "timed out")                                  \
	X(AGAIN, 6, EAGAIN, "not now, try again")                              \
	X(NOT_FOUND, 7, ENOENT, "not found")                                   \
	X(EXISTS, 8, EEXIST, "already exists")                                 \
	X(BUSY, 9, EBUSY, "in use")                                            \
	X(PERM, 10, EACCES, "permission denied")                               \
	X(LIMIT, 11, ENOSPC, "a limit is reached")                             \
	X(FORKED, 12, ECHILD, "called in a forked child that did not attach")  \
	X(CLOSED, 13, ESHUTDOWN, "the session has ended")                      \
	X(STORE_FULL, 14, ENOSPC, "the object store is full")                  \
	X(LOST, 15, ENODATA, "the object is lost")                             \
	X(CANCELLED, 16, ECANCELED, "cancelled")                               \
	X(TASK, 17, EIO, "the task reported an error")                         \
	X(CRASHED, 18, ECHILD, "the worker crashed")                           \
	X(TYPE, 19, EINVAL, "wrong type")                                      \
	X(BAD_REF, 20, EINVAL, "not a ref of this session, or released")       \
	X(CORRUPT, 21, EILSEQ, "corrupt data")                                 \
	X(PLUGIN, 22, ELIBBAD, "not a usable plugin")                          \
	X(UNSCHEDULABLE, 23, ERANGE, "no worker can ever run this")            \
	X(DEADLOCK, 24, EDEADLK, "deadlock")                                   \
	X(IO, 25, EIO, "input or output error")                                \
	X(STATE, 26, EINVAL, "not possible in this state")                     \
	X(UNSUPPORTED, 27, EOPNOTSUPP, "not supported")                        \
	X(DISK_FULL, 28, ENOSPC, "no space left on the file system")           \
	X(INTERRUPTED, 29, EINTR, "the wait was cancelled by mob_cancel")

#define MOB_ERR_ENUM_(name, number, errno_, message) MOB_E_##name = -(number),
enum mob_err { MOB_OK = 0, MOB_ERR_MAP(MOB_ERR_ENUM_) };
#undef MOB_ERR_ENUM_

/*
 * Name of a code ("MOB_E_INVAL"), "MOB_OK", or "MOB_E_?" for a number that
 * this build does not know. Owner: static. Thread: any. Since 0.1.
 */
MOB_API const char *mob_err_name(int rc);

/* One line of what the code means. Owner: static. Thread: any. Since 0.1. */
MOB_API const char *mob_err_message(int rc);

/*
 * What exactly failed, and what to do: the text recorded with the last error
 * of this thread if that error was rc, else "". Owner: borrowed until the next
 * failing call of this thread. Thread: any. Since 0.1.
 */
MOB_API const char *mob_err_detail(int rc);

/* The errno nearest to the code; 0 for MOB_OK. Thread: any. Since 0.1. */
MOB_API int mob_err_errno(int rc);

MOB_EXTERN_C_END

#endif /* MOBULA_ERR_H */
