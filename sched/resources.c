/* SPDX-License-Identifier: Apache-2.0 */
/* Resources beside processors. */
#include "resources.h"

#include "conf.h"
#include "err.h"
#include "error.h"
#include "inspect.h"
#include "os_limits.h"

#include <mobula/session.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AMOUNT_MAX 100000.0
#define DEVICES_MAX 64.0
#define MEMORY "memory" /* in GiB */
#define GIB ((double)(UINT64_C(1) << 30))
#define MEMORY_PART                                                            \
	0.7 /* of the machine's, for tasks; the rest: store, drivers */

/* ---- texts ---- */

/* One "name=1.5" or "name:2". */
struct item {
	char name[MOBI_RESOURCE_NAME];
	double amount;
	bool devices; /* with ':' */
};

static int bad_item(const char *text, const char *what)
{
	return mobi_err(MOB_E_INVAL,
			"resources are '%.120s': %s; write name=amount, or "
			"name:count for devices, with ',' between them",
			text, what);
}

/* Reads the item at *io_at of text; *io_at is behind it and its comma then. */
static int parse_item(const char *text, const char **io_at, struct item *out)
{
	const char *at = *io_at;
	size_t n = 0;
	char *end;

	while (isalnum((unsigned char)at[n]) ||
	       (at[n] && strchr("_-.", at[n]))) {
		n++;
	}
	if (n == 0 || n >= sizeof(out->name)) {
		return bad_item(text, "a name has 1 to 31 letters, digits, "
				      "'_', '-' and '.'");
	}
	memcpy(out->name, at, n);
	out->name[n] = '\0';
	out->devices = at[n] == ':';
	if (at[n] != '=' && at[n] != ':') {
		return bad_item(text, "an amount is missing");
	}
	at += n + 1;
	if (!isdigit((unsigned char)*at)) {
		return bad_item(text, "an amount is not a number");
	}
	out->amount = strtod(at, &end);
	if (*end && *end != ',') {
		return bad_item(text, "an amount is not a number");
	}
	if (!(out->amount <= AMOUNT_MAX)) {
		return bad_item(text, "an amount is more than 100000");
	}
	if (out->amount > 0 && out->amount * MOBI_CPU_UNIT < 1) {
		return bad_item(text, "an amount is less than 1/10000");
	}
	if (*end == ',' && !end[1]) {
		return bad_item(text, "it ends with a comma");
	}
	*io_at = *end ? end + 1 : end;
	return 0;
}

static int find(const struct mobi_sched *sh, const char *name)
{
	for (uint32_t r = 0; r < sh->n_resources; r++) {
		if (!strcmp(sh->resource[r].name, name)) {
			return (int)r;
		}
	}
	return -1;
}

static bool is_whole(double amount)
{
	return amount == (double)(uint32_t)amount;
}

int mobi_resources_define(struct mobi_sched *sh, const char *text)
{
	const char *at = text ? text : "";

	while (*at) {
		struct mobi_resource *r = &sh->resource[sh->n_resources];
		struct item i;
		int rc = parse_item(text, &at, &i);

		if (rc < 0) {
			return rc;
		}
		if (find(sh, i.name) >= 0 || !strcmp(i.name, "cpu") ||
		    !strcmp(i.name, "cpus")) {
			return bad_item(text, "a name is there twice, or is "
					      "that of the processors");
		}
		if (sh->n_resources == MOBI_RESOURCES) {
			return mobi_err(MOB_E_LIMIT,
					"resources are '%.120s': more than %u",
					text, MOBI_RESOURCES);
		}
		if (i.devices &&
		    (!is_whole(i.amount) || i.amount > DEVICES_MAX)) {
			return bad_item(text, "devices are whole, and 64 at "
					      "most");
		}
		(void)snprintf(r->name, sizeof(r->name), "%s", i.name);
		r->total = (uint32_t)(i.amount * MOBI_CPU_UNIT + 0.5);
		r->devices = i.devices;
		sh->n_resources++;
	}
	if (find(sh, MEMORY) < 0 && sh->n_resources < MOBI_RESOURCES) {
		struct mobi_resource *r = &sh->resource[sh->n_resources++];
		double all = (double)mobi_machine_bytes() / GIB * MEMORY_PART;

		(void)snprintf(r->name, sizeof(r->name), "%s", MEMORY);
		r->total = (uint32_t)((all < AMOUNT_MAX ? all : AMOUNT_MAX) *
				      MOBI_CPU_UNIT);
		r->implied = 1;
	}
	return 0;
}

int mobi_resources_same(const struct mobi_sched *sh, const char *text)
{
	const char *at = text;
	uint32_t n = 0;
	uint32_t said = 0;

	for (uint32_t r = 0; r < sh->n_resources; r++) {
		said += !sh->resource[r].implied;
	}
	while (*at) {
		struct item i;
		int rc = parse_item(text, &at, &i);
		int r = rc < 0 ? -1 : find(sh, i.name);

		if (rc < 0) {
			return rc;
		}
		if (r < 0 || sh->resource[r].implied ||
		    sh->resource[r].devices != i.devices ||
		    sh->resource[r].total !=
			    (uint32_t)(i.amount * MOBI_CPU_UNIT + 0.5)) {
			n = UINT32_MAX;
			break;
		}
		n++;
	}
	return n == said ? 0 :
			   mobi_err(MOB_E_EXISTS,
				    "mob_init: the session has other resources "
				    "than '%.120s' (mob session resources)",
				    text);
}

static int unknown(const struct mobi_sched *sh, const char *name)
{
	char all[MOBI_RESOURCES * (MOBI_RESOURCE_NAME + 2)] = "";
	size_t n = 0;

	for (uint32_t r = 0; r < sh->n_resources; r++) {
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s",
				      r ? ", " : "", sh->resource[r].name);
	}
	return mobi_err(MOB_E_INVAL,
			"mob_submit: the session has no resource '%s'; it has "
			"%s (resources of mob_init, MOBULA_RESOURCES)",
			name, n ? all : "none");
}

/* Adds `bytes` of memory to a wish. */
static int wish_memory(const struct mobi_sched *sh, uint64_t bytes,
		       uint32_t amount[MOBI_RESOURCES])
{
	double gib = (double)bytes / GIB;
	int r = find(sh, MEMORY);

	if (r < 0) {
		return unknown(sh, MEMORY);
	}
	if (amount[r]) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: memory is %llu and among the "
				"resources, too; give it once",
				(unsigned long long)bytes);
	}
	if (gib > AMOUNT_MAX) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: memory is %llu bytes; at most "
				"100000 GiB",
				(unsigned long long)bytes);
	}
	amount[r] = (uint32_t)(gib * MOBI_CPU_UNIT) +
		    1; /* not less than that */
	return 0;
}

int mobi_resources_wish(const struct mobi_sched *sh, const char *text,
			uint64_t memory, uint32_t amount[MOBI_RESOURCES])
{
	const char *at = text ? text : "";

	memset(amount, 0, MOBI_RESOURCES * sizeof(*amount));
	while (*at) {
		struct item i;
		int rc = parse_item(text, &at, &i);
		int r;

		if (rc < 0) {
			return rc;
		}
		if (i.devices) {
			return bad_item(text, "a task wishes with '='");
		}
		r = find(sh, i.name);
		if (r < 0) {
			return unknown(sh, i.name);
		}
		if (amount[r]) {
			return bad_item(text, "a name is there twice");
		}
		if (sh->resource[r].devices && !is_whole(i.amount)) {
			return bad_item(text, "devices are given whole");
		}
		amount[r] = (uint32_t)(i.amount * MOBI_CPU_UNIT + 0.5);
	}
	return memory ? wish_memory(sh, memory, amount) : 0;
}

/* ---- taking ---- */

static uint64_t held_by_all(const struct mobi_sched *sh, uint32_t r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		sum += mobi_load(&sh->place[i].held[r]);
	}
	return sum;
}

void mobi_resources_free(const struct mobi_sched *sh,
			 uint32_t out[MOBI_RESOURCES])
{
	for (uint32_t r = 0; r < MOBI_RESOURCES; r++) {
		uint64_t held = r < sh->n_resources ? held_by_all(sh, r) : 0;

		out[r] = held < sh->resource[r].total ?
				 sh->resource[r].total - (uint32_t)held :
				 0;
	}
}

static uint64_t devices_of_others(const struct mobi_sched *sh, uint32_t place,
				  uint32_t r)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		all |= i == place ? 0 : mobi_load(&sh->place[i].devices[r]);
	}
	return all;
}

/* Chooses n devices that nobody has. Two workers at once begin at different ones. */
static bool choose(struct mobi_sched *sh, uint32_t place, uint32_t r,
		   uint32_t n, uint64_t *out)
{
	struct mobi_place_shared *p = &sh->place[place];
	uint32_t count = sh->resource[r].total / MOBI_CPU_UNIT;
	uint64_t mine = mobi_load(&p->devices[r]);
	uint64_t taken = devices_of_others(sh, place, r) | mine;
	uint64_t bits = 0;

	for (uint32_t i = 0; i < count && n; i++) {
		uint64_t bit = MOBI_BIT((place + i) % count);

		if (!(taken & bit)) {
			bits |= bit;
			n--;
		}
	}
	if (n) {
		return false;
	}
	mobi_store(&p->devices[r], mine | bits);
	if (devices_of_others(sh, place, r) & bits) {
		mobi_store(&p->devices[r], mine);
		return false;
	}
	*out = bits;
	return true;
}

static struct mobi_devices taken; /* this worker takes one task at a time */

struct mobi_devices mobi_resources_taken(void)
{
	return taken;
}

bool mobi_resources_take(struct mobi_sched *sh, uint32_t place,
			 const struct mobi_shape *shape)
{
	struct mobi_place_shared *p = &sh->place[place];
	bool ok = true;

	memset(&taken, 0, sizeof(taken));
	if (!shape->some) {
		return true;
	}
	for (uint32_t r = 0; r < sh->n_resources; r++) {
		if (shape->amount[r]) {
			mobi_store(&p->held[r],
				   mobi_load(&p->held[r]) + shape->amount[r]);
		}
	}
	for (uint32_t r = 0; r < sh->n_resources && ok; r++) {
		if (!shape->amount[r]) {
			continue;
		}
		ok = held_by_all(sh, r) <= sh->resource[r].total &&
		     (!sh->resource[r].devices ||
		      choose(sh, place, r, shape->amount[r] / MOBI_CPU_UNIT,
			     &taken.of[r]));
	}
	if (!ok) {
		mobi_resources_give(sh, place, shape, &taken);
	}
	return ok;
}

void mobi_resources_give(struct mobi_sched *sh, uint32_t place,
			 const struct mobi_shape *shape,
			 const struct mobi_devices *devices)
{
	struct mobi_place_shared *p = &sh->place[place];

	for (uint32_t r = 0; shape->some && r < sh->n_resources; r++) {
		if (shape->amount[r]) {
			mobi_store(&p->devices[r],
				   mobi_load(&p->devices[r]) & ~devices->of[r]);
			mobi_store(&p->held[r],
				   mobi_load(&p->held[r]) - shape->amount[r]);
		}
	}
}

void mobi_resources_clear(struct mobi_place_shared *p)
{
	for (uint32_t r = 0; r < MOBI_RESOURCES; r++) {
		mobi_store(&p->devices[r], UINT64_C(0));
		mobi_store(&p->held[r], 0u);
	}
}

/* ---- public ---- */

int mob_devices(const char *name, uint32_t *out, size_t n)
{
	const struct mobi_context *c = mobi_context();
	const struct mobi_sched *sh = mobi_rt.sched;
	uint64_t bits;
	int count = 0;
	int r;
	int rc = mobi_rt_check("mob_devices");

	if (rc >= 0 && (!c || !c->def)) {
		rc = mobi_err(MOB_E_STATE, "mob_devices: this thread runs no "
					   "task");
	}
	if (rc >= 0 && !name) {
		rc = mobi_err(MOB_E_INVAL, "mob_devices: name is NULL");
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	r = find(sh, name);
	if (r < 0 || !sh->resource[r].devices) {
		return mobi_error_pend_rc(mobi_err(MOB_E_INVAL,
						   "mob_devices: '%.60s' is no "
						   "resource of the "
						   "session that has devices",
						   name));
	}
	for (bits = c->devices[r]; bits; bits &= bits - 1, count++) {
		if ((size_t)count < n) {
			out[count] = (uint32_t)__builtin_ctzll(bits);
		}
	}
	return count;
}

int mob_session_resources(struct mob_session *session,
			  int (*fn)(const struct mob_resource_info *, void *),
			  void *arg)
{
	int rc = mobi_session_check(session, "mob_session_resources");
	const struct mobi_sched *sh;

	if (rc < 0) {
		return rc;
	}
	sh = session->sh;
	rc = 0;
	for (uint32_t r = 0; r < sh->n_resources && !rc; r++) {
		struct mob_resource_info i = {
			.struct_size = (uint32_t)sizeof(i),
			.has_devices = sh->resource[r].devices,
			.name = sh->resource[r].name,
			.total = sh->resource[r].total,
		};

		for (uint32_t k = 0; k < sh->max_places; k++) {
			uint32_t held = mobi_load(&sh->place[k].held[r]);

			i.used += held;
			i.devices_used |= mobi_load(&sh->place[k].devices[r]);
			if (held) {
				uint32_t c = mobi_load(&sh->place[k].client);

				i.holders |= MOBI_BIT(c % MOBI_CLIENTS);
			}
		}
		rc = fn(&i, arg);
	}
	return rc;
}
