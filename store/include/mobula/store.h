/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object store: immutable objects in shared memory, named by refs.
 *
 * Every process works on the tables directly; there is no server to start and
 * none that can die. kill -9 of any process loses nothing that was sealed,
 * leaks nothing, and is repaired by whoever notices.
 *
 *   struct mob_store *s;
 *   struct mob_ref r;
 *   void *p;
 *   if (mob_store_create("images", NULL, &s)) ...
 *   if (mob_object_create(s, 1 << 20, MOB_TYPE_BYTES, &r, &p)) ...
 *   fill(p);
 *   mob_object_seal(s, r);           now immutable, visible to all
 *   struct mob_view v;
 *   mob_object_get(s, r, MOB_FOREVER, &v);     v.at: read only, not copied
 *   mob_view_release(s, &v);
 *   mob_object_release(s, r);        the last hold frees it
 *
 * Life of an object: pending (its creator writes) -> sealed, failed, cancelled
 * or lost. It lives while a process holds it, a task not yet finished has it
 * as an argument, another object holds its ref, or it has a name or a pin.
 *
 * All functions may be called from any thread.
 */
#ifndef MOBULA_STORE_H
#define MOBULA_STORE_H

#include <mobula/cancel.h>
#include <mobula/err.h>
#include <mobula/site.h>
#include <mobula/types.h>

MOB_EXTERN_C_BEGIN

/* An attached store. Owner: from create or open until mob_store_close. */
struct mob_store;

/* Grows at the end only; set struct_size by MOB_STORE_OPTS_INIT. */
struct mob_store_opts {
	uint32_t struct_size;
	uint32_t flags;       /* MOB_STORE_* */
	uint64_t arena_bytes; /* 0: configuration store_bytes */
	/* File system of the session; NULL: /dev/shm. With MOB_STORE_DURABLE that
	 * of its copy: a directory on a disk. */
	const char *dir;
	/* Where sealed objects go that nobody views when the arena is full; an
	 * absolute path on a disk. NULL: configuration spill_dir, which is
	 * none: a full store is an error then. */
	const char *spill_dir;
};
#define MOB_STORE_OPTS_INIT                                                    \
	{                                                                      \
		(uint32_t)sizeof(struct mob_store_opts), 0, 0, 0, 0            \
	}

/* The directory is removed when the last process detaches or dies. */
#define MOB_STORE_PRIVATE 1u
/* spill_dir, or dir of a durable store, may be in memory. */
#define MOB_STORE_SPILL_ANYWHERE 2u
/*
 * What has a name or a pin is copied to dir by mob_store_sync, with all that it
 * refers to, and survives the machine; mob_store_restore brings it back. An object
 * is copied when all that it refers to is resolved. The store spills to dir, too.
 */
#define MOB_STORE_DURABLE 4u
/* Of mob_store_restore: reads every file, not only its end. */
#define MOB_STORE_READ_ALL 8u

#define MOB_STORE_MIN_BYTES (UINT64_C(4) << 20)
#define MOB_STORE_NAME_MAX 63

/*
 * Creates a store and attaches to it. name: [A-Za-z0-9_.-]{1,63}, not starting
 * with a dot; NULL makes a fresh one. A stale session of the same name, left
 * by a dead process, is removed first.
 * Errors: EXISTS (in use), INVAL (name or size, with the limits), DISK_FULL,
 * PERM. Blocks: no. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_store_create(const char *name,
					   const struct mob_store_opts *opts,
					   struct mob_store **out_store);

/* Attaches to a store by name, or by path if it holds a '/'. Errors: NOT_FOUND,
 * VERSION, CORRUPT, PERM (it is another user's, or others may change it), LIMIT
 * (63 living processes). Since 0.1. */
MOB_API MOB_NODISCARD int mob_store_open(const char *name,
					 struct mob_store **out_store);

/*
 * Attaches to a durable store by its name and opts->dir; if it has no session, as
 * after a reboot, makes one of the copy: names, pins and refs are what they were at
 * the last sync, objects of more than 2 KiB are read when they are viewed first.
 * What is damaged is left out, and told: fn (may be NULL) is called with a line for
 * each. opts->arena_bytes 0: as it was. A session that is still there elsewhere, in
 * another container, say, can no longer sync. Blocks: while another process syncs.
 * Errors: NOT_FOUND (no copy), EXISTS (a session of that name is of another one),
 * CORRUPT, VERSION, TIMEOUT, INVAL, STORE_FULL (arena_bytes is too small for it),
 * LIMIT (63 living processes), CLOSED (it is removed at this moment), PERM,
 * DISK_FULL, NOMEM. Since 0.1.
 */
MOB_API MOB_NODISCARD int
mob_store_restore(const char *name, const struct mob_store_opts *opts,
		  void (*fn)(const char *line, void *arg), void *arg,
		  struct mob_store **out_store);

/* Syncs a durable store that nobody else is attached to, and gives its memory
 * back; the copy stays. Errors: BUSY, INVAL (it is not durable), those of opening
 * and of mob_store_sync; then it is as it was. Since 0.1. */
MOB_API MOB_NODISCARD int mob_store_unload(const char *name);

/* Removes the copy of a durable store that has no session. Errors: NOT_FOUND, BUSY
 * (it has one), TIMEOUT, PERM, INVAL, SYS. Since 0.1. */
MOB_API MOB_NODISCARD int mob_store_remove_copy(const char *name,
						const char *dir);

/* Releases every hold and view of this process. NULL is allowed. Not while
 * another thread uses the store, or ends after it did; queues of it are closed
 * before. A forked child may close what it inherited: nothing but its own memory
 * is touched. Since 0.1. */
MOB_API void mob_store_close(struct mob_store *store);

/* Removes a store that nobody is attached to, and its copy if it is durable. What is
 * no store, or cannot be looked at, is left alone. Errors: NOT_FOUND, BUSY, PERM,
 * VERSION (of another build, which alone can tell), INVAL (no store), TIMEOUT
 * (another process syncs or restores the copy), NOMEM, SYS. */
MOB_API MOB_NODISCARD int mob_store_remove(const char *name);

/* Name of the store; borrowed until close. */
MOB_API const char *mob_store_name(const struct mob_store *store);

/* ---- types of objects ---- */

/* Id of a type: a hash of its name; the names "bytes", "error", "refs" and
 * those of the C types are predefined. Types are checked where a value is read
 * as a typed one. */
typedef uint32_t mob_type_id;
#define MOB_TYPE_BYTES 1u
#define MOB_TYPE_ERROR 2u
#define MOB_TYPE_REFS 3u

/* ---- objects ---- */

/*
 * Makes a pending object of size bytes and gives its writable bytes, aligned
 * to 64 (to 16 up to MOB_INLINE_MAX). The caller holds it (one hold).
 * Errors: STORE_FULL (names what is in use), INVAL, INTERRUPTED (mob_cancel), CLOSED
 * (the session ended while it waited for room).
 * Blocks: in a full store, while objects are spilled, and up to the configured
 * room_wait_ms; the same for all that makes objects. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_object_create(struct mob_store *store,
					    uint64_t size, mob_type_id type,
					    struct mob_ref *out_ref,
					    void **out_at);

/* Makes it immutable and wakes who waits. Only its creator may; its pointer
 * must not be written afterwards. Errors: STATE (already resolved), BAD_REF. */
MOB_API MOB_NODISCARD int mob_object_seal(struct mob_store *store,
					  struct mob_ref ref);

/* Ends a pending object as cancelled: who waits gets CANCELLED. */
MOB_API int mob_object_abort(struct mob_store *store, struct mob_ref ref);

/* create, copy, seal. */
MOB_API MOB_NODISCARD int mob_object_put(struct mob_store *store,
					 const void *at, uint64_t size,
					 mob_type_id type,
					 struct mob_ref *out_ref);

/*
 * Makes an object whose bytes are n refs and which keeps these objects alive
 * as long as it lives itself. The caller must hold them. Type MOB_TYPE_REFS.
 * Errors: BAD_REF, STORE_FULL, LIMIT, INVAL. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_object_put_refs(struct mob_store *store,
					      const struct mob_ref *refs,
					      uint64_t n,
					      struct mob_ref *out_ref);

/* Another hold on an object that somebody keeps alive. Each hold is given back
 * by mob_object_release. Errors: BAD_REF if it is gone or of another session. */
MOB_API MOB_NODISCARD int mob_object_hold(struct mob_store *store,
					  struct mob_ref ref);

/* Gives one hold back; the last reference frees the object at once (a pending
 * one when its creator seals or aborts it, who writes until then). A ref that
 * this process does not hold is MOB_E_BAD_REF. */
MOB_API int mob_object_release(struct mob_store *store, struct mob_ref ref);

/* Bytes of a sealed object. Read only: a write faults. */
struct mob_view {
	const void *at;
	uint64_t size;
	struct mob_ref ref;
	mob_type_id type;
	uint32_t header_size; /* bytes behind them; mob_view_header */
};

/*
 * Waits until the object is resolved and gives a view of its bytes; the view
 * pins them until mob_view_release, and keeps the object alive. The caller
 * must hold the ref, or somebody else keep it alive during the call.
 * timeout_ns: 0 polls, MOB_FOREVER waits for ever. One that was spilled is read
 * back whatever the time-out, and while another process moves it this waits for a
 * second at least; then STORE_FULL (no room for it), CORRUPT or NOT_FOUND (of its
 * file), NOMEM and SYS are possible too.
 * Errors: TIMEOUT; INTERRUPTED (mob_cancel); CLOSED (the session has ended);
 * BAD_REF; TASK (it failed: the view is given, and holds the error), CANCELLED, LOST
 * (no view). Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_object_get(struct mob_store *store,
					 struct mob_ref ref, int64_t timeout_ns,
					 struct mob_view *out_view);
/* Ends a view and clears it; a view that is clear is left alone. Of copies of a
 * view only one may be released. In a forked child: nothing. Thread: any. */
MOB_API void mob_view_release(struct mob_store *store, struct mob_view *view);

/*
 * These objects will be got soon: the files of those that are spilled are begun to
 * be read, all at once, by the kernel into its cache, so that getting them does not
 * wait for the disk. They stay where they are, the store has no less room for it,
 * and nothing is to be undone; more than there is free memory for is of no use.
 * Returns of how many objects; others (not spilled, pending, gone) are passed over.
 * Errors: BAD_REF (of another session), FORKED. Thread: any. Blocks: no longer than
 * the disk takes to accept the wishes. Since 0.1.
 */
MOB_API int mob_object_prefetch(struct mob_store *store,
				const struct mob_ref *refs, size_t n);

/* What is known of an object without waiting. */
enum mob_object_state {
	MOB_OBJECT_GONE = 0,
	MOB_OBJECT_PENDING,
	MOB_OBJECT_SEALED,
	MOB_OBJECT_FAILED,
	MOB_OBJECT_CANCELLED,
	MOB_OBJECT_LOST
};
MOB_API enum mob_object_state mob_object_state(struct mob_store *store,
					       struct mob_ref ref);

/* ---- what keeps an object without a process ---- */

/*
 * A name is 1 to MOB_NAME_MAX bytes without control characters. A named object
 * lives until its last name is removed, also when all processes are gone, as long
 * as the store itself. So does a pinned one. Both are changed by one transaction
 * that is over when the call returns. They are refused to nobody: any process of
 * the store may remove them. Blocks: while another process writes to the
 * catalogue. Since 0.1.
 */
#define MOB_NAME_MAX 255
#define MOB_NAME_REPLACE 1u
/*
 * The object is a cached one: it goes, with all its names, when room is needed and
 * no process, task or other object needs it; those viewed lately go last. Giving it a
 * name without this flag, or a pin, takes that back. It is not copied by a sync.
 */
#define MOB_NAME_CACHED 2u

/*
 * Names an object (one may have many names). Without MOB_NAME_REPLACE a name that
 * is taken is EXISTS, and nothing changes; with it the name changes hands at
 * once: nobody sees it missing. *out_version (may be NULL): grows each time the
 * name gets another object. Naming an object as it is named changes nothing.
 * Errors: EXISTS, BAD_REF, INVAL, DISK_FULL, LIMIT (the catalogue is full).
 */
MOB_API MOB_NODISCARD int mob_name_put(struct mob_store *store,
				       const char *name, struct mob_ref ref,
				       uint32_t flags, uint64_t *out_version);
/* The object of a name; the caller has a hold on it. Errors: NOT_FOUND, INVAL. */
MOB_API MOB_NODISCARD int mob_name_get(struct mob_store *store,
				       const char *name,
				       struct mob_ref *out_ref,
				       uint64_t *out_version);
/* Errors: NOT_FOUND, INVAL, DISK_FULL. */
MOB_API MOB_NODISCARD int mob_name_remove(struct mob_store *store,
					  const char *name);

struct mob_name_info {
	const char *name; /* borrowed during the call */
	struct mob_ref ref;
	uint64_t version;
	uint32_t state; /* enum mob_object_state */
	uint32_t reserved;
};
/* Calls fn for each name that begins with prefix (NULL: each), in the order of
 * bytes, until it returns nonzero; returns that. fn may call any function. */
MOB_API int mob_name_list(struct mob_store *store, const char *prefix,
			  int (*fn)(const struct mob_name_info *info,
				    void *arg),
			  void *arg);

/* A pin keeps an object until it is taken away. Pins are counted. Errors of
 * unpin: STATE (it has none). */
MOB_API MOB_NODISCARD int mob_object_pin(struct mob_store *store,
					 struct mob_ref ref);
MOB_API MOB_NODISCARD int mob_object_unpin(struct mob_store *store,
					   struct mob_ref ref);
/* How many names and pins an object has. Errors: BAD_REF (of another session),
 * those of the catalogue. */
MOB_API MOB_NODISCARD int mob_object_kept(struct mob_store *store,
					  struct mob_ref ref,
					  uint32_t *out_names,
					  uint32_t *out_pins);

/*
 * Takes away all names and pins of an object, and the caller's hold, as
 * mob_object_release does (mob_object_hold takes one of a ref that came as
 * bytes). Returns 0: it is freed; n > 0: that is deferred, as n processes, tasks
 * or objects need it yet (the last of them frees it). Errors: BAD_REF (gone, or
 * no hold of it), those of the catalogue; then nothing has changed.
 */
MOB_API MOB_NODISCARD int mob_object_free(struct mob_store *store,
					  struct mob_ref ref);

/* ---- waiting for many ---- */

/*
 * A queue of refs that yields them in the order in which they are resolved, at
 * O(1) each however many are outstanding (at most 1,048,576).
 * Errors of open: LIMIT (256 queues a session).
 */
struct mob_cq;
MOB_API MOB_NODISCARD int mob_cq_open(struct mob_store *store,
				      struct mob_cq **out_cq);
MOB_API void mob_cq_close(struct mob_cq *cq);

/* Adds a ref with a number of the caller's. The queue keeps the object alive
 * until it is popped. The same ref may be added more than once.
 * Errors: BAD_REF, LIMIT. */
MOB_API MOB_NODISCARD int mob_cq_add(struct mob_cq *cq, struct mob_ref ref,
				     uint64_t user);

struct mob_cq_entry {
	struct mob_ref ref; /* given: the caller has a hold on it */
	uint64_t user;
};

/* Takes the next resolved entry. Returns 1; 0 if the queue is empty (nothing
 * outstanding); TIMEOUT; INTERRUPTED; CLOSED (the session has ended); STORE_FULL
 * (all that are left went, and found no room just now when they were made again:
 * they stay). Several threads may pop. */
MOB_API MOB_NODISCARD int mob_cq_pop(struct mob_cq *cq, int64_t timeout_ns,
				     struct mob_cq_entry *out_entry);

/* Entries added and not yet popped. */
MOB_API uint64_t mob_cq_outstanding(const struct mob_cq *cq);

/*
 * A descriptor for poll(2), epoll(7) or libuv that is readable when pop may
 * have something. Pop until MOB_E_TIMEOUT (with time-out 0), then poll again.
 * Poll with a time-out, of a second, say, and pop after it too: in a store that
 * no session's daemon watches, such a pop is what notices that a process died
 * whose objects are waited for.
 * Owner: the queue; do not close it. Errors: SYS.
 */
MOB_API MOB_NODISCARD int mob_cq_fd(struct mob_cq *cq);

/*
 * Waits until n_ready of n objects are resolved, or the time is up. Order is
 * kept: out_ready[i] says whether refs[i] counts among the ready ones; never
 * more than n_ready are, even if more are resolved. Returns how many.
 * Errors: INVAL (n_ready is 0 or more than n; duplicate ref; a negative
 * time-out), BAD_REF, STORE_FULL (fewer than n_ready can be resolved without room
 * that there was not just now). n = 0 returns 0.
 */
MOB_API MOB_NODISCARD int mob_object_wait(struct mob_store *store,
					  const struct mob_ref *refs, size_t n,
					  size_t n_ready, int64_t timeout_ns,
					  bool *out_ready);

/* ---- looking at it ---- */

/*
 * Makes the catalogue up to date: all that was sealed before the call is in it
 * afterwards. Of a durable store the copy too: names and pins that were given or
 * taken away before the call, with their objects, are on disk afterwards. Errors:
 * those of the catalogue (DISK_FULL, LIMIT, IO, TIMEOUT), FORKED; of the copy also
 * STATE (restored elsewhere), NOT_FOUND (it is gone), CORRUPT and STORE_FULL (a
 * spilled object cannot be read; the others are synced). Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_store_sync(struct mob_store *store);

struct mob_object_info {
	struct mob_ref ref;
	uint64_t size;
	uint64_t born_ms; /* since the session began */
	mob_type_id type;
	uint32_t state;   /* enum mob_object_state */
	uint32_t creator; /* number of the process that made it */
	uint32_t site;    /* in the source, for mob_site_text; 0: unknown, or
			     not looked up (lists of the catalogue) */
};

/* What is known of one object now, from the tables: also of one that is not in
 * the catalogue yet. Errors: BAD_REF (gone, or of another session). */
MOB_API MOB_NODISCARD int mob_object_stat(struct mob_store *store,
					  struct mob_ref ref,
					  struct mob_object_info *out);

/* Calls fn for every object of the catalogue, in the order of slots, until it
 * returns nonzero; returns that. out_lag_ms (may be NULL): how old the
 * catalogue is at most. */
MOB_API int mob_store_list(struct mob_store *store,
			   int (*fn)(const struct mob_object_info *, void *),
			   void *arg, uint64_t *out_lag_ms);

/*
 * Which objects a search wants: all conditions hold. Grows at the end only; start
 * from MOB_OBJECT_QUERY_INIT, which wants all.
 */
struct mob_object_query {
	uint32_t struct_size;
	uint32_t states;  /* MOB_QUERY_STATE(..) | ..; 0: any */
	uint32_t creator; /* number of a process; 0: any */
	uint32_t reserved;
	uint64_t size_min; /* bytes, both included */
	uint64_t size_max;
	uint64_t born_min_ms; /* since the session began, both included */
	uint64_t born_max_ms;
};
#define MOB_QUERY_STATE(state) (UINT32_C(1) << (state))
#define MOB_OBJECT_QUERY_INIT                                                  \
	{                                                                      \
		(uint32_t)sizeof(struct mob_object_query), 0, 0, 0, 0,         \
			UINT64_MAX, 0, UINT64_MAX                              \
	}

/*
 * As mob_store_list for the objects that the query wants, by an index of LMDB: by
 * creator, else by size, else by age, else by state, whichever the query has
 * first. They come in the order of that index, and in that of slots where it says
 * the same. Errors: VERSION (struct_size), those of the catalogue. Since 0.1.
 */
MOB_API int mob_store_find(struct mob_store *store,
			   const struct mob_object_query *query,
			   int (*fn)(const struct mob_object_info *, void *),
			   void *arg, uint64_t *out_lag_ms);

struct mob_store_stat {
	uint64_t arena_bytes;      /* size of the arena */
	uint64_t arena_used_bytes; /* in blocks of living objects */
	uint64_t arena_backed_bytes;
	uint64_t objects;
	uint64_t objects_pending;
	uint64_t clients;
	uint64_t catalogue_rows;
	uint64_t reaps;            /* dead processes cleaned up so far */
	uint64_t catalogue_lag_ms; /* how old the catalogue is at most */
	uint64_t age_ms;           /* since the session began, as born_ms */
	uint64_t file_bytes;       /* memory of all files of the session */
	uint64_t spilled_objects;  /* whose bytes are in the spill directory */
	uint64_t spilled_bytes;
	uint64_t
		evicted; /* cached objects that went for want of room, so far */
	uint64_t prefetches; /* files of spilled objects read ahead, so far */
	uint64_t durable;    /* 1: it has a copy on disk, of: */
	uint64_t durable_objects;
	uint64_t durable_unsynced;  /* names, pins and objects changed since */
	uint64_t durable_synced_ms; /* when: as born_ms; 0: not since */
	const char *eviction; /* policy: what goes when there is no room */
};
/* Counts of the store, and of its catalogue, which is opened for it. Errors: FORKED,
 * those of the catalogue (CORRUPT, VERSION, LIMIT, DISK_FULL, IO, TIMEOUT). Thread:
 * any. Blocks: while another process opens the catalogue. Since 0.1. */
MOB_API MOB_NODISCARD int mob_store_stat(struct mob_store *store,
					 struct mob_store_stat *out);

/*
 * Whether the arena has huge pages: how many of its bytes are in them, and in
 * words why, or why not and what would change it, at most why_size bytes. It maps
 * the whole arena to see it: for people. Errors: INVAL (MOBULA_HUGE_PAGES),
 * FORKED. Thread: any. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_store_huge_pages(struct mob_store *store,
					       uint64_t *out_bytes,
					       char *out_why, size_t why_size);

/*
 * Walks objects, edges, records, completion queues, blocks, the catalogue, names
 * and pins, and says what is wrong: calls fn (may be NULL) with one line for
 * each finding, returns how many. Complete only when nothing else runs;
 * otherwise findings may be passing states. What a death left to be recounted
 * (names and pins) it recounts first, so it may write, and wait for another
 * writer. Errors: NOMEM, FORKED, those of the catalogue. Thread: any.
 */
MOB_API MOB_NODISCARD int mob_store_check(struct mob_store *store,
					  void (*fn)(const char *line, void *),
					  void *arg);

/* ---- where objects are made ---- */

/* The same functions with the place in the source that is shown for the object; it
 * is static, or NULL. The plain names are macros that give their own. Errors: as
 * mob_object_create. */
MOB_API MOB_NODISCARD int
mob_object_create_from(struct mob_store *store, uint64_t size, mob_type_id type,
		       struct mob_ref *out_ref, void **out_at,
		       struct mob_site *site);
/* Errors: as mob_object_put. */
MOB_API MOB_NODISCARD int mob_object_put_from(struct mob_store *store,
					      const void *at, uint64_t size,
					      mob_type_id type,
					      struct mob_ref *out_ref,
					      struct mob_site *site);
/* Errors: as mob_object_put_refs. */
MOB_API MOB_NODISCARD int mob_object_put_refs_from(struct mob_store *store,
						   const struct mob_ref *refs,
						   uint64_t n,
						   struct mob_ref *out_ref,
						   struct mob_site *site);

#ifdef MOB_HERE
#define mob_object_create(...) mob_object_create_from(__VA_ARGS__, MOB_HERE)
#define mob_object_put(...) mob_object_put_from(__VA_ARGS__, MOB_HERE)
#define mob_object_put_refs(...) mob_object_put_refs_from(__VA_ARGS__, MOB_HERE)
#endif

MOB_EXTERN_C_END

#endif /* MOBULA_STORE_H */
