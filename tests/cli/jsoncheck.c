/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsoncheck [KEY...]: exits 0 if every line of standard input is one JSON
 * object (RFC 8259) that has the keys, and there is a line at least.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 32

struct text {
	const char *at;
	int depth;
	char *const *key; /* wanted at the top */
	int n_keys;
	unsigned found;
};

static bool value(struct text *t);

static void blanks(struct text *t)
{
	t->at += strspn(t->at, " \t\r\n");
}

static bool take(struct text *t, char c)
{
	blanks(t);
	if (*t->at != c) {
		return false;
	}
	t->at++;
	return true;
}

static bool hex4(const char *s)
{
	return strspn(s, "0123456789abcdefABCDEF") >= 4;
}

/* Continuation bytes that a lead byte asks for, -1 if it is none. */
static int following(unsigned char c)
{
	return c < 0x80 ? 0 :
	       c < 0xc2 ? -1 :
	       c < 0xe0 ? 1 :
	       c < 0xf0 ? 2 :
	       c < 0xf5 ? 3 :
			  -1;
}

static bool string(struct text *t)
{
	if (!take(t, '"')) {
		return false;
	}
	while (*t->at != '"') {
		unsigned char c = (unsigned char)*t->at;
		int more = following(c);

		if (c < 0x20 || more < 0) {
			return false;
		}
		t->at++;
		if (c == '\\') {
			char e = *t->at;

			if (!e || !strchr("\"\\/bfnrtu", e) ||
			    (e == 'u' && !hex4(t->at + 1))) {
				return false;
			}
			t->at += e == 'u' ? 5 : 1;
		}
		while (more-- > 0) {
			if (((unsigned char)*t->at++ & 0xc0) != 0x80) {
				return false;
			}
		}
	}
	t->at++;
	return true;
}

static bool digits(struct text *t)
{
	size_t n = strspn(t->at, "0123456789");

	t->at += n;
	return n > 0;
}

static bool number(struct text *t)
{
	t->at += *t->at == '-';
	if (*t->at == '0') {
		t->at++;
	} else if (!digits(t)) {
		return false;
	}
	if (*t->at == '.') {
		t->at++;
		if (!digits(t)) {
			return false;
		}
	}
	if (*t->at == 'e' || *t->at == 'E') {
		t->at++;
		t->at += *t->at == '+' || *t->at == '-';
		return digits(t);
	}
	return true;
}

static bool word(struct text *t, const char *w)
{
	size_t n = strlen(w);

	if (strncmp(t->at, w, n) != 0) {
		return false;
	}
	t->at += n;
	return true;
}

static void note_key(struct text *t, const char *from)
{
	size_t n = (size_t)(t->at - from) - 2; /* without quotes */

	for (int i = 0; i < t->n_keys && t->depth == 1; i++) {
		if (strlen(t->key[i]) == n &&
		    strncmp(t->key[i], from + 1, n) == 0) {
			t->found |= 1u << i;
		}
	}
}

static bool members(struct text *t, char end)
{
	if (take(t, end)) {
		return true;
	}
	do {
		if (end == '}') {
			const char *from;

			blanks(t);
			from = t->at;
			if (!string(t)) {
				return false;
			}
			note_key(t, from);
			if (!take(t, ':')) {
				return false;
			}
		}
		if (!value(t)) {
			return false;
		}
	} while (take(t, ','));
	return take(t, end);
}

static bool value(struct text *t)
{
	bool ok;

	blanks(t);
	if (*t->at == '"') {
		return string(t);
	}
	if (*t->at != '{' && *t->at != '[') {
		return word(t, "true") || word(t, "false") || word(t, "null") ||
		       number(t);
	}
	if (++t->depth > DEPTH_MAX) {
		return false;
	}
	ok = *t->at++ == '{' ? members(t, '}') : members(t, ']');
	t->depth--;
	return ok;
}

int main(int argc, char **argv)
{
	static char line[1 << 16];
	int lines = 0;

	while (fgets(line, sizeof(line), stdin)) {
		struct text t = { .at = line,
				  .key = argv + 1,
				  .n_keys = argc - 1 };

		lines++;
		if (line[0] != '{' || !value(&t) || strcmp(t.at, "\n") != 0) {
			(void)fprintf(stderr, "line %d is no JSON object: %s",
				      lines, line);
			return 1;
		}
		if (t.found != (1u << (argc - 1)) - 1) {
			(void)fprintf(stderr, "line %d lacks a key: %s", lines,
				      line);
			return 1;
		}
	}
	return lines == 0;
}
