/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The janitor: what is done after the kernel has proved a death. A role, not a
 * process: whoever notices takes it, under a lock that a dead owner loses.
 * Every step may be cut short and done again.
 */
#ifndef MOBI_REAP_H
#define MOBI_REAP_H

#include "segment.h"

/* Looks who is dead and cleans up after them. Returns how many, or 0 if
 * somebody else is at it. Thread: any. */
int mobi_reap(struct mob_store *s);
/* This process has marked itself DEAD by that word: cleans up after it. */
void mobi_reap_leaving(struct mob_store *s, uint64_t word);
/* The table of processes is full: cleans up after the dead in it, though this
 * process is not attached. True: some were free when it was done. */
bool mobi_reap_full(struct mob_store *s);
/* A bit for each free slot of a group. */
uint64_t mobi_slots_free(struct mob_store *s, uint32_t group);
/* As mobi_reap, now and then: for sleepers. */
void mobi_reap_poll(struct mob_store *s);

#endif /* MOBI_REAP_H */
