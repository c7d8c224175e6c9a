/* SPDX-License-Identifier: Apache-2.0 */
/* Words and values of the command line as text. */
#include "cli_text.h"

#include <string.h>
#include <strings.h>

/* Optimal string alignment distance, bounded by the size of the rows. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][32];
	size_t n = strlen(b);

	if (n > 31 || strlen(a) > 31) {
		return 99;
	}
	for (size_t j = 0; j <= n; j++) {
		row[0][j] = (unsigned)j;
	}
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned *now = row[i % 3];
		const unsigned *prev = row[(i - 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned d = prev[j - 1] + (a[i - 1] != b[j - 1]);

			d = prev[j] + 1 < d ? prev[j] + 1 : d;
			d = now[j - 1] + 1 < d ? now[j - 1] + 1 : d;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    row[(i - 2) % 3][j - 2] + 1 < d) {
				d = row[(i - 2) % 3][j - 2] + 1;
			}
			now[j] = d;
		}
	}
	return row[strlen(a) % 3][n];
}

const char *cli_nearest(const char *text, const char *const *words, size_t n)
{
	const char *best = NULL;
	unsigned least = strlen(text) > 4 ? 4 : 3; /* exclusive */

	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(text, words[i]);

		if (strlen(text) >= 2 &&
		    strncmp(words[i], text, strlen(text)) == 0) {
			d = 1; /* the beginning of it */
		}
		if (d < least && d < strlen(words[i])) {
			least = d;
			best = words[i];
		}
	}
	return best;
}

/* Digits and the rest behind them; false without digits or if too large. */
static bool digits(const char *text, uint64_t *out, const char **out_rest)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
			return false;
		}
	}
	*out = v;
	*out_rest = p;
	return p > text;
}

bool cli_parse_number(const char *text, uint64_t *out)
{
	const char *rest;

	return digits(text, out, &rest) && *rest == 0;
}

/* digits, then one of the units, or none where a unit is "". */
static bool with_unit(const char *text, const char *const *unit,
		      const uint64_t *factor, uint64_t *out)
{
	const char *rest;

	if (!digits(text, out, &rest)) {
		return false;
	}
	for (size_t i = 0; unit[i]; i++) {
		if (strcasecmp(rest, unit[i]) == 0) {
			return !__builtin_mul_overflow(*out, factor[i], out);
		}
	}
	return false;
}

bool cli_parse_bytes(const char *text, uint64_t *out)
{
	static const char *const unit[] = { "",    "K",   "M",   "G",   "T",
					    "KiB", "MiB", "GiB", "TiB", NULL };
	static const uint64_t k = 1024;
	const uint64_t factor[] = {
		1, k,     k * k,     k * k * k,    k * k * k * k,
		k, k * k, k * k * k, k * k * k * k
	};

	return with_unit(text, unit, factor, out);
}

bool cli_parse_duration(const char *text, uint64_t *out_ns)
{
	static const char *const unit[] = { "",  "ns", "us", "ms",
					    "s", "m",  "h",  NULL };
	static const uint64_t factor[] = { 1000000000,   1,
					   1000,         1000000,
					   1000000000,   60000000000,
					   3600000000000 };

	if (strcmp(text, "forever") == 0) {
		*out_ns = UINT64_MAX;
		return true;
	}
	return with_unit(text, unit, factor, out_ns) && *out_ns <= INT64_MAX;
}

bool cli_glob(const char *pattern, const char *text)
{
	const char *star = NULL;
	const char *resume = text;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*') {
		pattern++;
	}
	return *pattern == 0;
}
