/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin ABI: one exported function per shared object, a frozen 16-byte
 * prefix, tables that only grow at the end.
 */
#ifndef MOBULA_PLUGIN_H
#define MOBULA_PLUGIN_H

#include <mobula/export.h>

#include <stddef.h>
#include <stdint.h>

MOB_EXTERN_C_BEGIN

#define MOB_PLUGIN_MAGIC UINT32_C(0x424f4d01)
#define MOB_PLUGIN_ABI UINT32_C(1)

enum mob_plugin_kind {
	MOB_PLUGIN_SCHED = 1,
};

/* Describes one plugin. The first 16 bytes never change, in any ABI. */
struct mob_plugin {
	uint32_t magic;       /* MOB_PLUGIN_MAGIC */
	uint32_t abi;         /* MOB_PLUGIN_ABI the plugin was built for */
	uint32_t struct_size; /* sizeof(struct mob_plugin) at its build */
	uint32_t kind;        /* enum mob_plugin_kind */
	const char *name; /* unique within its kind, [a-z0-9_]+, at most 31 */
	const char *version;
	const char *license;
	const char *summary; /* one line for `mob plugin list` */
	const void *ops;     /* the table of its kind, struct_size first */
	uint64_t caps;       /* capability bits of its kind */
};

MOB_STATIC_ASSERT(offsetof(struct mob_plugin, name) == 16, "frozen prefix");

/* True if the table is long enough to hold the op and sets it. */
#define MOB_HAS(s, field)                                                      \
	((s)->struct_size >= (uint32_t)((const char *)(&(s)->field + 1) -      \
					(const char *)(s)) &&                  \
	 (s)->field)

#ifdef MOB_PLUGIN_BUILTIN
#define MOB_PLUGIN_SYM(id) mob_plugin_builtin_##id
#else
#define MOB_PLUGIN_SYM(id) mob_plugin_entry
#endif

/*
 * One per plugin, last in its file. A function, not a variable: dlsym is only
 * sure to work on functions. Ends needing a semicolon.
 *
 *   MOB_PLUGIN_DEFINE(fifo, MOB_PLUGIN_SCHED, &fifo_ops, .version = "0.1.0",
 *                     .summary = "one shared queue, arrival order");
 */
#define MOB_PLUGIN_DEFINE(id, kind_, ops_, ...)                                \
	MOB_API const struct mob_plugin *MOB_PLUGIN_SYM(id)(void);             \
	const struct mob_plugin *MOB_PLUGIN_SYM(id)(void)                      \
	{                                                                      \
		static const struct mob_plugin self = {                        \
			.magic = MOB_PLUGIN_MAGIC,                             \
			.abi = MOB_PLUGIN_ABI,                                 \
			.struct_size = sizeof(struct mob_plugin),              \
			.kind = (kind_),                                       \
			.name = #id,                                           \
			.ops = (ops_),                                         \
			__VA_ARGS__                                            \
		};                                                             \
		return &self;                                                  \
	}                                                                      \
	MOB_STATIC_ASSERT(1, "")

MOB_EXTERN_C_END

#endif /* MOBULA_PLUGIN_H */
