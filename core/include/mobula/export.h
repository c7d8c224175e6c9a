/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of public declarations. Everything a user may call is marked
 * MOB_API; the libraries are built with hidden visibility.
 */
#ifndef MOBULA_EXPORT_H
#define MOBULA_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define MOB_API __attribute__((visibility("default")))
#define MOB_NODISCARD __attribute__((warn_unused_result))
#define MOB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MOB_UNUSED __attribute__((unused))
#define MOB_NORETURN __attribute__((noreturn))
#else
#define MOB_API
#define MOB_NODISCARD
#define MOB_PRINTF(fmt, args)
#define MOB_UNUSED
#define MOB_NORETURN
#endif

#ifdef __cplusplus
#define MOB_STATIC_ASSERT(cond, text) static_assert(cond, text)
#define MOB_EXTERN_C_BEGIN extern "C" {
#define MOB_EXTERN_C_END }
#else
#define MOB_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#define MOB_EXTERN_C_BEGIN
#define MOB_EXTERN_C_END
#endif

#endif /* MOBULA_EXPORT_H */
