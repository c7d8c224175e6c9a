/* SPDX-License-Identifier: Apache-2.0 */
/* Places: where workers stand. */
#ifndef MOBI_PLACE_H
#define MOBI_PLACE_H

#include "runtime.h"

/* Takes a free one, waiting a little for that of a dead worker. LIMIT, CLOSED. */
int mobi_place_take(struct mob_store *s, uint32_t *out_place);
void mobi_place_leave(struct mob_store *s, uint32_t place);
/* How `client`, which stands in p, ended, as waitpid tells it. False: nobody saw. */
bool mobi_place_status(const struct mob_store *s,
		       const struct mobi_place_shared *p, uint32_t client,
		       uint32_t *out);
/* Workers that are neither idle nor blocked. */
uint32_t mobi_domain_active(const struct mob_store *s);
/* Wakes an idle worker if a processor is free for it. */
void mobi_wake_worker(struct mob_store *s);

#endif /* MOBI_PLACE_H */
