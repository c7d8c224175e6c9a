/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and JSON.
 *
 * A table holds its first rows back to learn how wide its columns are, then
 * streams: a list of a million objects needs no more memory than one of 512.
 * JSON is written at once.
 */
#define _GNU_SOURCE
#include "out.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct out_style out_style = { .header = true };

#define BOLD "\033[1m"
#define PLAIN "\033[0m"

static bool color_wanted(enum out_color color, int fd)
{
	const char *term = getenv("TERM");
	const char *no = getenv("NO_COLOR");

	if (color != OUT_AUTO) {
		return color == OUT_ALWAYS;
	}
	return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

void out_style_init(bool json, bool header, bool quiet, enum out_color color)
{
	struct winsize ws;

	out_style.json = json;
	out_style.header = header;
	out_style.quiet = quiet;
	out_style.color = !json && color_wanted(color, STDOUT_FILENO);
	out_style.err_color = color_wanted(color, STDERR_FILENO);
	out_style.width = 0;
	if (isatty(STDOUT_FILENO)) {
		out_style.width = 80;
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col) {
			out_style.width = ws.ws_col;
		}
	}
}

/* ---- formatting ---- */

char *out_format_bytes(char buf[OUT_FORMAT_MAX], uint64_t bytes)
{
	static const char *const unit[] = { "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB" };
	double v = (double)bytes / 1024;
	size_t u = 0;

	if (bytes < 1024) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%u B", (unsigned)bytes);
		return buf;
	}
	while (v >= 1023.95 && u + 1 < sizeof(unit) / sizeof(unit[0])) {
		v /= 1024;
		u++;
	}
	(void)snprintf(buf, OUT_FORMAT_MAX, v < 10 ? "%.2f %s" : "%.1f %s", v,
		       unit[u]);
	return buf;
}

char *out_format_ns(char buf[OUT_FORMAT_MAX], uint64_t ns)
{
	uint64_t s = ns / UINT64_C(1000000000);
	double v = (double)ns;

	if (ns < 1000) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%u ns", (unsigned)ns);
	} else if (ns < 1000000) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%.2f us", v / 1e3);
	} else if (ns < 1000000000) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%.2f ms", v / 1e6);
	} else if (s < 60) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%.2f s", v / 1e9);
	} else if (s < 3600) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%u min %u s",
			       (unsigned)(s / 60), (unsigned)(s % 60));
	} else {
		(void)snprintf(buf, OUT_FORMAT_MAX, "%llu h %u min",
			       (unsigned long long)(s / 3600),
			       (unsigned)(s % 3600 / 60));
	}
	return buf;
}

char *out_format_rate(char buf[OUT_FORMAT_MAX], double value)
{
	static const char *const suffix[] = { "", " k", " M", " G" };
	size_t s = 0;

	while (value >= 1000 && s + 1 < sizeof(suffix) / sizeof(suffix[0])) {
		value /= 1000;
		s++;
	}
	(void)snprintf(buf, OUT_FORMAT_MAX, "%.3g%s", value, suffix[s]);
	return buf;
}

/* ---- JSON ---- */

/* Length of the UTF-8 sequence at s; 0 if it is none. */
static unsigned utf8_length(const unsigned char *s)
{
	unsigned n = s[0] < 0x80 ? 1 :
		     s[0] < 0xc2 ? 0 :
		     s[0] < 0xe0 ? 2 :
		     s[0] < 0xf0 ? 3 :
		     s[0] < 0xf5 ? 4 :
				   0;

	for (unsigned i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
		return 0; /* too long, a surrogate, or beyond U+10FFFF */
	}
	return n;
}

void out_json_text(FILE *f, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	(void)fputc('"', f);
	while (*s) {
		unsigned n = utf8_length(s);

		if (n == 0) {
			(void)fputs("\\ufffd", f);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			(void)fprintf(f, "\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			(void)fprintf(f, "\\u%04x", *s);
		} else {
			(void)fwrite(s, 1, n, f);
		}
		s += n;
	}
	(void)fputc('"', f);
}

void out_json_real(FILE *f, double value)
{
	if (isfinite(value)) {
		(void)fprintf(f, "%.10g", value);
	} else {
		(void)fputs("null", f);
	}
}

/* ---- tables ---- */

static const struct out_col *column(const struct out *o)
{
	return &o->cols[o->at];
}

static bool right_aligned(const struct out_col *c)
{
	return c->kind != OUT_TEXT && c->kind != OUT_BOOL;
}

/* Columns that text takes. */
static int text_width(const char *text)
{
	int n = 0;

	for (; *text; text++) {
		n += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return n;
}

/* A copy in which what could steer a terminal is spelled out. */
static char *cell_copy(const char *text)
{
	size_t n = strlen(text);
	char *copy = malloc(4 * n + 1);
	char *to = copy;

	if (!copy) {
		return NULL;
	}
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f) {
			to += snprintf(to, 5, "\\x%02x", c);
		} else {
			*to++ = (char)c;
		}
	}
	*to = 0;
	return copy;
}

/* Bytes of text that fit into columns; the last is given to a '~' if not all
 * do. */
static int fit(const char *text, int columns, bool *out_cut)
{
	int bytes = 0;
	int used = 0;

	*out_cut = text_width(text) > columns;
	columns -= *out_cut;
	while (text[bytes]) {
		int next = bytes + 1;

		while (((unsigned char)text[next] & 0xc0) == 0x80) {
			next++;
		}
		if (used + 1 > columns) {
			break;
		}
		used++;
		bytes = next;
	}
	return bytes;
}

/* Prints one row of n_cols cells, the titles if it is NULL. */
static void print_row(const struct out *o, char *const *cell)
{
	bool head = !cell;
	int left = out_style.width ? (int)out_style.width : INT32_MAX;
	bool first = true;

	(void)fputs(head && out_style.color ? BOLD : "", stdout);
	for (size_t i = 0; i < o->n_cols; i++) {
		const struct out_col *c = &o->cols[i];
		const char *text = !cell ? c->title : cell[i] ? cell[i] : "";
		bool last = i + 1 == o->n_cols || !o->cols[i + 1].title;
		bool cut;
		int bytes;
		int pad;

		if (!c->title) {
			continue;
		}
		left -= first ? 0 : 2;
		bytes = last && left > 8 ? fit(text, left, &cut) :
					   (int)strlen(text);
		cut = text[bytes] != 0;
		pad = o->width[i] - text_width(text);
		pad = pad < 0 ? 0 : pad;
		(void)printf("%s%*s%.*s%s", first ? "" : "  ",
			     right_aligned(c) ? pad : 0, "", bytes, text,
			     cut ? "~" : "");
		if (!last && !right_aligned(c)) {
			(void)printf("%*s", pad, "");
		}
		left -= o->width[i];
		first = false;
	}
	(void)printf("%s\n", head && out_style.color ? PLAIN : "");
}

static void free_rows(struct out *o)
{
	for (size_t i = 0; i < o->rows * o->n_cols; i++) {
		free(o->cell[i]);
		o->cell[i] = NULL;
	}
	o->rows = 0;
}

static void widen(struct out *o, char *const *cell)
{
	for (size_t i = 0; i < o->n_cols; i++) {
		int w = cell[i] ? text_width(cell[i]) : 0;

		if (w > o->width[i]) {
			o->width[i] = w;
		}
	}
}

/* The first rows are here: prints the header and them. */
static void start_table(struct out *o)
{
	o->started = true;
	for (size_t i = 0; i < o->n_cols; i++) {
		o->width[i] = o->cols[i].title && out_style.header ?
				      text_width(o->cols[i].title) :
				      0;
	}
	for (size_t r = 0; r < o->rows; r++) {
		widen(o, &o->cell[r * o->n_cols]);
	}
	if (out_style.header && !out_style.quiet) {
		print_row(o, NULL);
	}
	for (size_t r = 0; r < o->rows; r++) {
		print_row(o, &o->cell[r * o->n_cols]);
	}
	free_rows(o);
}

/* "title   value" lines of the one row. */
static void print_one(const struct out *o)
{
	int w = 0;

	for (size_t i = 0; i < o->n_cols; i++) {
		if (o->cols[i].title && text_width(o->cols[i].title) > w) {
			w = text_width(o->cols[i].title);
		}
	}
	for (size_t i = 0; i < o->n_cols; i++) {
		const char *title = o->cols[i].title;

		if (title) {
			(void)printf("%s%s%s%*s  %s\n",
				     out_style.color ? BOLD : "", title,
				     out_style.color ? PLAIN : "",
				     w - text_width(title), "",
				     o->cell[i] ? o->cell[i] : "");
		}
	}
}

static void begin(struct out *o, const struct out_col *cols, bool list)
{
	*o = (struct out){ .cols = cols, .list = list };
	while (cols[o->n_cols].key) {
		o->n_cols++;
	}
	if (!out_style.json) {
		o->cell = calloc((list ? OUT_ROWS_HELD : 1) * o->n_cols,
				 sizeof(*o->cell));
		if (!o->cell) {
			(void)fputs("mob: out of memory\n", stderr);
			exit(1);
		}
	}
}

void out_begin(struct out *o, const struct out_col *cols)
{
	begin(o, cols, true);
}

void out_begin_one(struct out *o, const struct out_col *cols)
{
	begin(o, cols, false);
}

/* ---- cells ---- */

/* Opens the next member of the JSON object. */
static void json_key(struct out *o)
{
	(void)printf("%s\"%s\":", o->at == 0 ? "{" : ",", column(o)->key);
	o->at++;
}

static void table_cell(struct out *o, const char *text)
{
	o->cell[o->rows * o->n_cols + o->at] = cell_copy(text);
	o->at++;
}

void out_none(struct out *o)
{
	if (out_style.json) {
		json_key(o);
		(void)fputs("null", stdout);
	} else {
		table_cell(o, "-");
	}
}

void out_text(struct out *o, const char *value)
{
	if (!value) {
		out_none(o);
	} else if (out_style.json) {
		json_key(o);
		out_json_text(stdout, value);
	} else {
		table_cell(o, *value ? value : "-");
	}
}

void out_u64(struct out *o, uint64_t value)
{
	char buf[OUT_FORMAT_MAX];

	if (out_style.json) {
		json_key(o);
		(void)printf("%llu", (unsigned long long)value);
		return;
	}
	if (column(o)->kind == OUT_BYTES) {
		(void)out_format_bytes(buf, value);
	} else if (column(o)->kind == OUT_NS) {
		(void)out_format_ns(buf, value);
	} else {
		(void)snprintf(buf, sizeof(buf), "%llu",
			       (unsigned long long)value);
	}
	table_cell(o, buf);
}

void out_u64_some(struct out *o, uint64_t value)
{
	if (value) {
		out_u64(o, value);
	} else {
		out_none(o);
	}
}

void out_real(struct out *o, double value)
{
	char buf[OUT_FORMAT_MAX];

	if (!isfinite(value)) {
		out_none(o);
	} else if (out_style.json) {
		json_key(o);
		out_json_real(stdout, value);
	} else {
		(void)snprintf(buf, sizeof(buf), "%.4g", value);
		table_cell(o, buf);
	}
}

void out_bool(struct out *o, bool value)
{
	if (out_style.json) {
		json_key(o);
		(void)fputs(value ? "true" : "false", stdout);
	} else {
		table_cell(o, value ? "yes" : "no");
	}
}

void out_end_row(struct out *o)
{
	o->at = 0;
	if (out_style.json) {
		(void)fputs("}\n", stdout);
		return;
	}
	o->rows++;
	if (!o->list) {
		print_one(o);
		free_rows(o);
	} else if (o->started) {
		print_row(o, o->cell);
		free_rows(o);
	} else if (o->rows == OUT_ROWS_HELD) {
		start_table(o);
	}
}

bool out_flush(void)
{
	return fflush(stdout) == 0 && !ferror(stdout);
}

int out_end(struct out *o)
{
	if (!out_style.json && o->list && !o->started) {
		start_table(o);
	}
	free(o->cell);
	o->cell = NULL;
	return out_flush() ? 0 : 1;
}
