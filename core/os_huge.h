/* SPDX-License-Identifier: Apache-2.0 */
/* Huge pages of files of shared memory, and nodes of memory. */
#ifndef MOBI_OS_HUGE_H
#define MOBI_OS_HUGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a file system does about huge pages. */
enum mobi_huge {
	MOBI_HUGE_NONE,   /* it has none */
	MOBI_HUGE_ASKED,  /* where a mapping asks for them */
	MOBI_HUGE_ALWAYS, /* whether asked or not */
	MOBI_HUGE_ONLY,   /* it is a hugetlbfs */
};

/* Facts that decide it. Empty texts: not known, or there is none. */
struct mobi_huge_facts {
	bool tmpfs, hugetlbfs;
	uint64_t page_bytes; /* of a huge page; 0: the kernel has none */
	char mount[256];     /* where the file system is mounted */
	char option[16];     /* huge= of that mount */
	char shmem[16];      /* chosen in shmem_enabled */
};

/* Facts about the file system of an open file. What cannot be found out stays
 * empty. */
void mobi_huge_look(int fd, struct mobi_huge_facts *out);
/* What follows from facts. why: what to tell people about it, at most why_size
 * bytes; NONE: with what would change it. */
enum mobi_huge mobi_huge_decide(const struct mobi_huge_facts *f, char *why,
				size_t why_size);
/* Finds the line of a file system in the text of mountinfo(5): where it is
 * mounted, and its option huge=, empty without. dev: major << 32 | minor. False:
 * it has no line. */
bool mobi_huge_of_line(const char *line, uint64_t dev,
		       struct mobi_huge_facts *out);

/* Asks for huge pages for a mapping; best effort. */
void mobi_huge_ask(void *at, uint64_t bytes);
/* Bytes of [at, at + bytes) that this process has mapped by huge pages. */
uint64_t mobi_huge_mapped(const void *at, uint64_t bytes);

/* Number of nodes in a list as "0-1,4"; 1 if it is none. */
uint32_t mobi_nodes_of(const char *list);
/* Nodes of this machine that have memory. */
uint32_t mobi_node_count(void);

#endif /* MOBI_OS_HUGE_H */
