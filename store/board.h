/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board: a bit for each record that a worker should look at, because it is
 * new or because something that it waits for is resolved. Setting a bit twice
 * is harmless, so after a kill the janitor simply sets the bits again.
 *
 * While a worker is idle, a record goes by number into one of a few words on
 * the line of the idle bits instead: a lone task then costs one line between
 * two processors and not six. The rules are those of the bits: a number that
 * is there twice, or stays after its record was seen, is harmless.
 */
#ifndef MOBI_BOARD_H
#define MOBI_BOARD_H

#include "segment.h"

/* Sets the bit and, in a process that is no worker, wakes one. */
void mobi_board_set(struct mob_store *s, uint32_t rec);
/* Sets the bit only. */
void mobi_board_mark(struct mob_store *s, uint32_t rec);
/* Takes up to max records (at least 64); returns how many. */
uint32_t mobi_board_take(struct mob_store *s, uint32_t *out_recs, uint32_t max);
static inline bool mobi_board_some(const struct mob_store *s)
{
	for (uint32_t i = 0; i < MOBI_BOARD_NOW; i++) {
		if (mobi_load(&s->board->now[i])) {
			return true;
		}
	}
	for (uint32_t i = 0; i < MOBI_BOARD_ROOT; i++) {
		if (mobi_load(&s->board->root[i])) {
			return true;
		}
	}
	return false;
}

/* Wakes one idle worker; false if none is idle. Claims the idle bit, then
 * rings: killed in between the worker sleeps on, so the janitor rings all. */
bool mobi_board_wake(struct mob_store *s);
/* Rings the bell of a client. */
void mobi_client_ring(struct mob_store *s, uint32_t client);

#endif /* MOBI_BOARD_H */
