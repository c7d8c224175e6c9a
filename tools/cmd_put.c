/* SPDX-License-Identifier: Apache-2.0 */
/* mob object put: a file or a stream becomes an object, read into its place. */
#define _GNU_SOURCE
#include "cmd_put.h"

#include "cmd_name.h"
#include "out.h"

#include <mobula/err.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 16)

/* ---- headers as text ---- */

static const struct dtype_name {
	const char *name;
	uint8_t code;
	uint8_t bits;
} dtypes[] = {
	{ "i8", MOB_DTYPE_INT, 8 },       { "i16", MOB_DTYPE_INT, 16 },
	{ "i32", MOB_DTYPE_INT, 32 },     { "i64", MOB_DTYPE_INT, 64 },
	{ "u8", MOB_DTYPE_UINT, 8 },      { "u16", MOB_DTYPE_UINT, 16 },
	{ "u32", MOB_DTYPE_UINT, 32 },    { "u64", MOB_DTYPE_UINT, 64 },
	{ "f16", MOB_DTYPE_FLOAT, 16 },   { "f32", MOB_DTYPE_FLOAT, 32 },
	{ "f64", MOB_DTYPE_FLOAT, 64 },   { "bf16", MOB_DTYPE_BFLOAT, 16 },
	{ "c64", MOB_DTYPE_COMPLEX, 64 }, { "c128", MOB_DTYPE_COMPLEX, 128 },
	{ "bool", MOB_DTYPE_BOOL, 8 },
};
#define DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

const char *cmd_dtype_text(char text[CMD_ARRAY_MAX], struct mob_dtype type)
{
	char lanes[8] = "";

	if (!type.bits) {
		return NULL;
	}
	if (type.lanes != 1) {
		(void)snprintf(lanes, sizeof(lanes), "x%u", type.lanes);
	}
	for (size_t i = 0; i < DTYPES; i++) {
		if (dtypes[i].code == type.code &&
		    dtypes[i].bits == type.bits) {
			(void)snprintf(text, CMD_ARRAY_MAX, "%s%s",
				       dtypes[i].name, lanes);
			return text;
		}
	}
	(void)snprintf(text, CMD_ARRAY_MAX, "code %u, %u bits%s", type.code,
		       type.bits, lanes);
	return text;
}

const char *cmd_shape_text(char text[CMD_ARRAY_MAX],
			   const struct mob_object_header *h)
{
	size_t n = 0;

	if (!h->ndim) {
		return "scalar";
	}
	for (uint32_t i = 0; i < h->ndim; i++) {
		n += (size_t)snprintf(text + n, CMD_ARRAY_MAX - n, "%s%" PRIu64,
				      i ? "x" : "", h->shape[i]);
	}
	return text;
}

static int parse_shape(const char *text, struct mob_object_header *h)
{
	const char *p = text;
	char *end;

	do {
		errno = 0;
		if (h->ndim == MOB_ARRAY_DIMS || *p < '0' || *p > '9') {
			break;
		}
		h->shape[h->ndim++] = strtoull(p, &end, 10);
		if (errno || (*end && *end != 'x')) {
			break;
		}
		p = end + 1;
		if (!*end) {
			return 0;
		}
	} while (true);
	return cli_fail(CLI_USAGE, NULL,
			"--shape is '%s'; 1 to %d numbers with x between them, "
			"as in 3x4",
			text, MOB_ARRAY_DIMS);
}

/* *out_size: of the array, if it is one. */
static int parse_header(const struct cli *c, struct mob_object_header *h,
			bool *out_array, uint64_t *out_size)
{
	const char *dtype = cli_text(c, "dtype");
	int rc;

	h->content_type = cli_text(c, "content-type");
	*out_array = dtype != NULL;
	if (!dtype) {
		return !cli_given(c, "shape") ? 0 :
						cli_fail(CLI_USAGE, NULL,
							 "--shape without "
							 "--dtype");
	}
	for (size_t i = 0; i < DTYPES; i++) {
		if (strcmp(dtypes[i].name, dtype) == 0) {
			h->dtype = (struct mob_dtype){ dtypes[i].code,
						       dtypes[i].bits, 1 };
		}
	}
	if (!h->dtype.bits) {
		return cli_fail(CLI_USAGE, NULL,
				"--dtype is '%s'; i8 i16 i32 i64 u8 u16 u32 "
				"u64 f16 f32 f64 bf16 c64 c128 bool",
				dtype);
	}
	rc = cli_given(c, "shape") ? parse_shape(cli_text(c, "shape"), h) : 0;
	*out_size = h->dtype.bits / 8;
	for (uint32_t i = 0; i < h->ndim; i++) {
		if (__builtin_mul_overflow(*out_size, h->shape[i], out_size)) {
			*out_size = UINT64_MAX;
		}
	}
	return rc;
}

/* ---- reading ---- */

static int open_input(const char *path)
{
	int fd;

	if (strcmp(path, "-") == 0) {
		return STDIN_FILENO;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		(void)cli_fail(CLI_FAILED, NULL, "%s: %s", path,
			       strerror(errno));
	}
	return fd;
}

/* Up to n bytes, fewer at the end; negative after it has said why not. */
static int64_t read_up_to(int fd, const char *path, char *at, uint64_t n)
{
	uint64_t done = 0;

	while (done < n) {
		size_t part = n - done < ((size_t)1 << 30) ?
				      (size_t)(n - done) :
				      (size_t)1 << 30;
		ssize_t r = read(fd, at + done, part);

		if (r == 0) {
			break;
		}
		if (r < 0 && errno != EINTR) {
			(void)cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				       strerror(errno));
			return -1;
		}
		done += r > 0 ? (uint64_t)r : 0;
	}
	return (int64_t)done;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ?
		       (uint64_t)st.st_size :
		       0;
}

/* What comes after the size that the input had when it was opened. */
static int append_rest(struct mob_store *store, struct mob_ref ref, int fd,
		       const char *path)
{
	static char piece[PIECE];
	int64_t n;

	while ((n = read_up_to(fd, path, piece, sizeof(piece))) > 0) {
		int rc = mob_object_append(store, ref, piece, (uint64_t)n);

		if (rc < 0) {
			return cli_fail_rc(rc, mob_store_name(store));
		}
	}
	return n < 0 ? CLI_FAILED : 0;
}

static int fill_array(int fd, const char *path, char *at, uint64_t size)
{
	int64_t n = read_up_to(fd, path, at, size);
	char more;

	if (n < 0) {
		return CLI_FAILED;
	}
	if ((uint64_t)n < size) {
		return cli_fail(CLI_FAILED, NULL,
				"%s: %" PRId64 " bytes; the array has %" PRIu64,
				path, n, size);
	}
	n = read_up_to(fd, path, &more, 1);
	if (n > 0) {
		return cli_fail(CLI_FAILED, NULL,
				"%s: more than the %" PRIu64 " bytes of the "
				"array",
				path, size);
	}
	return n < 0 ? CLI_FAILED : 0;
}

static int fill_bytes(struct mob_store *store, struct mob_ref ref, int fd,
		      const char *path, char *at, uint64_t size)
{
	int64_t n = read_up_to(fd, path, at, size);
	void *now;

	if (n < 0) {
		return CLI_FAILED;
	}
	if ((uint64_t)n < size) { /* it has become shorter */
		int rc = mob_object_resize(store, ref, (uint64_t)n, &now);

		return rc < 0 ? cli_fail_rc(rc, mob_store_name(store)) : 0;
	}
	return append_rest(store, ref, fd, path);
}

/* Makes the object; it is held. */
static int make(const struct cli *c, struct mob_store *store, int fd,
		const char *path, struct mob_ref *out_ref)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	uint64_t size = size_of(fd);
	bool array;
	void *at;
	int rc = parse_header(c, &h, &array, &size);

	if (rc) {
		return rc;
	}
	rc = mob_object_create_with(store, size, MOB_TYPE_BYTES,
				    array || h.content_type ? &h : NULL,
				    out_ref, &at);
	if (rc < 0) {
		return cli_fail_rc(rc, mob_store_name(store));
	}
	rc = array ? fill_array(fd, path, at, size) :
		     fill_bytes(store, *out_ref, fd, path, at, size);
	if (!rc) {
		rc = mob_object_seal(store, *out_ref);
		rc = rc < 0 ? cli_fail_rc(rc, mob_store_name(store)) : 0;
	}
	if (rc) {
		(void)mob_object_abort(store, *out_ref);
		(void)mob_object_release(store, *out_ref);
	}
	return rc;
}

/* ---- keeping ---- */

/* Sleeps until the time is over or a signal ends it; returns the exit code. */
static int hold(int64_t ns, const sigset_t *ends)
{
	struct timespec ts = { (time_t)(ns / MOB_SEC), (long)(ns % MOB_SEC) };
	int sig;

	do {
		sig = sigtimedwait(ends, NULL, ns < 0 ? NULL : &ts);
	} while (sig < 0 && errno == EINTR && ns < 0);
	return sig == SIGINT ? CLI_INTERRUPTED : CLI_DONE;
}

static int print_and_hold(struct cli *c, struct mob_store *store,
			  struct mob_ref ref)
{
	static const struct out_col put_cols[] = {
		{ "ref", "REF", OUT_TEXT },
		{ "size_bytes", "SIZE", OUT_BYTES },
		{ 0 },
	};
	struct mob_object_info info;
	char text[CMD_REF_MAX];
	struct out o;
	sigset_t ends;
	int rc;

	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &ends, NULL);
	rc = cmd_name_keep(c, store, ref);
	if (rc) {
		return rc;
	}
	rc = mob_object_stat(store, ref, &info);
	if (rc < 0) {
		return cli_fail_rc(rc, mob_store_name(store));
	}
	out_begin(&o, put_cols);
	out_text(&o, cmd_ref_text(text, ref));
	out_u64(&o, info.size);
	out_end_row(&o);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	if (cli_text(c, "name") || cli_flag(c, "pin")) {
		return CLI_DONE; /* the store keeps it */
	}
	cli_say("the object lives until this command ends");
	return hold(cli_timeout(c, "for"), &ends);
}

int cmd_put(struct cli *c)
{
	const char *path = c->n_args ? c->args[0] : "-";
	struct mob_store *store;
	struct mob_ref ref;
	int fd = open_input(path);
	int rc;

	if (fd < 0) {
		return CLI_FAILED;
	}
	rc = cmd_store_open(c, NULL, &store);
	if (!rc) {
		rc = make(c, store, fd, path, &ref);
		if (!rc) {
			rc = print_and_hold(c, store, ref);
			/* close would do it as well */
			(void)mob_object_release(store, ref);
		}
		mob_store_close(store);
	}
	if (fd != STDIN_FILENO) {
		(void)close(fd); /* only read from */
	}
	return rc;
}

const struct cli_opt cmd_put_opts[] = {
	{ "for", 'f', CLI_DURATION, "TIME", "forever",
	  "end after this time, not at a signal" },
	{ "name", 0, CLI_TEXT, "NAME", NULL,
	  "name it, and end: the name keeps it" },
	{ "cached", 0, CLI_FLAG, NULL, NULL,
	  "with a name: it may go when room is needed" },
	{ "replace", 0, CLI_FLAG, NULL, NULL,
	  "take the name from the object that has it" },
	{ "pin", 0, CLI_FLAG, NULL, NULL, "pin it, and end: the pin keeps it" },
	{ "content-type", 0, CLI_TEXT, "TYPE", NULL,
	  "what the bytes are: goes into the header" },
	{ "dtype", 0, CLI_TEXT, "DTYPE", NULL,
	  "elements of an array: i8 to i64, u8 to u64, f16 to f64, bf16, c64, "
	  "c128, bool" },
	{ "shape", 0, CLI_TEXT, "NxN...", NULL,
	  "shape of the array, in row order" },
	{ 0 },
};
