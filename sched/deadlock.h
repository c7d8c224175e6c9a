/* SPDX-License-Identifier: Apache-2.0 */
/* Waits that can never end. */
#ifndef MOBI_DEADLOCK_H
#define MOBI_DEADLOCK_H

#include "runtime.h"
#include "wait.h"

/*
 * The task that runs in c on this worker is about to sleep: publishes what for, if
 * there is no other way out, and looks whether that closes a cycle. 0, or
 * MOB_E_DEADLOCK, with the cycle as detail: then nothing is published any more.
 * Called again now and then as long as it sleeps. Thread: the worker's.
 */
int mobi_deadlock_sleep(struct mob_store *s, const struct mobi_context *c,
			const struct mobi_wait *w);
/* The same for a thread that runs no task: only of a driver something is published, and
 * only if the wait lasts. Thread: any; and when it goes on. */
int mobi_deadlock_sleep_outside(struct mob_store *s, const struct mobi_wait *w);
void mobi_deadlock_wake_outside(struct mob_store *s);
/* Who sleeps in that process does not any more, or runs something else meanwhile; or
 * the process is dead. */
void mobi_deadlock_wake(struct mob_store *s, uint32_t client);

/* The cycle of waits that this process is in, in words; false: none is found.
 * Thread: any of any process that has the session open. */
bool mobi_deadlock_text(struct mob_store *s, uint32_t client, char *out,
			size_t size);

#endif /* MOBI_DEADLOCK_H */
