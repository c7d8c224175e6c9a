/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to tasks, in shared memory: a ring of events and a few counters for
 * each number of a process. Only the process with the number writes there, without
 * locks; anybody may read at any time. Nothing is ever set back: who gets the number
 * next goes on behind what the one before has written.
 */
#ifndef MOBI_RECORD_H
#define MOBI_RECORD_H

#include "sched_layout.h"
#include "segment.h"

#include <mobula/record.h>

/*
 * An event. seq is 0 while it is written, and tells then its place among all of its
 * ring and a sum of the other words: so one that a killed process left half written,
 * or that two threads wrote at once a whole round apart, is recognised.
 */
struct mobi_event {
	mobi_a64 seq;  /* {place + 1 48, sum 16} */
	mobi_a64 when; /* {ns 56, kind 8} */
	mobi_a64 task; /* {gen 32, record + 1 32} */
	mobi_a64 more; /* MOBI_EV_MORE, or another task. STARTED: for how many
			* ns it was queued + 1; 0: not known */
};
MOBI_SIZE(struct mobi_event, 32);
#define MOBI_EV_MORE(fn, name, attempt, arg)                                   \
	((uint64_t)(fn) << 48 | (uint64_t)(name) << 40 |                       \
	 (uint64_t)(attempt) << 32 | (uint32_t)(arg))

/* Counters of one thread, or of several: those of store/count.h have the same rows. */
#define MOBI_METER_KINDS 16u
struct mobi_meter {
	_Alignas(64) mobi_a64 n[MOBI_METER_KINDS]; /* events by kind */
	mobi_a64 wait_ns;
	mobi_a64 run_ns;
	mobi_a64 wait[MOB_HISTOGRAM_BUCKETS];
	mobi_a64 run[MOB_HISTOGRAM_BUCKETS];
};
struct mobi_record_head {
	_Alignas(64) mobi_a64 next; /* place of the next event */
	/* {pid 32, of the events from this place on, mod 2^32}: of the process
	 * that has the number, or had it last. */
	mobi_a64 owner;
	struct mobi_meter meter[MOBI_COUNT_ROWS];
	/* The events follow. */
};

#define MOBI_RECORD_EVENTS_MAX 131072u
/* Bytes of each number with rings of so many events. */
static inline uint64_t mobi_record_bytes(uint32_t events)
{
	return (sizeof(struct mobi_record_head) +
		events * sizeof(struct mobi_event) + 65535) /
	       65536 * 65536;
}

/* Of a new session. */
int mobi_record_init(struct mob_store *s);
/* This process records from now on; without memory for that it does not. */
void mobi_record_open(struct mob_store *s);

/* ---- writing ---- */

void mobi_record_put(struct mob_store *s, uint32_t kind, uint64_t ns,
		     uint64_t task, uint64_t more);
/* Of the task in this record with this word. */
void mobi_record(struct mob_store *s, uint32_t kind, uint64_t ns, uint32_t rec,
		 uint64_t w, uint32_t arg);

/* It needs an object that another task makes. */
void mobi_record_needs(struct mob_store *s, uint32_t rec, uint32_t gen,
		       uint64_t id);
/* If it is READY, it has been queued now. The time is kept in the record; the event
 * that tells of the start has it. One that starts at once needs none. */
void mobi_record_queued(struct mob_store *s, uint32_t rec, uint64_t now);
/* It runs since began_ns, which is not yet in the record. */
void mobi_record_started(struct mob_store *s, uint32_t rec, uint64_t w,
			 uint64_t began_ns);
/* It ran so long and ends, or will run again. */
void mobi_record_ended(struct mob_store *s, uint32_t kind, uint32_t rec,
		       uint64_t w, uint64_t ran_ns, int code);
/* {gen, record} waits for an object. */
void mobi_record_blocked(struct mob_store *s, uint64_t task, uint64_t id);
void mobi_record_resumed(struct mob_store *s, uint64_t task);

/* ---- of the dead, for the janitor ---- */

/* RUN of a dead process, whose end is done for it: unless it has told of it. */
void mobi_record_finished_for(struct mob_store *s, uint32_t rec, uint64_t w);
/* RUN of a dead process. */
void mobi_record_crashed(struct mob_store *s, uint32_t rec, uint64_t w);
/* It stood in this place. */
void mobi_record_died(struct mob_store *s, const struct mobi_place_shared *p,
		      uint32_t client);

/* ---- reading (record_read.c) ---- */

/* The head of a number; NULL if it has never written, or beyond backed memory. */
const struct mobi_record_head *mobi_record_at(const struct mob_store *s,
					      uint32_t client);
/* The sum that stands in seq. */
static inline uint64_t mobi_event_sum(uint64_t when, uint64_t task,
				      uint64_t more)
{
	uint64_t h = (when ^ task << 20 ^ task >> 44) *
			     UINT64_C(0x9e3779b97f4a7c15) ^
		     more * UINT64_C(0xbf58476d1ce4e5b9);

	return (h ^ h >> 32) * UINT64_C(0x94d049bb133111eb) >> 48;
}

/* Words of an event that were read whole. */
struct mobi_event_read {
	uint64_t when;
	uint64_t task;
	uint64_t more;
};
enum mobi_event_state { MOBI_EVENT_WHOLE, MOBI_EVENT_TORN, MOBI_EVENT_LOST };
/* The event at this place of the ring of a number. */
enum mobi_event_state mobi_event_read(const struct mobi_record_head *h,
				      uint32_t events, uint64_t place,
				      struct mobi_event_read *out);

#endif /* MOBI_RECORD_H */
