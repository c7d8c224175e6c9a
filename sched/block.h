/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that wait: their CPU is another's meanwhile. */
#ifndef MOBI_BLOCK_H
#define MOBI_BLOCK_H

#include "runtime.h"

/* Takes part in the waits of this process. */
void mobi_block_init(void);
/* Is the task of this thread blocked, or about to be, where no more workers may be
 * started and a processor is free? False outside of a task. */
bool mobi_block_at_bound(struct mob_store *s);
/* Gives the memory of stacks back that this worker keeps for tasks that run
 * while another waits. Thread: the worker's. */
void mobi_stacks_drop(void);

#endif /* MOBI_BLOCK_H */
