/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c needs of segment.c: the steps from a directory to an attached
 * store. Each step works on what the one before it has set. */
#ifndef MOBI_SEGMENT_IMPL_H
#define MOBI_SEGMENT_IMPL_H

#include "segment.h"

struct mobi_restore;

/* How a session is made. */
struct mobi_creation {
	uint32_t role;
	/* Called before anybody else can see it; NULL: not. */
	int (*set_up)(struct mob_store *s, const void *arg);
	const void *arg;
	/* The copy that it is made of, filled by set_up, and its path; or NULL. */
	const struct mobi_restore *from;
	const char *from_path;
};
/* Both arguments were checked. */
int mobi_session_create(const char *name, const struct mob_store_opts *opts,
			const struct mobi_creation *c,
			struct mob_store **out_store);
int mobi_session_check_name(const char *call, const char *name);
int mobi_session_check_opts(const char *call,
			    const struct mob_store_opts *opts);

/* Nothing is open yet. NULL: no memory. */
struct mob_store *mobi_segment_alloc(const char *name, const char *path);
/* Makes ctl and arena in dir_fd, and maps ctl. */
int mobi_segment_make(struct mob_store *s, uint64_t arena_bytes,
		      uint32_t flags);
/*
 * Opens ctl in dir_fd and checks its header, of which *out_h is a copy. Errors:
 * NOT_FOUND and CORRUPT are proof that no living process uses it; VERSION: it
 * is another build's; whatever else proves nothing.
 */
int mobi_segment_open_ctl(struct mob_store *s, struct mobi_header *out_h);
/* The same, the arena too, and ctl mapped. */
int mobi_segment_open(struct mob_store *s);
/* Sets what points into the mapped tables. */
void mobi_segment_point(struct mob_store *s);
int mobi_segment_pools(struct mob_store *s);
/* Attaches the arena, as client s->me. */
int mobi_segment_arena(struct mob_store *s);
/* From mapped tables to an attached store. */
int mobi_segment_attach(struct mob_store *s, uint32_t role);
/* Undoes a half done or whole attachment, and frees s. */
void mobi_segment_detach(struct mob_store *s);
/* The same without a word to the others: in a forked child, or where nothing
 * was attached. */
void mobi_segment_unmap(struct mob_store *s);

#endif /* MOBI_SEGMENT_IMPL_H */
