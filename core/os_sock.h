/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets in a session directory: datagram sockets that are only rung,
 * never sent data that matters, and the stream on which clients stay connected
 * to the daemon. Paths go through /proc/self/fd, so that a long directory name
 * does not meet the limit of 108 bytes.
 */
#ifndef MOBI_OS_SOCK_H
#define MOBI_OS_SOCK_H

#include <stddef.h>
#include <stdint.h>

/* "<kind>-<number>". */
void mobi_sock_name(char *out, size_t size, const char *kind, uint32_t number);
/* A bound datagram socket, CLOEXEC, non-blocking. A file of that name is
 * replaced. Returns the descriptor. */
int mobi_sock_open(int dirfd, const char *name);
/* A socket to ping with, or -1. */
int mobi_sock_pinger(void);
/* Sends one byte by it to the socket of that name; best effort. */
void mobi_sock_ping(int dirfd, int fd, const char *name);
/* Reads everything that has come. */
void mobi_sock_drain(int fd);
void mobi_sock_close(int fd);
void mobi_sock_remove(int dirfd, const char *name);

/* A listening SOCK_SEQPACKET socket; a connection to it. Descriptors, CLOEXEC;
 * MOB_E_NOT_FOUND if nobody listens. */
int mobi_sock_listen(int dirfd, const char *name);
int mobi_sock_connect(int dirfd, const char *name);
/* Asks for signal sig to this process when the connection has news or ends. */
int mobi_sock_signal(int fd, int sig);

#endif /* MOBI_OS_SOCK_H */
