/* SPDX-License-Identifier: Apache-2.0 */
/* Files of shared memory: create, map, back with memory. */
#ifndef MOBI_OS_SHM_H
#define MOBI_OS_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Page size of the machine. Never assumed. */
size_t mobi_page_size(void);

/*
 * Opens (create: O_CREAT | O_EXCL, 0600, size bytes, sparse) relative to
 * dirfd, CLOEXEC, through no link. Returns a descriptor or a negative error:
 * MOB_E_EXISTS; MOB_E_NOT_FOUND; without create, MOB_E_CORRUPT if it is no
 * regular file of at least size bytes (0: any).
 */
int mobi_shm_open(int dirfd, const char *name, bool create, uint64_t size);

/* Maps the whole of a file shared; writable or read only. */
int mobi_shm_map(int fd, uint64_t size, bool writable, void **out_at);
void mobi_shm_unmap(void *at, uint64_t size);

/*
 * Backs [off, off + len) with memory, so that a touch never is a SIGBUS; the
 * size of the file stays. MOB_E_DISK_FULL if the file system is full. Doing it
 * twice is harmless.
 */
int mobi_shm_back(int fd, uint64_t off, uint64_t len);
/* The same by writing faults of a mapping, which has huge pages for it if it
 * asked for them. False: not all of it could be had, or Linux is older than
 * 5.14; no error is recorded. */
bool mobi_shm_back_at(void *at, size_t len);
/* Gives [off, off + len) back; it reads as zeros afterwards. */
int mobi_shm_punch(int fd, uint64_t off, uint64_t len);
/* Makes the pages of [at, at + len) read only, or writable again, in this
 * process. MOB_E_NOMEM: it has too many mappings. */
int mobi_shm_protect(void *at, size_t len, bool writable);
/* Faults [at, at + len) in for writing ahead of use; best effort. */
void mobi_shm_populate(void *at, size_t len);

#endif /* MOBI_OS_SHM_H */
