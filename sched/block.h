/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that wait: their CPU is another's meanwhile. */
#ifndef MOBI_BLOCK_H
#define MOBI_BLOCK_H

#include "runtime.h"

/* Takes part in the waits of this process. */
void mobi_block_init(void);
/* Gives the memory of stacks back that this worker keeps for tasks that run
 * while another waits. Thread: the worker's. */
void mobi_stacks_drop(void);

#endif /* MOBI_BLOCK_H */
