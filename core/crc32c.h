/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli 1993; the one of iSCSI, RFC 3720, and ext4). */
#ifndef MOBI_CRC32C_H
#define MOBI_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of n bytes after those that gave crc; 0 at the beginning. Uses the
 * instruction of the processor if it has one. */
uint32_t mobi_crc32c(uint32_t crc, const void *at, size_t n);
/* The CRC of the CRCs of four equal parts (the last has the rest): the processor
 * does them side by side, three times as fast. */
uint32_t mobi_crc32c_parts(const void *at, size_t n);

#endif /* MOBI_CRC32C_H */
