/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading of plugins.
 *
 * A file is trusted only after its checks, in this order: who may write it and
 * its directory; that the loader takes it; its one function; the frozen prefix
 * of what that returns (magic, then ABI, then size and kind); only then the
 * fields behind the prefix. What passes is kept for ever, by path and stamp of
 * the file: the loader would answer a second load of a path with the code that
 * it has, also when the file has become another one.
 */
#include "plugin.h"

#include "err.h"
#include "os_dl.h"
#include "plugin_dirs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_SYMBOL "mob_plugin_entry"
#define NAME_MAX_LEN 31
#define BUILTINS_MAX 16

/* A plugin file that passed its checks. */
struct loaded {
	struct loaded *next;
	struct mobi_dl_stamp stamp;
	const struct mob_plugin *plugin;
	char path[];
};

struct listing {
	int (*fn)(const struct mobi_plugin_info *info, void *arg);
	void *arg;
	const char *dir;
	bool stopped;
};

static const struct {
	enum mob_plugin_kind kind;
	const char *name;
} kinds[] = {
	{ MOB_PLUGIN_SCHED, "sched" },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct mob_plugin *builtins[BUILTINS_MAX];
static unsigned n_builtins;

static pthread_mutex_t loaded_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct loaded *loaded_first;

static const char *kind_name(enum mob_plugin_kind kind)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		if (kinds[i].kind == kind) {
			return kinds[i].name;
		}
	}
	return NULL;
}

static bool name_legal(const char *name)
{
	size_t n = 0;

	for (; name[n] != '\0'; n++) {
		char c = name[n];

		if (n == NAME_MAX_LEN ||
		    !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '_')) {
			return false;
		}
	}
	return n > 0;
}

static int err_not_found(const struct mobi_plugin_dirs *d, const char *kind,
			 const char *name)
{
	char text[320] = "";
	size_t n = 0;

	for (unsigned i = 0; i < d->n && n < sizeof(text); i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
				      i > 0 ? ", " : "", d->path[i]);
	}
	return mobi_err(MOB_E_NOT_FOUND,
			"no plugin '%s': no file %s_%s.so in %s; set "
			"MOBULA_PLUGIN_PATH or give a path",
			name, kind, name, text);
}

static int find_by_name(const char *kind, const char *name, char *out_path,
			size_t out_size)
{
	struct mobi_plugin_dirs d;
	int rc = mobi_plugin_dirs_init(&d);
	unsigned i = 0;

	for (; rc == 0 && i < d.n; i++) {
		char path[MOBI_PATH_SIZE + 64];
		int found;

		(void)snprintf(path, sizeof(path), "%s/%s_%s.so", d.path[i],
			       kind, name);
		found = mobi_dl_resolve(path, out_path, out_size);
		if (found == 0) {
			/* The file may be a link to one in a better place. */
			rc = mobi_dl_check_dir(d.path[i]);
			break;
		}
		if (found != MOB_E_NOT_FOUND) {
			rc = found;
		}
	}
	if (rc == 0 && i == d.n) {
		rc = err_not_found(&d, kind, name);
	}
	mobi_plugin_dirs_fini(&d);
	return rc;
}

static int check_asked(enum mob_plugin_kind kind, const char *asked)
{
	if (!kind_name(kind)) {
		return mobi_err(MOB_E_INVAL, "plugin kind %d is not known",
				(int)kind);
	}
	if (!strchr(asked, '/') && !name_legal(asked)) {
		return mobi_err(MOB_E_INVAL,
				"plugin name '%.64s': a name is 1 to %d of "
				"a-z, 0-9 and '_'; a path holds a '/'",
				asked, NAME_MAX_LEN);
	}
	return 0;
}

static const struct mob_plugin *builtin_find(enum mob_plugin_kind kind,
					     const char *name)
{
	for (unsigned i = 0; i < n_builtins; i++) {
		if (builtins[i]->kind == (uint32_t)kind &&
		    strcmp(builtins[i]->name, name) == 0) {
			return builtins[i];
		}
	}
	return NULL;
}

int mobi_plugin_find(enum mob_plugin_kind kind, const char *name_or_path,
		     char *out_path, size_t out_size)
{
	char path[MOBI_PATH_SIZE];
	int rc = check_asked(kind, name_or_path);
	size_t n;

	if (rc < 0) {
		return rc;
	}
	if (strchr(name_or_path, '/')) {
		rc = mobi_dl_resolve(name_or_path, path, sizeof(path));
	} else if (builtin_find(kind, name_or_path)) {
		rc = mobi_err(MOB_E_NOT_FOUND,
			      "plugin '%s' is built in; it has no file",
			      name_or_path);
	} else {
		rc = find_by_name(kind_name(kind), name_or_path, path,
				  sizeof(path));
	}
	if (rc < 0) {
		return rc;
	}
	n = strlen(path) + 1;
	if (n > out_size) {
		return mobi_err(MOB_E_LIMIT,
				"the path of plugin '%.64s' has %zu bytes, the "
				"buffer %zu",
				name_or_path, n, out_size);
	}
	memcpy(out_path, path, n);
	return 0;
}

/* The frozen prefix, which must be right before anything behind it is read. */
static int check_prefix(const struct mob_plugin *p, enum mob_plugin_kind kind,
			const char *path)
{
	if (p->magic != MOB_PLUGIN_MAGIC) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': magic is 0x%08x, not 0x%08x; its "
				"descriptor must be of MOB_PLUGIN_DEFINE",
				path, p->magic, MOB_PLUGIN_MAGIC);
	}
	if (p->abi != MOB_PLUGIN_ABI) {
		return mobi_err(MOB_E_VERSION,
				"plugin '%s': built for plugin ABI %u, this "
				"Mobula has %u; %s",
				path, p->abi, MOB_PLUGIN_ABI,
				p->abi > MOB_PLUGIN_ABI ? "install a newer "
							  "Mobula, or build "
							  "the plugin with "
							  "these headers" :
							  "build the plugin "
							  "with these headers");
	}
	if (p->struct_size < sizeof(struct mob_plugin)) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': struct_size of the descriptor is "
				"%u, at least %zu; build it with the headers "
				"of this Mobula",
				path, p->struct_size,
				sizeof(struct mob_plugin));
	}
	if (p->kind != (uint32_t)kind) {
		const char *is = kind_name((enum mob_plugin_kind)p->kind);

		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': kind is %u (%s), wanted %d (%s); "
				"give a plugin of that kind",
				path, p->kind, is ? is : "unknown", (int)kind,
				kind_name(kind));
	}
	return 0;
}

static int check_body(const struct mob_plugin *p, const char *asked,
		      uint32_t ops_size_min, const char *path)
{
	uint32_t ops_size = 0;

	if (!p->name || !name_legal(p->name)) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': its name is not legal; it must "
				"be 1 to %d of a-z, 0-9 and '_'",
				path, NAME_MAX_LEN);
	}
	if (asked && strcmp(p->name, asked) != 0) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': its name is '%s', not '%s' as "
				"asked for; name the file after the plugin",
				path, p->name, asked);
	}
	if (!p->ops) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': ops is NULL; it must be the "
				"table of its kind",
				path);
	}
	memcpy(&ops_size, p->ops, sizeof(ops_size));
	if (ops_size < ops_size_min) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': struct_size of ops is %u, at "
				"least %u; set it to the size of the table, "
				"with all that must be there",
				path, ops_size, ops_size_min);
	}
	return 0;
}

static int check_descriptor(const struct mob_plugin *p,
			    enum mob_plugin_kind kind, const char *asked,
			    uint32_t ops_size_min, const char *path)
{
	int rc = 0;

	if (!p) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': " ENTRY_SYMBOL " returned NULL; "
				"end it with MOB_PLUGIN_DEFINE",
				path);
	}
	rc = check_prefix(p, kind, path);
	return rc < 0 ? rc : check_body(p, asked, ops_size_min, path);
}

/* Asks a file that the loader took for its descriptor, which may be NULL. */
static int descriptor_get(void *handle, const char *path,
			  const struct mob_plugin **out_plugin)
{
	mobi_dl_fn fn = mobi_dl_sym(handle, ENTRY_SYMBOL);

	if (!fn) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin '%s': it has no function " ENTRY_SYMBOL
				"; end it with MOB_PLUGIN_DEFINE",
				path);
	}
	*out_plugin = ((const struct mob_plugin *(*)(void))fn)();
	return 0;
}

static int loaded_add_locked(const char *path,
			     const struct mobi_dl_stamp *stamp,
			     const struct mob_plugin *plugin)
{
	size_t n = strlen(path) + 1;
	struct loaded *l = malloc(sizeof(*l) + n);

	if (!l) {
		return mobi_err(MOB_E_NOMEM, "plugin '%s': no memory", path);
	}
	l->next = loaded_first;
	l->stamp = *stamp;
	l->plugin = plugin;
	memcpy(l->path, path, n);
	loaded_first = l;
	return 0;
}

static const struct loaded *loaded_find_locked(const char *path)
{
	const struct loaded *l = loaded_first;

	while (l && strcmp(l->path, path) != 0) {
		l = l->next;
	}
	return l;
}

static bool stamp_equal(const struct mobi_dl_stamp *a,
			const struct mobi_dl_stamp *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

static int file_load_locked(enum mob_plugin_kind kind, const char *asked,
			    const char *path, uint32_t ops_size_min,
			    const struct mob_plugin **out_plugin)
{
	const struct loaded *before = loaded_find_locked(path);
	const struct mob_plugin *plugin = NULL;
	struct mobi_dl_stamp stamp;
	void *handle = NULL;
	int rc = mobi_dl_check_file(path, &stamp);

	if (rc < 0) {
		return rc;
	}
	if (before && !stamp_equal(&before->stamp, &stamp)) {
		return mobi_err(MOB_E_BUSY,
				"plugin '%s': the file was changed after this "
				"process loaded it, and cannot be loaded again;"
				" give the new one another file name",
				path);
	}
	if (before) {
		rc = check_descriptor(before->plugin, kind, asked, ops_size_min,
				      path);
		if (rc == 0) {
			*out_plugin = before->plugin;
		}
		return rc;
	}
	rc = mobi_dl_open(path, &handle);
	if (rc < 0) {
		return rc;
	}
	rc = descriptor_get(handle, path, &plugin);
	if (rc == 0) {
		rc = check_descriptor(plugin, kind, asked, ops_size_min, path);
	}
	if (rc == 0) {
		rc = loaded_add_locked(path, &stamp, plugin);
	}
	if (rc < 0) {
		mobi_dl_close(handle);
		return rc;
	}
	*out_plugin = plugin;
	return 0;
}

static int file_load(enum mob_plugin_kind kind, const char *asked,
		     const char *path, uint32_t ops_size_min,
		     const struct mob_plugin **out_plugin)
{
	int rc;

	MOB_ASSERT(pthread_mutex_lock(&loaded_mutex) == 0);
	rc = file_load_locked(kind, asked, path, ops_size_min, out_plugin);
	MOB_ASSERT(pthread_mutex_unlock(&loaded_mutex) == 0);
	return rc;
}

int mobi_plugin_load(enum mob_plugin_kind kind, const char *name_or_path,
		     uint32_t ops_size_min,
		     const struct mob_plugin **out_plugin)
{
	char path[MOBI_PATH_SIZE];
	const struct mob_plugin *builtin = NULL;
	const char *asked = strchr(name_or_path, '/') ? NULL : name_or_path;
	int rc = check_asked(kind, name_or_path);

	if (rc < 0) {
		return rc;
	}
	builtin = asked ? builtin_find(kind, asked) : NULL;
	if (builtin) {
		rc = check_descriptor(builtin, kind, asked, ops_size_min,
				      "(built in)");
		if (rc == 0) {
			*out_plugin = builtin;
		}
		return rc;
	}
	rc = mobi_plugin_find(kind, name_or_path, path, sizeof(path));
	if (rc < 0) {
		return rc;
	}
	return file_load(kind, asked, path, ops_size_min, out_plugin);
}

bool mobi_plugin_is_ours(const char *path)
{
	struct mobi_plugin_dirs d;
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	bool ours = false;

	if (mobi_plugin_dirs_ours(&d) == 0) {
		for (unsigned i = 0; i < d.n && !ours; i++) {
			ours = strlen(d.path[i]) == n &&
			       memcmp(d.path[i], path, n) == 0;
		}
	}
	mobi_plugin_dirs_fini(&d);
	return ours;
}

static int list_one(struct listing *l, const char *path,
		    const struct mob_plugin *plugin, int rc)
{
	/* fn may fail in between, which ends what mob_err_detail lent. */
	char detail[512];
	struct mobi_plugin_info info = {
		.path = path,
		.plugin = plugin,
		.rc = rc,
		.detail = detail,
	};

	(void)snprintf(detail, sizeof(detail), "%s", mob_err_detail(rc));
	rc = l->fn(&info, l->arg);
	l->stopped = rc != 0;
	return rc;
}

/* The kind of "<kind>_<name>.so" and its name, or false. */
static bool file_name_split(const char *file, enum mob_plugin_kind *out_kind,
			    char out_name[NAME_MAX_LEN + 1])
{
	size_t len = strlen(file);

	if (len < 3 || strcmp(file + len - 3, ".so") != 0) {
		return false;
	}
	len -= 3;
	for (size_t i = 0; i < N_KINDS; i++) {
		size_t n = strlen(kinds[i].name);

		if (len > n + 1 && len - n - 1 <= NAME_MAX_LEN &&
		    strncmp(file, kinds[i].name, n) == 0 && file[n] == '_') {
			memcpy(out_name, file + n + 1, len - n - 1);
			out_name[len - n - 1] = '\0';
			*out_kind = kinds[i].kind;
			return true;
		}
	}
	return false;
}

static int list_file(const char *file, void *arg)
{
	struct listing *l = arg;
	char path[MOBI_PATH_SIZE + 512];
	char full[MOBI_PATH_SIZE];
	char name[NAME_MAX_LEN + 1];
	const struct mob_plugin *plugin = NULL;
	enum mob_plugin_kind kind = MOB_PLUGIN_SCHED;
	int rc;

	if (!file_name_split(file, &kind, name)) {
		return 0;
	}
	(void)snprintf(path, sizeof(path), "%s/%s", l->dir, file);
	rc = mobi_dl_check_dir(l->dir);
	if (rc == 0) {
		rc = mobi_dl_resolve(path, full, sizeof(full));
	}
	if (rc == 0) {
		/* Any table has its size in front. */
		rc = file_load(kind, name, full, sizeof(uint32_t), &plugin);
	}
	return list_one(l, path, plugin, rc);
}

int mobi_plugin_each(int (*fn)(const struct mobi_plugin_info *, void *arg),
		     void *arg)
{
	struct listing l = { .fn = fn, .arg = arg };
	struct mobi_plugin_dirs d;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < n_builtins; i++) {
		rc = list_one(&l, "(built in)", builtins[i], 0);
	}
	if (rc != 0) {
		return rc;
	}
	rc = mobi_plugin_dirs_init(&d);
	for (unsigned i = 0; rc == 0 && i < d.n; i++) {
		l.dir = d.path[i];
		rc = mobi_dl_names(l.dir, list_file, &l);
		if (rc != 0 && !l.stopped) {
			rc = list_one(&l, l.dir, NULL, rc);
		}
	}
	mobi_plugin_dirs_fini(&d);
	return rc;
}

void mobi_plugin_add_builtin(const struct mob_plugin *plugin)
{
	MOB_ASSERT(n_builtins < BUILTINS_MAX);
	MOB_ASSERT(plugin->magic == MOB_PLUGIN_MAGIC);
	MOB_ASSERT(plugin->name && name_legal(plugin->name));
	MOB_ASSERT(!builtin_find((enum mob_plugin_kind)plugin->kind,
				 plugin->name));
	builtins[n_builtins++] = plugin;
}
