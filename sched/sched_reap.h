/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's part of the janitor's work. */
#ifndef MOBI_SCHED_REAP_H
#define MOBI_SCHED_REAP_H

#include "segment.h"

void mobi_sched_reap_init(struct mob_store *s);

#endif /* MOBI_SCHED_REAP_H */
