/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory this process and its children may still take, as the kernel tells it:
 * the limits of their memory control groups (version 1, version 2, or both mounted),
 * those around them included, and what the machine has.
 *
 * Use is without the pages of files that the kernel can drop (active_file and
 * inactive_file). Files in memory, as those of a session, are none of these: they
 * count.
 */
#ifndef MOBI_OS_PRESSURE_H
#define MOBI_OS_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Groups, one inside the other, that are looked at; of more, the innermost. */
#define MOBI_PRESSURE_LEVELS 8u

struct mobi_pressure_level {
	int use;  /* descriptors, or -1 */
	int max;  /* the limit that kills */
	int high; /* the one from which on all are slowed down; version 2 only */
	int stat;
	char dir[256]; /* cut, for texts */
};

/* Files that stay open, as they are read often. For one thread. */
struct mobi_pressure_files {
	uint32_t n;
	struct mobi_pressure_level level[MOBI_PRESSURE_LEVELS];
	int meminfo;
	int stall; /* memory.pressure of the group, or /proc/pressure/memory */
	uint64_t stall_us; /* as of stall_ns */
	uint64_t stall_ns; /* 0: not read yet */
	uint32_t stalled;
};

struct mobi_memory {
	uint64_t limit; /* bytes */
	uint64_t use;
	const char *where; /* of the group, or "the machine"; borrowed from the
			    * files */
};

/*
 * Opens what there is below root, which is "" but in tests; what is missing is left
 * out. Of both versions the one counts that has the memory controller.
 */
void mobi_pressure_open(struct mobi_pressure_files *f, const char *root);
void mobi_pressure_close(struct mobi_pressure_files *f);

/* Bytes of a limit that may be in use before somebody is to go: percent of it, and
 * never its last MOBI_PRESSURE_SPARE, or eighth if that is less. */
#define MOBI_PRESSURE_SPARE (UINT64_C(48) << 20)
uint64_t mobi_pressure_mark(uint64_t limit, uint32_t percent);

/* Is a of b nearer to its mark, or further beyond it? */
bool mobi_pressure_tighter(const struct mobi_memory *a,
			   const struct mobi_memory *b, uint32_t percent);

/* The tightest of all. False: nothing can be told. */
bool mobi_pressure_look(const struct mobi_pressure_files *f, uint32_t percent,
			struct mobi_memory *out);

/* Of the time since it was last measured, at least a second, how many hundredths all
 * tasks of the group (or machine) stood still for memory: PSI, "full". 0: none, or
 * the kernel does not tell. */
uint32_t mobi_pressure_stalled(struct mobi_pressure_files *f, uint64_t now_ns);

#endif /* MOBI_OS_PRESSURE_H */
