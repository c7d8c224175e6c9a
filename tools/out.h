/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What commands print: rows of columns, as a table for people or as JSON, one
 * object a line. A command says its columns once and adds rows; the options
 * --json, --no-header, --quiet and --color decide the rest.
 *
 *   static const struct out_col cols[] = {
 *           { "name", "NAME", OUT_TEXT }, { "size", "SIZE", OUT_BYTES }, { 0 }
 *   };
 *   struct out o;
 *   out_begin(&o, cols);
 *   out_text(&o, "a"); out_u64(&o, 4096);
 *   out_end_row(&o);
 *   return out_end(&o);
 */
#ifndef MOBI_OUT_H
#define MOBI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum out_kind {
	OUT_NONE,
	OUT_TEXT,
	OUT_COUNT,
	OUT_BYTES,
	OUT_NS,   /* a duration */
	OUT_REAL, /* 4 significant digits in a table */
	OUT_BOOL  /* yes or no; true or false */
};

struct out_col {
	const char *key;   /* of JSON; OUT_NS keys end in _ns, OUT_BYTES in
			      _bytes */
	const char *title; /* NULL: JSON only */
	enum out_kind kind;
};

enum out_color { OUT_AUTO, OUT_ALWAYS, OUT_NEVER };

/* How all output looks; set once by the command line. */
struct out_style {
	bool json;
	bool header;
	bool quiet;
	bool color; /* of stdout */
	bool err_color;
	unsigned width; /* of the terminal on stdout; 0: no terminal, no cut */
};
extern struct out_style out_style;
/* Decides colours and width from the terminal and the environment. */
void out_style_init(bool json, bool header, bool quiet, enum out_color color);

#define OUT_COLS_MAX 32
/* Rows from which the widths of columns are taken; later ones use them. */
#define OUT_ROWS_HELD 512

struct out {
	const struct out_col *cols;
	size_t n_cols;
	size_t at;    /* column that is next */
	char **cell;  /* OUT_ROWS_HELD rows of n_cols */
	size_t rows;  /* held */
	bool started; /* widths are fixed, the header is out */
	bool list;    /* one object a line; else "key: value" lines */
	int width[OUT_COLS_MAX];
};

/* A list of rows; cols ends with a key of NULL and lives until out_end. */
void out_begin(struct out *o, const struct out_col *cols);
/* One thing: in a table a line each column, "title  value". */
void out_begin_one(struct out *o, const struct out_col *cols);
void out_text(struct out *o, const char *value);  /* NULL: "-", null */
void out_u64(struct out *o, uint64_t value);      /* COUNT, BYTES, NS */
void out_u64_some(struct out *o, uint64_t value); /* 0: as out_none */
void out_real(struct out *o, double value);       /* NAN: "-", null */
void out_bool(struct out *o, bool value);
void out_none(struct out *o); /* any kind: "-", null */
void out_end_row(struct out *o);
/* Prints what is held and frees it. Returns 0, or 1 if stdout failed. */
int out_end(struct out *o);

/* ---- pieces ---- */

/* Longest text of the formatters below, with its NUL. */
#define OUT_FORMAT_MAX 32
/* "512 B", "1.50 MiB". All return buf. */
char *out_format_bytes(char buf[OUT_FORMAT_MAX], uint64_t bytes);
/* "830 ns", "1.24 us", "3.40 s", "2 min 10 s", "3 h 5 min". */
char *out_format_ns(char buf[OUT_FORMAT_MAX], uint64_t ns);
/* "7.31", "12.3 k", "2.31 M", with unit joined: "2.31 M/s". */
char *out_format_rate(char buf[OUT_FORMAT_MAX], double value);

/* Writes text as a JSON string with its quotes; what is not UTF-8 becomes
 * U+FFFD. */
void out_json_text(FILE *f, const char *text);
/* A number; null if it is not finite. */
void out_json_real(FILE *f, double value);

/* True if writing to stdout has worked so far, flushed. */
bool out_flush(void);

#endif /* MOBI_OUT_H */
