/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes print: files that several append to, a look whether something
 * was appended that costs no system call, and descriptors of somebody else that
 * are written to without waiting.
 */
#ifndef MOBI_OS_OUT_H
#define MOBI_OS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens a file to append to, to read, and to map; makes it (0600). A descriptor,
 * CLOEXEC, or -1. No error is recorded. Safe in a signal handler. */
int mobi_out_open(const char *path);
/* One that is there, to read; -1 if it is not. No error is recorded. */
int mobi_out_open_to_read(const char *path);
/* Appends all of it by one write if the system does that; false: it failed, and
 * some of it may be there. */
bool mobi_out_append(int fd, const void *at, size_t n);
/* Reads at off: how many bytes, 0 at the end, negative. */
ssize_t mobi_out_read(int fd, void *out, size_t n, uint64_t off);
/* Size now; 0 if it cannot be told. */
uint64_t mobi_out_size(int fd);
/* Gives the memory of [0, end) back, as far as it is whole pages; what lies there
 * reads as zeros from then on, and the size stays. */
void mobi_out_punch(int fd, uint64_t end);
/* Cuts it off. */
bool mobi_out_cut(int fd, uint64_t size);

/*
 * The byte behind the end of a file, mapped: as long as nothing is appended it
 * reads as 0. The end must not be at the end of a page.
 */
struct mobi_peek {
	volatile const unsigned char *at; /* NULL: not mapped */
	void *page;
};
/* Maps the byte at `size`, the end of the file. False: it cannot be mapped, or the
 * end is at the end of a page. */
bool mobi_peek_open(struct mobi_peek *p, int fd, uint64_t size);
void mobi_peek_close(struct mobi_peek *p);

/* Lines of stdout of this process are written as they end. */
void mobi_stdout_by_line(void);
/* Writes what stdout of this process holds back, if anything. */
void mobi_stdout_flush(void);

/* A descriptor of the same pipe, terminal or file as fd that can be written to
 * without waiting, though fd itself waits; -1: there is none. */
int mobi_out_no_wait(int fd);
/* Who writes to a pipe that nobody reads is told by the error alone. */
void mobi_out_no_sigpipe(void);
/* Bytes written, 0 if it would have to wait, negative if it failed. */
ssize_t mobi_out_try(int fd, const void *at, size_t n);
/* Waits until it can be written to, at most so long. */
void mobi_out_wait(int fd, int timeout_ms);

/* Which file a descriptor is of, to know later whether it still is. */
struct mobi_fd_id {
	uint64_t dev;
	uint64_t ino;
};
/* False: it is closed. Safe in a signal handler. */
bool mobi_fd_identity(int fd, struct mobi_fd_id *out);
/* A copy, CLOEXEC, with a high number, where programs do not look; -1: none. */
int mobi_fd_copy(int fd);
/* Makes the standard descriptors those, or, where one is -1, /dev/null. */
void mobi_out_become(int out, int err);
/* What this process starts does not get it. */
void mobi_fd_no_exec(int fd);
/* True also if there was none. */
bool mobi_out_remove(const char *path);

#endif /* MOBI_OS_OUT_H */
