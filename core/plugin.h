/* SPDX-License-Identifier: Apache-2.0 */
/* Loading of plugins: directories, checks, registry of this process. */
#ifndef MOBI_PLUGIN_H
#define MOBI_PLUGIN_H

#include <mobula/plugin.h>

#include <stdbool.h>
#include <stddef.h>

/*
 * Where plugins are looked for, in this order: each directory of the
 * configuration `plugin_path` (MOBULA_PLUGIN_PATH, ':' between), then
 * ../lib/mobula/plugins beside the directory of the running executable, then
 * lib/mobula/plugins beside the directory that holds this library, then the
 * install directory given at build time. File name: <kind>_<name>.so, for
 * example sched_ws.so. World-writable directories and files are refused.
 */

/*
 * Finds and loads by name ("ws") or, if it holds a '/', by path. The checks:
 * the directory, and a regular file, that only their owner (this user or root)
 * may write; ELF that loads; mob_plugin_entry; magic, ABI, kind, struct_size
 * of the descriptor and of ops (>= ops_size_min); a legal name; the name asked
 * for. Each failure says which and names the file. Loading the same file again
 * gives the same descriptor. Never unloaded. Thread: any.
 * Errors: MOB_E_INVAL an illegal name; MOB_E_NOT_FOUND no such file; MOB_E_PERM
 * others may write it; MOB_E_VERSION another ABI; MOB_E_PLUGIN any other check;
 * MOB_E_BUSY the file was changed after this process loaded it: as it cannot
 * be unloaded, the new one needs another file name.
 */
int mobi_plugin_load(enum mob_plugin_kind kind, const char *name_or_path,
		     uint32_t ops_size_min,
		     const struct mob_plugin **out_plugin);

/* Does the file, by the full path that mobi_plugin_find gave, lie in a directory
 * of the library itself, not in one of MOBULA_PLUGIN_PATH or of the user? */
bool mobi_plugin_is_ours(const char *path);

/* Full path that mobi_plugin_load would open, in a buffer of the caller.
 * MOB_E_NOT_FOUND for a name that is compiled in: there is no file. */
int mobi_plugin_find(enum mob_plugin_kind kind, const char *name_or_path,
		     char *out_path, size_t out_size);

struct mobi_plugin_info {
	const char *path;                /* "(built in)" if compiled in */
	const struct mob_plugin *plugin; /* NULL if it did not load */
	int rc;
	const char *detail;
};

/*
 * Calls fn for every compiled-in plugin, then for every plugin file of the
 * search path (valid or not: rc and detail say what is wrong with it), in the
 * order in which a load by name looks. A directory that cannot be read is told
 * of in the same way. Stops if fn returns nonzero, and returns that. What the
 * info points to is borrowed until fn returns, the plugin for ever.
 */
int mobi_plugin_each(int (*fn)(const struct mobi_plugin_info *, void *arg),
		     void *arg);

/* Compiled-in plugins are registered before any load and win over files. At
 * most 16, each name of a kind once. */
void mobi_plugin_add_builtin(const struct mob_plugin *plugin);

#endif /* MOBI_PLUGIN_H */
