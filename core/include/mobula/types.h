/* SPDX-License-Identifier: Apache-2.0 */
/* Plain values that every part of Mobula speaks of: refs, spans, time. */
#ifndef MOBULA_TYPES_H
#define MOBULA_TYPES_H

#include <mobula/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

MOB_EXTERN_C_BEGIN

/*
 * Names one object of one session, for ever: a slot is used again, a ref is
 * not. A plain value of 16 bytes that may be copied, compared and sent; what
 * keeps the object alive is a hold, an argument or another object (see
 * store.h), never the bytes of a ref.
 *
 *   hi = {session epoch 32, reserved 32 (zero)}    lo = {generation 32, slot 32}
 */
struct mob_ref {
	uint64_t hi;
	uint64_t lo;
};

/* No object. An output that was not written is set to it. */
#ifdef __cplusplus
#define MOB_REF_NONE (mob_ref{ 0, 0 })
#else
#define MOB_REF_NONE ((struct mob_ref){ 0, 0 })
#endif

static inline bool mob_ref_is_none(struct mob_ref r)
{
	return r.hi == 0 && r.lo == 0;
}

static inline bool mob_ref_equal(struct mob_ref a, struct mob_ref b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

/* Borrowed bytes: who gave the span says how long it is valid. */
struct mob_bytes {
	const void *at;
	size_t n;
};

/* A time-out that never comes. Any other negative time-out is an error. */
#define MOB_FOREVER INT64_C(-1)
#define MOB_MS INT64_C(1000000)
#define MOB_SEC INT64_C(1000000000)

MOB_EXTERN_C_END

#endif /* MOBULA_TYPES_H */
