/* SPDX-License-Identifier: Apache-2.0 */
/* The directories that plugins are looked for in. */
#include "plugin_dirs.h"

#include "conf.h"
#include "err.h"
#include "os_dl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MOBI_PLUGIN_DIR
#define MOBI_PLUGIN_DIR "/usr/local/lib/mobula/plugins"
#endif

static int dirs_add(struct mobi_plugin_dirs *d, const char *path)
{
	char full[MOBI_PATH_SIZE];
	size_t size;

	/* One that is not there yet is kept for the message. */
	if (mobi_dl_resolve(path, full, sizeof(full)) == 0) {
		path = full;
	}
	for (unsigned i = 0; i < d->n; i++) {
		if (strcmp(d->path[i], path) == 0) {
			return 0;
		}
	}
	if (d->n == MOBI_PLUGIN_DIRS_MAX) {
		return mobi_err(MOB_E_LIMIT,
				"MOBULA_PLUGIN_PATH: too many directories, at "
				"most %d are searched for plugins",
				MOBI_PLUGIN_DIRS_MAX);
	}
	size = strlen(path) + 1;
	d->path[d->n] = malloc(size);
	if (!d->path[d->n]) {
		return mobi_err(MOB_E_NOMEM,
				"plugin search path: no memory for '%s'", path);
	}
	memcpy(d->path[d->n], path, size);
	d->n++;
	return 0;
}

/* Adds <parent of dir>/lib/mobula/plugins. */
static int dirs_add_beside(struct mobi_plugin_dirs *d, char *dir)
{
	char path[MOBI_PATH_SIZE + 32];
	char *slash = strrchr(dir, '/');

	if (slash) {
		*slash = '\0';
	}
	(void)snprintf(path, sizeof(path), "%s/lib/mobula/plugins", dir);
	return dirs_add(d, path);
}

static int dirs_add_list(struct mobi_plugin_dirs *d, const char *list)
{
	for (const char *at = list; *at != '\0';) {
		char dir[MOBI_PATH_SIZE];
		size_t n = strcspn(at, ":");
		int rc = 0;

		if (n >= sizeof(dir)) {
			return mobi_err(MOB_E_LIMIT,
					"MOBULA_PLUGIN_PATH: a directory of "
					"%zu bytes, at most %zu",
					n, sizeof(dir) - 1);
		}
		memcpy(dir, at, n);
		dir[n] = '\0';
		rc = n > 0 ? dirs_add(d, dir) : 0;
		if (rc < 0) {
			return rc;
		}
		at += n + (at[n] == ':');
	}
	return 0;
}

static int dirs_add_ours(struct mobi_plugin_dirs *d)
{
	char dir[MOBI_PATH_SIZE];
	int rc = 0;

	if (mobi_dl_exe_dir(dir, sizeof(dir)) == 0) {
		rc = dirs_add_beside(d, dir);
	}
	if (rc == 0 && mobi_dl_self_dir(dir, sizeof(dir)) == 0) {
		rc = dirs_add_beside(d, dir);
	}
	return rc == 0 ? dirs_add(d, MOBI_PLUGIN_DIR) : rc;
}

int mobi_plugin_dirs_init(struct mobi_plugin_dirs *d)
{
	const char *list = "";
	int rc;

	d->n = 0;
	(void)mobi_conf_str(MOBI_CONF_ID_plugin_path, &list);
	rc = dirs_add_list(d, list);
	return rc == 0 ? dirs_add_ours(d) : rc;
}

int mobi_plugin_dirs_ours(struct mobi_plugin_dirs *d)
{
	d->n = 0;
	return dirs_add_ours(d);
}

void mobi_plugin_dirs_fini(struct mobi_plugin_dirs *d)
{
	for (unsigned i = 0; i < d->n; i++) {
		free(d->path[i]);
	}
	d->n = 0;
}
