/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: the table of conf.h, read from the environment. */
#include "conf.h"

#include "err.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#define ENTRY_(id, ID, type_, def_, min_, max_, help_)                         \
	[MOBI_CONF_ID_##id] = {                                                \
		.name = #id,                                                   \
		.env = "MOBULA_" #ID,                                          \
		.type = MOBI_CONF_##type_,                                     \
		.def = (def_),                                                 \
		.min = (min_),                                                 \
		.max = (max_),                                                 \
		.help = (help_),                                               \
	},
static const struct mobi_conf_entry entries[] = { MOBI_CONF_MAP(ENTRY_) };
#undef ENTRY_

const struct mobi_conf_entry *mobi_conf_entry(enum mobi_conf_id id)
{
	MOB_ASSERT((unsigned)id < MOBI_CONF_COUNT);
	return &entries[id];
}

/* NULL if the variable is unset or empty. */
static const char *value_of_env(const struct mobi_conf_entry *e)
{
	const char *text = getenv(e->env);

	return text && text[0] != '\0' ? text : NULL;
}

/* Digits only: strtoull would take a sign, blanks and "0x". */
static bool parse_digits(const char *text, uint64_t *out, const char **out_end)
{
	uint64_t n = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (n > (UINT64_MAX - digit) / 10) {
			return false;
		}
		n = n * 10 + digit;
	}
	*out = n;
	*out_end = at;
	return at != text;
}

static bool parse_bytes(const char *text, uint64_t *out)
{
	const char *end = NULL;
	uint64_t n = 0;
	unsigned shift = 0;

	if (!parse_digits(text, &n, &end)) {
		return false;
	}
	switch (*end) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	default:
		break;
	}
	if (shift != 0) {
		end++;
	}
	if (*end != '\0' || n > UINT64_MAX >> shift) {
		return false;
	}
	*out = n << shift;
	return true;
}

int mobi_conf_parse_bytes(const char *text, uint64_t *out)
{
	if (!parse_bytes(text, out)) {
		return mobi_err(MOB_E_INVAL,
				"'%s' is not a number of bytes; give digits, "
				"then K, M, G or nothing, as in 64M",
				text);
	}
	return 0;
}

int mobi_conf_u64(enum mobi_conf_id id, uint64_t *out)
{
	const struct mobi_conf_entry *e = mobi_conf_entry(id);
	const char *text = value_of_env(e);
	const char *end = NULL;
	uint64_t n = 0;
	bool ok = false;

	MOB_ASSERT(e->type == MOBI_CONF_U64 || e->type == MOBI_CONF_BYTES);
	if (!text) {
		text = e->def;
	}
	if (e->type == MOBI_CONF_BYTES) {
		ok = parse_bytes(text, &n);
	} else {
		ok = parse_digits(text, &n, &end) && *end == '\0';
	}
	if (!ok || n < e->min || n > e->max) {
		return mobi_err(MOB_E_INVAL,
				"%s is '%s'; it must be %s from %" PRIu64
				" to %" PRIu64 " (%s)",
				e->env, text,
				e->type == MOBI_CONF_BYTES ? "a number of "
							     "bytes (K, M, G "
							     "allowed)" :
							     "a number",
				e->min, e->max, e->help);
	}
	*out = n;
	return 0;
}

int mobi_conf_str(enum mobi_conf_id id, const char **out)
{
	const struct mobi_conf_entry *e = mobi_conf_entry(id);
	const char *text = value_of_env(e);

	MOB_ASSERT(e->type == MOBI_CONF_STR);
	*out = text ? text : e->def;
	return 0;
}
