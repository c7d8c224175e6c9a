/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending a wait from another thread.
 *
 *   struct mob_cancel *stop;
 *   mob_cancel_new(&stop);
 *   in the threads that are to be stopped:  mob_cancel_use(stop);
 *                                           ... mob_object_get, mob_wait ...
 *   in another one:                         mob_cancel(stop);
 *
 * Calls that wait then return MOB_E_INTERRUPTED, and nothing is lost: they can be
 * made again. All functions may be called from any thread, but not from a signal
 * handler.
 */
#ifndef MOBULA_CANCEL_H
#define MOBULA_CANCEL_H

#include <mobula/err.h>

#include <stdbool.h>

MOB_EXTERN_C_BEGIN

/* A cancellation token. Owner: the caller, until mob_cancel_free. */
struct mob_cancel;

/* Errors: NOMEM. Since 0.1. */
MOB_API MOB_NODISCARD int mob_cancel_new(struct mob_cancel **out_cancel);
/* No thread may use it any more. NULL is allowed. Since 0.1. */
MOB_API void mob_cancel_free(struct mob_cancel *cancel);

/* From now on, until mob_cancel_reset, every call that would sleep returns
 * MOB_E_INTERRUPTED in the threads that use the token; those that sleep wake. A
 * result that is there already is given. Since 0.1. */
MOB_API void mob_cancel(struct mob_cancel *cancel);
MOB_API void mob_cancel_reset(struct mob_cancel *cancel);
MOB_API bool mob_cancel_is_set(const struct mob_cancel *cancel);

/* The token of the calling thread; NULL: none, as at its start. Returns the one
 * before. In a task: until the task ends. Since 0.1. */
MOB_API struct mob_cancel *mob_cancel_use(struct mob_cancel *cancel);

MOB_EXTERN_C_END

#endif /* MOBULA_CANCEL_H */
