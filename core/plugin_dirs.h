/* SPDX-License-Identifier: Apache-2.0 */
/* The directories that plugins are looked for in; plugin.h has their order. */
#ifndef MOBI_PLUGIN_DIRS_H
#define MOBI_PLUGIN_DIRS_H

#define MOBI_PLUGIN_DIRS_MAX 32

/* Absolute and without links if they are there; none twice. */
struct mobi_plugin_dirs {
	char *path[MOBI_PLUGIN_DIRS_MAX];
	unsigned n;
};

/* Reads the search path. To be given to fini, also after a failure. Errors:
 * MOB_E_LIMIT too many or too long; MOB_E_NOMEM. */
int mobi_plugin_dirs_init(struct mobi_plugin_dirs *d);
/* The same without those of the configuration. */
int mobi_plugin_dirs_ours(struct mobi_plugin_dirs *d);
void mobi_plugin_dirs_fini(struct mobi_plugin_dirs *d);

#endif /* MOBI_PLUGIN_DIRS_H */
