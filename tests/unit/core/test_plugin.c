/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading of plugins: each check has a file that only it refuses. The files
 * are built here from plugins/probe.c with the compiler of the environment
 * (CC, else cc), in a directory of their own.
 */
#define _GNU_SOURCE

#include "err.h"
#include "plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_SIZE 512
/* The table of probe.c: its size and a number. */
#define OPS_SIZE 8

/* As argv[1]: what this program does when started by itself. */
#define FIND_GOOD "find-good"

static char top[] = "/tmp/mobula-test-plugin-XXXXXX";

static const char *path_in(char *buf, const char *dir, const char *file)
{
	(void)snprintf(buf, PATH_SIZE, "%s/%s/%s", top, dir, file);
	return buf;
}

/* Runs a program to its end; its exit status. */
static int run(char *const *argv)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* Builds probe.c as <top>/<file> with up to three macros. */
static int build(const char *file, const char *const macros[3])
{
	char source[PATH_SIZE];
	char include[PATH_SIZE];
	char out[PATH_SIZE];
	const char *cc = getenv("CC");
	const char *slash = strrchr(__FILE__, '/');
	int n = slash ? (int)(slash - __FILE__) : 1;
	const char *here = slash ? __FILE__ : ".";
	char *argv[12] = { NULL };
	int argc = 0;

	(void)snprintf(source, sizeof(source), "%.*s/plugins/probe.c", n, here);
	(void)snprintf(include, sizeof(include), "-I%.*s/../../../core/include",
		       n, here);
	(void)path_in(out, ".", file);
	argv[argc++] = strdup(cc && cc[0] != '\0' ? cc : "cc");
	argv[argc++] = strdup("-std=c11");
	argv[argc++] = strdup("-shared");
	argv[argc++] = strdup("-fPIC");
	argv[argc++] = strdup("-o");
	argv[argc++] = strdup(out);
	argv[argc++] = strdup(include);
	for (int i = 0; i < 3 && macros[i]; i++) {
		argv[argc++] = strdup(macros[i]);
	}
	argv[argc] = strdup(source);
	n = run(argv);
	for (int i = 0; i <= argc; i++) {
		free(argv[i]);
	}
	if (n != 0) {
		print_error("cannot build %s\n", out);
	}
	return n;
}

static int copy(const char *from, const char *to)
{
	char buf[65536];
	ssize_t n = 0;
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	if (in < 0 || out < 0) {
		return -1;
	}
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, (size_t)n) != n) {
			return -1;
		}
	}
	(void)close(in);
	(void)close(out);
	return n < 0 ? -1 : 0;
}

/* A copy of the good plugin at <top>/<dir>/<file>; makes the directory. */
static const char *copy_good(char *buf, const char *dir, const char *file)
{
	char from[PATH_SIZE];
	char made[PATH_SIZE];

	(void)snprintf(made, sizeof(made), "%s/%s", top, dir);
	assert_true(mkdir(made, 0755) == 0 || errno == EEXIST);
	(void)path_in(buf, dir, file);
	assert_int_equal(copy(path_in(from, ".", "sched_good.so"), buf), 0);
	return buf;
}

static int write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f) {
		return -1;
	}
	(void)fputs(text, f);
	return fclose(f);
}

/*
 * One row a check, in the order of the loader. Where the prefix is wrong, what
 * lies behind it is not there or not to be read.
 */
static const struct refusal {
	const char *file;
	const char *macros[3];
	int rc;
	const char *detail;
} refusals[] = {
	{ "undefined.so",
	  { "-DPROBE_UNDEFINED" },
	  MOB_E_PLUGIN,
	  "probe_undefined" },
	{ "no_entry.so",
	  { "-DPROBE_NO_ENTRY" },
	  MOB_E_PLUGIN,
	  "no function mob_plugin_entry" },
	{ "null.so", { "-DPROBE_NULL" }, MOB_E_PLUGIN, "returned NULL" },
	{ "magic.so",
	  { "-DPROBE_MAGIC=7", "-DPROBE_SHORT" },
	  MOB_E_PLUGIN,
	  "magic is 0x00000007, not 0x424f4d01" },
	{ "abi_newer.so",
	  { "-DPROBE_ABI=2", "-DPROBE_SHORT" },
	  MOB_E_VERSION,
	  "ABI 2, this Mobula has 1; install a newer Mobula" },
	{ "abi_older.so",
	  { "-DPROBE_ABI=0", "-DPROBE_SHORT" },
	  MOB_E_VERSION,
	  "ABI 0, this Mobula has 1; build the plugin" },
	{ "size.so",
	  { "-DPROBE_SIZE=16", "-DPROBE_SHORT" },
	  MOB_E_PLUGIN,
	  "struct_size of the descriptor is 16" },
	{ "kind.so",
	  { "-DPROBE_KIND=9", "-DPROBE_NAME=((const char*)1)" },
	  MOB_E_PLUGIN,
	  "kind is 9 (unknown), wanted 1 (sched)" },
	{ "name_null.so",
	  { "-DPROBE_NAME=NULL" },
	  MOB_E_PLUGIN,
	  "name is not legal" },
	{ "name_upper.so",
	  { "-DPROBE_NAME=\"Good\"" },
	  MOB_E_PLUGIN,
	  "name is not legal" },
	{ "name_long.so",
	  { "-DPROBE_NAME=\"a2345678901234567890123456789012\"" },
	  MOB_E_PLUGIN,
	  "name is not legal" },
	{ "ops_null.so", { "-DPROBE_OPS=NULL" }, MOB_E_PLUGIN, "ops is NULL" },
	{ "ops_size.so",
	  { "-DPROBE_OPS_SIZE=7" },
	  MOB_E_PLUGIN,
	  "struct_size of ops is 7, at least 8" },
};
#define N_REFUSALS (sizeof(refusals) / sizeof(refusals[0]))

static int group_setup(void **state)
{
	static const char *const none[3] = { NULL };
	static const char *const longest[3] = { "-DPROBE_NAME="
						"\"a234567890123456789012345678"
						"901\"" };
	char path[PATH_SIZE];

	(void)state;
	if (!mkdtemp(top) || build("sched_good.so", none) != 0 ||
	    build("longest.so", longest) != 0) {
		return -1;
	}
	for (size_t i = 0; i < N_REFUSALS; i++) {
		if (build(refusals[i].file, refusals[i].macros) != 0) {
			return -1;
		}
	}
	return write_file(path_in(path, ".", "text.so"), "not an ELF\n") ||
	       write_file(path_in(path, ".", "empty.so"), "");
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int group_teardown(void **state)
{
	(void)state;
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int test_setup(void **state)
{
	(void)state;
	return setenv("MOBULA_PLUGIN_PATH", top, 1);
}

/* Not loaded, for this reason, with the file named and nothing written. */
static void assert_refused(const char *asked, const char *file, int rc,
			   const char *detail)
{
	const struct mob_plugin *plugin = (const struct mob_plugin *)top;
	const char *got = NULL;

	assert_string_equal(mob_err_name(mobi_plugin_load(MOB_PLUGIN_SCHED,
							  asked, OPS_SIZE,
							  &plugin)),
			    mob_err_name(rc));
	assert_ptr_equal(plugin, top);
	got = mob_err_detail(rc);
	if (!strstr(got, file) || !strstr(got, detail)) {
		fail_msg("'%s' does not hold '%s' and '%s'", got, file, detail);
	}
}

static const struct mob_plugin *load(const char *asked)
{
	const struct mob_plugin *plugin = NULL;
	int rc = mobi_plugin_load(MOB_PLUGIN_SCHED, asked, OPS_SIZE, &plugin);

	if (rc < 0) {
		fail_msg("%s: %s", mob_err_name(rc), mob_err_detail(rc));
	}
	assert_non_null(plugin);
	return plugin;
}

static void test_load_by_path_and_name_is_the_same(void **state)
{
	char path[PATH_SIZE];
	const struct mob_plugin *p = load(path_in(path, ".", "sched_good.so"));

	(void)state;
	assert_string_equal(p->name, "good");
	assert_string_equal(p->version, "1.2.3");
	assert_int_equal(((const uint32_t *)p->ops)[1], 42);
	assert_ptr_equal(load(path), p);
	assert_ptr_equal(load("good"), p);
}

static void test_load_relative_path_is_resolved(void **state)
{
	char before[PATH_MAX];
	const struct mob_plugin *p = load("good");

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(top), 0);
	assert_ptr_equal(load("./sched_good.so"), p);
	assert_int_equal(chdir(before), 0);
}

static void test_load_name_of_31_is_legal(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	assert_int_equal(strlen(load(path_in(path, ".", "longest.so"))->name),
			 31);
}

static void test_load_wrong_file_is_refused(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	for (size_t i = 0; i < N_REFUSALS; i++) {
		const struct refusal *r = &refusals[i];

		assert_refused(path_in(path, ".", r->file), r->file, r->rc,
			       r->detail);
	}
}

static void test_load_no_elf_is_refused(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	assert_refused(path_in(path, ".", "text.so"), "text.so", MOB_E_PLUGIN,
		       "not a shared object");
	assert_refused(path_in(path, ".", "empty.so"), "empty.so", MOB_E_PLUGIN,
		       "not a shared object");
	assert_int_equal(mkdir(path_in(path, ".", "folder.so"), 0755), 0);
	assert_refused(path, "folder.so", MOB_E_PLUGIN, "not a regular file");
}

static void test_load_illegal_name_is_refused(void **state)
{
	static const char *const names[] = {
		"",     "Good", "a-b",
		"a.so", "a b",  "a2345678901234567890123456789012",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_refused(names[i], names[i], MOB_E_INVAL,
			       "a-z, 0-9 and '_'");
	}
}

static void test_load_unknown_kind_is_refused(void **state)
{
	const struct mob_plugin *plugin = NULL;

	(void)state;
	assert_int_equal(mobi_plugin_load((enum mob_plugin_kind)9, "good",
					  OPS_SIZE, &plugin),
			 MOB_E_INVAL);
	assert_null(plugin);
}

static void test_load_missing_tells_where_it_looked(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	assert_refused("missing", "sched_missing.so", MOB_E_NOT_FOUND, top);
	assert_non_null(strstr(mob_err_detail(MOB_E_NOT_FOUND), "MOBULA_PLUGIN_"
								"PATH"));
	assert_refused(path_in(path, ".", "missing.so"), "missing.so",
		       MOB_E_NOT_FOUND, "no file");
}

static void test_load_other_name_than_file_is_refused(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	(void)copy_good(path, "alias", "sched_alias.so");
	(void)setenv("MOBULA_PLUGIN_PATH", strcat(strcpy(path, top), "/alias"),
		     1);
	assert_refused("alias", "sched_alias.so", MOB_E_PLUGIN,
		       "'good', not 'alias'");
	assert_string_equal(
		load(path_in(path, "alias", "sched_alias.so"))->name, "good");
}

static void test_load_world_writable_file_is_refused(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	(void)copy_good(path, "open_file", "sched_good.so");
	assert_int_equal(chmod(path, 0757), 0);
	assert_refused(path, "open_file/sched_good.so", MOB_E_PERM,
		       "world-writable");
	assert_int_equal(chmod(path, 0755), 0);
	(void)load(path);
}

static void test_load_world_writable_directory_is_refused(void **state)
{
	char path[PATH_SIZE];
	char opened[PATH_SIZE];

	(void)state;
	(void)copy_good(path, "open_dir", "sched_good.so");
	(void)snprintf(opened, sizeof(opened), "%s/open_dir", top);
	assert_int_equal(chmod(opened, 0777), 0);
	assert_refused(path, "open_dir", MOB_E_PERM, "world-writable");
	/* The sticky bit of /tmp is no help: anybody may add files. */
	assert_int_equal(chmod(opened, 01777), 0);
	(void)setenv("MOBULA_PLUGIN_PATH", opened, 1);
	assert_refused("good", "open_dir", MOB_E_PERM, "world-writable");
	assert_int_equal(chmod(opened, 0755), 0);
	(void)load("good");
}

static void test_load_link_in_world_writable_directory_is_refused(void **state)
{
	char path[PATH_SIZE];
	char link[PATH_SIZE];
	char opened[PATH_SIZE];

	(void)state;
	(void)snprintf(opened, sizeof(opened), "%s/open_links", top);
	assert_int_equal(mkdir(opened, 0755), 0);
	assert_int_equal(symlink(path_in(path, ".", "sched_good.so"),
				 path_in(link, "open_links", "sched_good.so")),
			 0);
	(void)setenv("MOBULA_PLUGIN_PATH", opened, 1);
	(void)load("good");
	assert_int_equal(chmod(opened, 0777), 0);
	assert_refused("good", "open_links", MOB_E_PERM, "world-writable");
}

static void test_load_of_other_owners_is_refused(void **state)
{
	char path[PATH_SIZE];
	char dir[PATH_SIZE];

	(void)state;
	if (geteuid() != 0) {
		print_message("no right to give files away\n");
		skip();
	}
	(void)copy_good(path, "given", "sched_good.so");
	(void)snprintf(dir, sizeof(dir), "%s/given", top);
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_refused(path, "sched_good.so", MOB_E_PERM,
		       "belongs to user 12345");
	assert_int_equal(chown(path, 0, 12345), 0);
	assert_int_equal(chmod(path, 0775), 0);
	assert_refused(path, "sched_good.so", MOB_E_PERM,
		       "writable for group 12345");
	assert_int_equal(chown(dir, 12345, 0), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_refused(path, "directory", MOB_E_PERM, "belongs to user 12345");
	assert_int_equal(chown(dir, 0, 0), 0);
	/* The group of the owner alone, as an umask of 002 leaves it. */
	assert_int_equal(chown(path, 0, 0), 0);
	assert_int_equal(chmod(path, 0775), 0);
	(void)load(path);
}

static void test_load_changed_file_is_busy(void **state)
{
	char path[PATH_SIZE];
	char other[PATH_SIZE];

	(void)state;
	(void)load(copy_good(path, "changed", "sched_good.so"));
	(void)copy_good(other, "changed", "new.so");
	assert_int_equal(rename(other, path), 0);
	assert_refused(path, "changed/sched_good.so", MOB_E_BUSY,
		       "another file name");
	(void)load(copy_good(path, "changed", "sched_good2.so"));
}

static void test_load_larger_table_wanted_is_refused(void **state)
{
	const struct mob_plugin *plugin = NULL;

	(void)state;
	(void)load("good");
	assert_int_equal(mobi_plugin_load(MOB_PLUGIN_SCHED, "good",
					  OPS_SIZE + 1, &plugin),
			 MOB_E_PLUGIN);
	assert_null(plugin);
}

static void test_find_takes_the_first_directory(void **state)
{
	char list[4 * PATH_SIZE];
	char second[PATH_SIZE];
	char got[PATH_SIZE];
	char want[PATH_SIZE];

	(void)state;
	(void)copy_good(second, "second", "sched_good.so");
	(void)snprintf(list, sizeof(list), ":%s/none:%s/second:%s", top, top,
		       top);
	(void)setenv("MOBULA_PLUGIN_PATH", list, 1);
	assert_int_equal(mobi_plugin_find(MOB_PLUGIN_SCHED, "good", got,
					  sizeof(got)),
			 0);
	assert_string_equal(got, second);
	(void)snprintf(list, sizeof(list), "%s/./second/../sched_good.so", top);
	assert_int_equal(
		mobi_plugin_find(MOB_PLUGIN_SCHED, list, got, sizeof(got)), 0);
	(void)snprintf(want, sizeof(want), "%s/sched_good.so", top);
	assert_string_equal(got, want);
}

static void test_find_small_buffer_is_a_limit(void **state)
{
	char got[8] = "kept";

	(void)state;
	assert_int_equal(mobi_plugin_find(MOB_PLUGIN_SCHED, "good", got,
					  sizeof(got)),
			 MOB_E_LIMIT);
	assert_string_equal(got, "kept");
}

static void test_find_too_many_directories_is_a_limit(void **state)
{
	char list[2048] = "";
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s/%d:", top,
				      i);
	}
	(void)setenv("MOBULA_PLUGIN_PATH", list, 1);
	assert_refused("good", "MOBULA_PLUGIN_PATH", MOB_E_LIMIT, "32");
}

static void test_find_looks_beside_the_executable(void **state)
{
	char prog[PATH_SIZE];
	char dir[PATH_SIZE];
	char good[PATH_SIZE];
	char find_good[] = FIND_GOOD;
	char *argv[] = { prog, find_good, good, NULL };

	(void)state;
	assert_int_equal(mkdir(path_in(dir, "tree", ""), 0755), 0);
	assert_int_equal(mkdir(path_in(dir, "tree", "bin"), 0755), 0);
	assert_int_equal(mkdir(path_in(dir, "tree", "lib"), 0755), 0);
	assert_int_equal(mkdir(path_in(dir, "tree", "lib/mobula"), 0755), 0);
	(void)copy_good(good, "tree/lib/mobula/plugins", "sched_good.so");
	assert_int_equal(
		copy("/proc/self/exe", path_in(prog, "tree", "bin/prog")), 0);
	(void)unsetenv("MOBULA_PLUGIN_PATH");
	assert_int_equal(run(argv), 0);
}

/* The other side: this program, started as a copy. */
static int find_good(const char *want)
{
	char got[PATH_SIZE];

	return mobi_plugin_find(MOB_PLUGIN_SCHED, "good", got, sizeof(got)) ||
	       strcmp(got, want) != 0;
}

struct listed {
	char text[4096];
	int n;
	int stop_at;
};

static int list_one(const struct mobi_plugin_info *info, void *arg)
{
	struct listed *l = arg;
	size_t len = strlen(l->text);

	(void)snprintf(l->text + len, sizeof(l->text) - len, "%s %s %s %s\n",
		       info->path, info->plugin ? info->plugin->name : "-",
		       mob_err_name(info->rc), info->detail);
	l->n++;
	return l->n == l->stop_at ? 55 : 0;
}

static void test_each_lists_good_and_bad(void **state)
{
	struct listed l = { .n = 0 };
	char path[PATH_SIZE];
	char good[PATH_SIZE * 2];
	const char *bad = NULL;

	(void)state;
	(void)copy_good(path, "each", "sched_good.so");
	(void)copy_good(path, "each", "other_good.so");
	(void)copy_good(path, "each", "sched_note.txt");
	assert_int_equal(write_file(path_in(path, "each", "sched_bad.so"), "x"),
			 0);
	/* The same directory twice: each file once. */
	(void)snprintf(good, sizeof(good), "%s/each:%s/each/.", top, top);
	(void)setenv("MOBULA_PLUGIN_PATH", good, 1);
	(void)snprintf(path, sizeof(path), "%s/each", top);
	assert_int_equal(mobi_plugin_each(list_one, &l), 0);
	(void)snprintf(good, sizeof(good), "%s/sched_good.so good MOB_OK \n",
		       path);
	bad = strstr(l.text, "/each/sched_bad.so - MOB_E_PLUGIN plugin file");
	assert_non_null(bad);
	assert_non_null(strstr(bad, good));
	assert_null(strstr(strstr(bad, good) + 1, good));
	assert_null(strstr(l.text, "other_good"));
	assert_null(strstr(l.text, "sched_note"));
}

static void test_each_stops_when_told(void **state)
{
	struct listed l = { .stop_at = 1 };

	(void)state;
	assert_int_equal(mobi_plugin_each(list_one, &l), 55);
	assert_int_equal(l.n, 1);
}

struct loading {
	pthread_t thread;
	const char *path;
	const struct mob_plugin *plugin;
	int rc;
};

static void *load_in_thread(void *arg)
{
	struct loading *l = arg;

	l->rc = mobi_plugin_load(MOB_PLUGIN_SCHED, l->path, OPS_SIZE,
				 &l->plugin);
	return NULL;
}

static void test_load_by_threads_gives_one_descriptor(void **state)
{
	struct loading l[4];
	char path[PATH_SIZE];

	(void)state;
	(void)copy_good(path, "threads", "sched_good.so");
	for (int i = 0; i < 4; i++) {
		l[i] = (struct loading){ .path = path };
		assert_int_equal(pthread_create(&l[i].thread, NULL,
						load_in_thread, &l[i]),
				 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(l[i].thread, NULL), 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(l[i].rc, 0);
		assert_non_null(l[i].plugin);
		assert_ptr_equal(l[i].plugin, l[0].plugin);
	}
}

static void test_builtin_wins_over_files(void **state)
{
	static const uint32_t ops[2] = { OPS_SIZE, 7 };
	static const struct mob_plugin inside = {
		.magic = MOB_PLUGIN_MAGIC,
		.abi = MOB_PLUGIN_ABI,
		.struct_size = sizeof(struct mob_plugin),
		.kind = MOB_PLUGIN_SCHED,
		.name = "inside",
		.ops = ops,
	};
	struct listed l = { .n = 0 };
	const struct mob_plugin *plugin = NULL;
	char path[PATH_SIZE];

	(void)state;
	(void)copy_good(path, "inside", "sched_inside.so");
	(void)setenv("MOBULA_PLUGIN_PATH", strcat(strcpy(path, top), "/inside"),
		     1);
	mobi_plugin_add_builtin(&inside);
	assert_ptr_equal(load("inside"), &inside);
	assert_int_equal(mobi_plugin_load(MOB_PLUGIN_SCHED, "inside",
					  OPS_SIZE + 1, &plugin),
			 MOB_E_PLUGIN);
	assert_int_equal(mobi_plugin_find(MOB_PLUGIN_SCHED, "inside", path,
					  sizeof(path)),
			 MOB_E_NOT_FOUND);
	assert_non_null(strstr(mob_err_detail(MOB_E_NOT_FOUND), "built in"));
	assert_int_equal(mobi_plugin_each(list_one, &l), 0);
	assert_ptr_equal(strstr(l.text, "(built in) inside MOB_OK"), l.text);
}

#define PLUGIN_TEST(fn) cmocka_unit_test_setup((fn), test_setup)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		PLUGIN_TEST(test_load_by_path_and_name_is_the_same),
		PLUGIN_TEST(test_load_relative_path_is_resolved),
		PLUGIN_TEST(test_load_name_of_31_is_legal),
		PLUGIN_TEST(test_load_wrong_file_is_refused),
		PLUGIN_TEST(test_load_no_elf_is_refused),
		PLUGIN_TEST(test_load_illegal_name_is_refused),
		PLUGIN_TEST(test_load_unknown_kind_is_refused),
		PLUGIN_TEST(test_load_missing_tells_where_it_looked),
		PLUGIN_TEST(test_load_other_name_than_file_is_refused),
		PLUGIN_TEST(test_load_world_writable_file_is_refused),
		PLUGIN_TEST(test_load_world_writable_directory_is_refused),
		PLUGIN_TEST(
			test_load_link_in_world_writable_directory_is_refused),
		PLUGIN_TEST(test_load_of_other_owners_is_refused),
		PLUGIN_TEST(test_load_changed_file_is_busy),
		PLUGIN_TEST(test_load_larger_table_wanted_is_refused),
		PLUGIN_TEST(test_find_takes_the_first_directory),
		PLUGIN_TEST(test_find_small_buffer_is_a_limit),
		PLUGIN_TEST(test_find_too_many_directories_is_a_limit),
		PLUGIN_TEST(test_find_looks_beside_the_executable),
		PLUGIN_TEST(test_each_lists_good_and_bad),
		PLUGIN_TEST(test_each_stops_when_told),
		PLUGIN_TEST(test_load_by_threads_gives_one_descriptor),
		PLUGIN_TEST(test_builtin_wins_over_files),
	};

	if (argc == 3 && strcmp(argv[1], FIND_GOOD) == 0) {
		return find_good(argv[2]);
	}
	return cmocka_run_group_tests_name("core.plugin", tests, group_setup,
					   group_teardown);
}
