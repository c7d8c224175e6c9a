/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin in many shapes, most of them wrong. test_plugin.c builds it once a
 * shape, with what differs from a good one given as macros.
 */
#define _GNU_SOURCE

#include <mobula/plugin.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef PROBE_MAGIC
#define PROBE_MAGIC MOB_PLUGIN_MAGIC
#endif
#ifndef PROBE_ABI
#define PROBE_ABI MOB_PLUGIN_ABI
#endif
#ifndef PROBE_SIZE
#define PROBE_SIZE sizeof(struct mob_plugin)
#endif
#ifndef PROBE_KIND
#define PROBE_KIND MOB_PLUGIN_SCHED
#endif
#ifndef PROBE_NAME
#define PROBE_NAME "good"
#endif
#ifndef PROBE_OPS
#define PROBE_OPS (&ops)
#endif
#ifndef PROBE_OPS_SIZE
#define PROBE_OPS_SIZE sizeof(struct probe_ops)
#endif

#ifdef PROBE_UNDEFINED
/* Nowhere defined: the loader has to refuse the file. */
void probe_undefined(void);
#endif

struct probe_ops {
	uint32_t struct_size;
	uint32_t value;
};

MOB_API const struct mob_plugin *mob_plugin_entry(void);

#ifdef PROBE_NO_ENTRY

MOB_API int probe_something_else(void);

int probe_something_else(void)
{
	return 1;
}

#elif defined(PROBE_NULL)

const struct mob_plugin *mob_plugin_entry(void)
{
	return NULL;
}

#elif defined(PROBE_SHORT)

/* Behind the frozen prefix is no memory: a look there is a crash. */
const struct mob_plugin *mob_plugin_entry(void)
{
	const uint32_t prefix[4] = { PROBE_MAGIC, PROBE_ABI,
				     (uint32_t)PROBE_SIZE, PROBE_KIND };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + page, page, PROT_NONE) != 0) {
		return NULL;
	}
	memcpy(at + page - sizeof(prefix), prefix, sizeof(prefix));
	return (const struct mob_plugin *)(void *)(at + page - sizeof(prefix));
}

#else

static const struct probe_ops ops = {
	.struct_size = (uint32_t)PROBE_OPS_SIZE,
	.value = 42,
};

const struct mob_plugin *mob_plugin_entry(void)
{
	static const struct mob_plugin self = {
		.magic = PROBE_MAGIC,
		.abi = PROBE_ABI,
		.struct_size = (uint32_t)PROBE_SIZE,
		.kind = PROBE_KIND,
		.name = PROBE_NAME,
		.version = "1.2.3",
		.license = "Apache-2.0",
		.summary = "a probe",
		.ops = PROBE_OPS,
	};

#ifdef PROBE_UNDEFINED
	probe_undefined();
#endif
	/* Keeps the table in use where PROBE_OPS is something else. */
	return ops.value == 42 ? &self : NULL;
}

#endif
