/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of processes (setrlimit), and the memory that is a process's own. */
#ifndef MOBI_OS_LIMITS_H
#define MOBI_OS_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define MOBI_LIMITS_MAX 9u
struct mobi_limits {
	uint32_t n;
	int what[MOBI_LIMITS_MAX];
	uint64_t value[MOBI_LIMITS_MAX]; /* UINT64_MAX: none */
};

/* Parses "nofile=1024,core=0,stack=64M,cpu=none". Errors: INVAL, with the names. */
int mobi_limits_parse(const char *text, struct mobi_limits *out);
/* Sets them for this process, hard and soft, as far as it may. Safe after fork. */
void mobi_limits_set(const struct mobi_limits *l);

/* Bytes of memory that process pid alone has (anonymous pages that are there); 0: it
 * cannot be told. */
uint64_t mobi_own_bytes(int pid);

/* Bytes of memory that the machine has. */
uint64_t mobi_machine_bytes(void);

#endif /* MOBI_OS_LIMITS_H */
