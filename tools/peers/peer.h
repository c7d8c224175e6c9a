/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of tools/bench-peers share. They run their cases in the frame
 * of `mob bench`, so both sides are measured and printed in the same way.
 * Arguments of a program: ROUNDS GLOB PLACE [quick]. */
#ifndef MOBI_PEER_H
#define MOBI_PEER_H

#include "bench.h"
#include "bench_large.h"
#include "bench_raw.h"

#define SMALL 100u
#define PUTS 100000u
#define KEPT 200000u
#define BATCH 1000u
#define READ 10000u
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define LISTED 1000000u
#define WAKES 500u

/* A directory, or a socket. */
extern const char *peer_place;

int peer_main(int argc, char **argv, const struct bench_case *cases);

/* Two processes at once, each with n operations. The second one calls
 * peer_second from its `other`; work returns false if it failed. The value is the
 * rate of both together. */
void peer_second(struct raw_page *page, bool (*work)(void *arg, uint32_t n),
		 void *arg);
int peer_both(struct bench *b, struct raw_peer *p, uint32_t n,
	      bool (*work)(void *arg, uint32_t n), void *arg,
	      double *out_value);

#endif /* MOBI_PEER_H */
