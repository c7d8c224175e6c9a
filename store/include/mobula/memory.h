/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the memory of a store is: object by object, and every byte of it summed
 * up by what keeps it.
 */
#ifndef MOBULA_MEMORY_H
#define MOBULA_MEMORY_H

#include <mobula/store.h>

MOB_EXTERN_C_BEGIN

/* What keeps an object: the first of these that does. */
enum mob_memory_kind {
	MOB_MEMORY_NAMED,      /* it has a name */
	MOB_MEMORY_PINNED,     /* or a pin */
	MOB_MEMORY_REFERENCED, /* a process has a hold or a view of it */
	MOB_MEMORY_ARGUMENT,   /* a task that is not over needs or makes it */
	MOB_MEMORY_NESTED,     /* an object has its ref inside, or is a part of
				  it */
	MOB_MEMORY_QUEUED,     /* a completion queue has it */
	MOB_MEMORY_LEAVING,    /* nothing: it is about to be freed */
	MOB_MEMORY_KINDS
};
/* "named"; "?" for no kind. Owner: static. Thread: any. */
MOB_API const char *mob_memory_kind_name(uint32_t kind);

/* Where the value of an object is. */
enum mob_memory_where {
	MOB_MEMORY_NOWHERE, /* it has none, or not yet */
	MOB_MEMORY_INSIDE,  /* in its row of the tables: up to 48 bytes */
	MOB_MEMORY_BLOCK,   /* in a block of the arena */
	MOB_MEMORY_PART,    /* it is a part of another object */
	MOB_MEMORY_FILE     /* in the spill directory */
};
/* "block"; "?" for none of these. Owner: static. Thread: any. */
MOB_API const char *mob_memory_where_name(uint32_t where);

/* Grows at the end only; struct_size is the library's. */
struct mob_memory_info {
	uint32_t struct_size;
	uint32_t kind; /* enum mob_memory_kind */
	struct mob_ref ref;
	uint64_t size;        /* bytes of its value; 0: none yet */
	uint64_t block_bytes; /* of the arena; 0: it has none there */
	uint64_t born_ms;     /* since the session began; 0: it is pending */
	mob_type_id type;
	uint32_t state;     /* enum mob_object_state */
	uint32_t creator;   /* number of the process that made it */
	uint32_t processes; /* that have a hold or a view */
	uint32_t
		edges; /* of tasks, objects, queues and waiters; 4096: or more */
	uint32_t names;
	uint32_t pins;
	uint32_t where;      /* enum mob_memory_where */
	uint64_t used_bytes; /* of the block: value and header, also of one that
				is pending; the rest is lost to its size */
	uint64_t holders;    /* bit n: process n has a hold */
	uint64_t viewers;    /* bit n: process n has a view */
	uint32_t site; /* in the source that made it, for mob_site_text; 0:
			   unknown */
	uint32_t reserved;
};

/*
 * Calls fn for every living object, in the order of slots, until it returns
 * nonzero; returns that. Straight from the tables, not the catalogue: also what is
 * too young for that, or pending. Each row is right in itself; a list is no
 * snapshot. fn may call any function. Errors: FORKED, those of the catalogue (for
 * names and pins). Thread: any. Blocks: while the catalogue is opened. Since 0.1.
 */
MOB_API int mob_store_memory(struct mob_store *store,
			     int (*fn)(const struct mob_memory_info *, void *),
			     void *arg);

/* Room for any text of mob_site_text, with its NUL. */
#define MOB_SITE_TEXT 72

/*
 * The text of a place, "src/reader.c:120": the file as its compiler was told it (of
 * a long path the end) and the line of the call that made the object. Returns how
 * long it is, 0 if it is unknown; as snprintf it writes what fits. Known are the
 * first 1,023 places of a process and 1,024 of a store. Errors: FORKED. Thread:
 * any. Since 0.1.
 */
MOB_API int mob_site_text(struct mob_store *store, uint32_t site, char *out,
			  size_t size);

/* The objects of one kind. Their values are in exactly one of used, inside, part
 * and file bytes each; used and file bytes have their headers too. */
struct mob_memory_sum {
	uint64_t objects;
	uint64_t size;          /* bytes of their values */
	uint64_t block_bytes;   /* of the arena */
	uint64_t used_bytes;    /* of these: values and headers */
	uint64_t padding_bytes; /* of these: what blocks are larger */
	uint64_t pending_bytes; /* of these: of objects that are not sealed */
	uint64_t inside_bytes;  /* in the tables */
	uint64_t part_bytes;    /* in the memory of other objects */
	uint64_t file_bytes;    /* in the spill directory */
};

enum mob_memory_verdict {
	MOB_MEMORY_EXACT, /* all sums are equal, and nothing moved meanwhile */
	MOB_MEMORY_CHANGING, /* the store was never quiet while they were made */
	MOB_MEMORY_WRONG /* it was quiet, and they are not: see mob_store_check */
};

/*
 * All memory of a store. Grows at the end only; struct_size is the library's. The
 * arena is what objects have (from the rows of objects), reserved, tails, moving,
 * free and bare (from the words of units and the tags of free blocks). What it is
 * compared with is found in another way: blocks by the tags of those that are
 * taken, memory by the bits of backed units, the whole by its size.
 */
struct mob_memory_sums {
	uint32_t struct_size;
	uint32_t verdict; /* enum mob_memory_verdict */
	struct mob_memory_sum kind[MOB_MEMORY_KINDS];
	struct mob_memory_sum all; /* of all kinds */
	uint64_t reserved_bytes;   /* free blocks of slabs, for objects of their
				      size */
	uint64_t tail_bytes;       /* ends of slabs, too short for a block */
	uint64_t moving_bytes;     /* being taken or given back */
	uint64_t free_bytes;       /* has memory, and no object */
	uint64_t bare_bytes;       /* has no memory yet */
	uint64_t tables_bytes;     /* memory of the control segment */
	uint64_t catalogue_bytes;  /* of LMDB's files */
	uint64_t found_blocks;
	uint64_t found_block_bytes; /* objects should have all of these */
	uint64_t found_backed_bytes;
	uint64_t found_arena_bytes;
};

/*
 * Sums up the memory of a store. Tried again, up to 16 times, while others change
 * it. Errors: FORKED, those of the catalogue. Thread: any. Blocks: as
 * mob_store_memory. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_store_memory_sums(struct mob_store *store,
						struct mob_memory_sums *out);

/* ---- who does what ---- */

enum mob_process_state {
	MOB_PROCESS_RUNS,
	MOB_PROCESS_STOPPED, /* by SIGSTOP or a debugger */
	MOB_PROCESS_DEAD     /* nobody has cleaned up after it yet */
};
/* "stopped"; "?" for none of these. Owner: static. Thread: any. */
MOB_API const char *mob_process_state_name(uint32_t state);

/* Locks of a store that a process has. */
#define MOB_LOCK_ATTACH 1u    /* joins, or looks whether others are there */
#define MOB_LOCK_JANITOR 2u   /* cleans up after the dead */
#define MOB_LOCK_CATALOGUE 4u /* writes to the catalogue */

/* A process that is attached. What is counted (put_bytes to room_waits) counts
 * from when the store was made, for all that ever had its number. */
struct mob_process {
	uint32_t number; /* 1 to 63 */
	uint32_t pid;
	uint32_t state;          /* enum mob_process_state */
	uint32_t locks;          /* MOB_LOCK_* */
	uint32_t attach;         /* which of those that had the number */
	uint32_t locked_objects; /* that it changes, or was when it died */
	uint64_t made_objects;   /* alive: that it made */
	uint64_t made_bytes;     /* blocks of these */
	uint64_t held_objects;   /* that it has a hold or view of */
	uint64_t held_bytes;     /* blocks of these */
	uint64_t viewed_bytes;   /* blocks of those that it has a view of */
	uint64_t reserved_bytes; /* free blocks of its slabs */
	uint64_t put_bytes;      /* written to objects */
	uint64_t gets;           /* views taken */
	uint64_t spills;
	uint64_t restores;
	uint64_t sleeps;     /* until an object was resolved */
	uint64_t room_waits; /* for room in a full store */
	char command[16];    /* of its program, cut; empty: unknown */
};

#define MOB_PROCESSES_MAX 63

/*
 * What goes on in a store. Grows at the end only; struct_size is the library's.
 * Rates are differences of two. made and freed are exact, from the generations of
 * objects (those that a durable store was restored with are not counted); the others are counts of threads, of about now.
 */
struct mob_activity {
	uint32_t struct_size;
	uint32_t n_processes;
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	uint64_t made;  /* objects, ever */
	uint64_t freed;
	uint64_t
		put_bytes; /* these are sums of all processes there ever were */
	uint64_t gets;
	uint64_t spills;
	uint64_t restores;
	uint64_t sleeps;
	uint64_t room_waits;
	uint64_t waiting_for_room; /* processes, now */
	struct mob_process process[MOB_PROCESSES_MAX];
};

/* Looks at all objects once, changes and waits for nothing. Errors: NOMEM, FORKED. Thread:
 * any. Since 0.1. */
MOB_API MOB_NODISCARD int mob_store_activity(struct mob_store *store,
					     struct mob_activity *out);

MOB_EXTERN_C_END

#endif /* MOBULA_MEMORY_H */
