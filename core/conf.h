/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: one table of name, type, default, help, environment variable.
 * Order: what the program passes, then MOBULA_<NAME>, then the default.
 */
#ifndef MOBI_CONF_H
#define MOBI_CONF_H

#include <stddef.h>
#include <stdint.h>

enum mobi_conf_type { MOBI_CONF_U64, MOBI_CONF_BYTES, MOBI_CONF_STR };

/*
 * X(id, ID, type, default as text, min, max, help): the variable of the
 * environment is MOBULA_<ID>. BYTES takes K, M, G suffixes.
 */
#define MOBI_CONF_MAP(X)                                                       \
	X(workers, WORKERS, U64, "0", 0, 48,                                   \
	  "worker processes of a session; 0: one per processor")               \
	X(extra_workers, EXTRA_WORKERS, U64, "4", 0, 48,                       \
	  "workers started at most beyond these while tasks are blocked")      \
	X(store_bytes, STORE_BYTES, BYTES, "0", 0, UINT64_C(1) << 46,          \
	  "size of the object arena; 0: a third of what /dev/shm has free")    \
	X(policy, POLICY, STR, "ws", 0, 0,                                     \
	  "scheduling policy, a name or a path")                               \
	X(plugin_path, PLUGIN_PATH, STR, "", 0, 0,                             \
	  "directories searched for plugins first, ':' between them")          \
	X(spin, SPIN, STR, "auto", 0, 0,                                       \
	  "ns a sleeper looks before it parks; auto: learned; 0: none")        \
	X(check_writes, CHECK_WRITES, U64, "0", 0, 1,                          \
	  "1: who writes to an object that it has sealed gets a SIGSEGV")      \
	X(session_dir, SESSION_DIR, STR, "/dev/shm", 0, 0,                     \
	  "file system that holds the session directories")                    \
	X(spill_dir, SPILL_DIR, STR, "", 0, 0,                                 \
	  "directory that objects of a full store go to; empty: none")         \
	X(prefetch_bytes, PREFETCH_BYTES, BYTES, "67108864", 0,                \
	  UINT64_C(1) << 46,                                                   \
	  "bytes of spilled arguments of a task read ahead at once; 0: none")  \
	X(room_wait_ms, ROOM_WAIT_MS, U64, "0", 0, 3600000,                    \
	  "ms that who makes an object waits for room in a full store")        \
	X(eviction, EVICTION, STR, "sieve", 0, 0,                              \
	  "which objects go when a store is full: sieve or clock")             \
	X(lineage, LINEAGE, U64, "65536", 0, 1000000,                          \
	  "tasks kept to make again what is lost of their results; 0: none")   \
	X(inline_gets, INLINE_GETS, U64, "0", 0, 1,                            \
	  "1: a get in a task runs itself what it waits for and nobody runs")  \
	X(resources, RESOURCES, STR, "", 0, 0,                                 \
	  "what tasks can wish for: name=amount, name:devices, ...")           \
	X(huge_pages, HUGE_PAGES, STR, "auto", 0, 0,                           \
	  "huge pages for objects, if the file system has them: auto or off")  \
	X(record_events, RECORD_EVENTS, U64, "16384", 0, 131072,               \
	  "events of tasks kept for each process of a session; 0: none")       \
	X(output, OUTPUT, STR, "auto", 0, 0,                                   \
	  "where what workers print goes: auto, driver, log or inherit")       \
	X(log_dir, LOG_DIR, STR, "", 0, 0,                                     \
	  "directory for logs of sessions; empty: with the session itself")    \
	X(log_bytes, LOG_BYTES, BYTES, "4194304", 4096, UINT64_C(1) << 40,     \
	  "size at which a session begins another log file")                   \
	X(log_files, LOG_FILES, U64, "4", 2, 1000,                             \
	  "log files of a session kept at most; the oldest goes")              \
	X(worker_memory, WORKER_MEMORY, BYTES, "0", 0, UINT64_C(1) << 46,      \
	  "private bytes from which a worker is replaced after a task; 0: "    \
	  "any")                                                               \
	X(worker_memory_max, WORKER_MEMORY_MAX, BYTES, "0", 0,                 \
	  UINT64_C(1) << 46,                                                   \
	  "private bytes from which a worker is killed; 0: any")               \
	X(memory_limit, MEMORY_LIMIT, BYTES, "0", 0, UINT64_C(1) << 46,        \
	  "bytes that a session may have in its processes and objects; 0: "    \
	  "any")                                                               \
	X(memory_percent, MEMORY_PERCENT, U64, "95", 0, 100,                   \
	  "percent of a limit of memory from which workers are ended; 0: "     \
	  "never")                                                             \
	X(memory_retries, MEMORY_RETRIES, U64, "15", 0, 60,                    \
	  "how often a task is run again that was killed for lack of memory")  \
	X(worker_limits, WORKER_LIMITS, STR, "", 0, 0,                         \
	  "limits of setrlimit for workers: nofile=1024,core=0")               \
	X(log_level, LOG_LEVEL, STR, "warn", 0, 0, "error, warn, info or debug")

#define MOBI_CONF_ENUM_(id, ID, type, def, min, max, help) MOBI_CONF_ID_##id,
enum mobi_conf_id { MOBI_CONF_MAP(MOBI_CONF_ENUM_) MOBI_CONF_COUNT };
#undef MOBI_CONF_ENUM_

struct mobi_conf_entry {
	const char *name;
	const char *env; /* MOBULA_WORKERS */
	enum mobi_conf_type type;
	const char *def;
	uint64_t min, max;
	const char *help;
};

const struct mobi_conf_entry *mobi_conf_entry(enum mobi_conf_id id);
/* Value from the environment, else the default; an empty variable counts as
 * unset. A value that does not parse or is out of range is MOB_E_INVAL whose
 * detail names the variable and limits. u64 is for U64 and BYTES, str for STR;
 * str never fails, and its text is borrowed from the environment. */
int mobi_conf_u64(enum mobi_conf_id id, uint64_t *out);
int mobi_conf_str(enum mobi_conf_id id, const char **out);
/* Parses "64M", "1073741824"; for options of the command line too. K, M and G
 * are powers of 1024, in either case. */
int mobi_conf_parse_bytes(const char *text, uint64_t *out);

#endif /* MOBI_CONF_H */
