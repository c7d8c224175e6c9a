/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "oracle_compare.h"

#include <mobula/memory.h>

/* ---- names that went because room was needed ---- */

static bool has_name(struct mob_store *s, const struct oracle_name *nm)
{
	uint64_t version;
	struct mob_ref r;

	if (mob_name_get(s, nm->name, &r, &version) < 0) {
		return false;
	}
	(void)mob_object_release(s, r);
	return r.lo == nm->id && version == nm->version;
}

/* Takes away what is gone; *out_wrong (may be NULL) is set, and told, if that was
 * not to be. Returns whether anything was taken away. */
static bool take_evicted(struct mob_store *s, struct oracle *o, uint64_t id,
			 bool was_cached, bool *out_wrong)
{
	struct oracle_name nm[ORACLE_NAMES];
	bool there[ORACLE_NAMES];
	struct oracle_row r;
	uint64_t oldest = UINT64_MAX; /* of those that are there */
	bool any = false;
	uint32_t n;

	if (!oracle_get(o, id, &r) || !r.names) {
		return false;
	}
	n = oracle_names_of(o, id, nm);
	for (uint32_t i = 0; i < n; i++) {
		there[i] = has_name(s, &nm[i]);
		if (there[i] && nm[i].version < oldest) {
			oldest = nm[i].version;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		/* All that it had went at once; it may have got others since. */
		bool allowed = r.exposed && (r.cached || was_cached) &&
			       nm[i].version < oldest;

		if (!there[i] && allowed) {
			oracle_evict(o, &nm[i]);
			any = true;
		} else if (!there[i] && out_wrong) {
			(void)fprintf(stderr,
				      "name '%s' of object %#" PRIx64
				      " is gone: cached %u holds %u edges %u "
				      "pins %u\n",
				      nm[i].name, id, r.cached, r.holds,
				      r.edges, r.pins);
			*out_wrong = true;
		}
	}
	return any;
}

bool compare_evicted(struct mob_store *s, struct oracle *o, uint64_t id,
		     bool was_cached)
{
	static struct oracle_row row[ORACLE_MAX];
	bool wrong = false;
	bool any;

	/* What was inside of one that went may have gone after it. */
	(void)take_evicted(s, o, id, was_cached, NULL);
	do {
		uint32_t n = oracle_rows(o, row);

		any = false;
		for (uint32_t i = 0; i < n; i++) {
			any = (row[i].exposed && row[i].cached &&
			       take_evicted(s, o, row[i].id, false, NULL)) ||
			      any;
		}
	} while (any);
	(void)take_evicted(s, o, id, was_cached, &wrong);
	return !wrong;
}

bool compare_evicted_all(struct mob_store *s, struct oracle *o)
{
	static struct oracle_row row[ORACLE_MAX];
	bool wrong = false;
	uint32_t n;

	(void)compare_evicted(s, o, UINT64_MAX, false);
	n = oracle_rows(o, row);
	for (uint32_t i = 0; i < n; i++) {
		(void)take_evicted(s, o, row[i].id, false, &wrong);
	}
	return !wrong;
}

/* ---- what the store says ---- */

struct compare {
	struct mob_store *s;
	struct oracle *o;
	struct oracle_row row[ORACLE_MAX]; /* of the oracle */
	uint32_t n_rows;
	struct oracle_hold hold[ORACLE_MAX];
	uint32_t n_holds;
	bool seen[ORACLE_MAX]; /* by the walk at hand */
	bool may_be_full;
	int bad;
};

static void differs(struct compare *k, const char *what, uint64_t id)
{
	k->bad++;
	print_error("object %#" PRIx64 ": %s\n", id, what);
}

static int find_row(const struct compare *k, uint64_t id)
{
	for (uint32_t i = 0; i < k->n_rows; i++) {
		if (k->row[i].id == id) {
			return (int)i;
		}
	}
	return -1;
}

/* An object that a walk of the store came by: the oracle's, once. */
static struct oracle_row *expected(struct compare *k, uint64_t id,
				   const char *walk)
{
	int i = find_row(k, id);

	if (i < 0) {
		differs(k, walk, id);
		print_error("the oracle has no such object\n");
		return NULL;
	}
	if (k->seen[i]) {
		differs(k, walk, id);
		print_error("it came twice\n");
	}
	k->seen[i] = true;
	return &k->row[i];
}

static void begin_walk(struct compare *k)
{
	memset(k->seen, 0, sizeof(k->seen));
}

static bool wants(const struct mob_object_query *q, const struct oracle_row *r)
{
	return r->state != MOB_OBJECT_PENDING &&
	       (!q->states || (q->states & MOB_QUERY_STATE(r->state))) &&
	       (!q->creator || q->creator == r->creator) &&
	       r->size >= q->size_min && r->size <= q->size_max &&
	       r->born_ms >= q->born_min_ms && r->born_ms <= q->born_max_ms;
}

/* All that a query wants came, and nothing else. */
static void end_walk(struct compare *k, const struct mob_object_query *q,
		     const char *walk)
{
	for (uint32_t i = 0; i < k->n_rows; i++) {
		if (k->seen[i] != wants(q, &k->row[i])) {
			differs(k, walk, k->row[i].id);
			print_error("%s: state %u creator %u size %" PRIu64
				    " born %" PRIu64 "\n",
				    k->seen[i] ? "it came" : "it did not come",
				    k->row[i].state, k->row[i].creator,
				    k->row[i].size, k->row[i].born_ms);
		}
	}
}

static int see_info(const struct mob_object_info *info, void *arg)
{
	struct compare *k = arg;
	struct oracle_row *r = expected(k, info->ref.lo, "in a list");

	if (r && (r->size != info->size || r->state != info->state ||
		  r->type != info->type || r->creator != info->creator ||
		  r->born_ms != info->born_ms)) {
		differs(k, "its row of the catalogue", r->id);
	}
	return 0;
}

/* ---- the parts of the comparison ---- */

/* What became lost did so at a time that only the store knows. */
static void learn_births(struct compare *k)
{
	for (uint32_t i = 0; i < k->n_rows; i++) {
		struct mob_object_info info;
		struct oracle_row *r = &k->row[i];

		if (r->state == MOB_OBJECT_LOST &&
		    mob_object_stat(k->s, ref_of_id(k->s, r->id), &info) == 0) {
			r->born_ms = info.born_ms;
		}
	}
}

static void compare_list(struct compare *k)
{
	const struct mob_object_query all = MOB_OBJECT_QUERY_INIT;

	begin_walk(k);
	if (mob_store_list(k->s, see_info, k, NULL) != 0) {
		differs(k, "mob_store_list failed", 0);
	}
	end_walk(k, &all, "list");
}

/* A query about some object, so that it finds something. */
static void random_query(const struct compare *k, uint64_t *random,
			 struct mob_object_query *q)
{
	const struct oracle_row *r = &k->row[next_random(random) % k->n_rows];
	uint64_t which = next_random(random) % 15 + 1;

	if (which & 1) {
		q->creator = r->creator;
	}
	if (which & 2) {
		q->size_min = r->size - r->size % 8;
		q->size_max = r->size + next_random(random) % 10000;
	}
	if (which & 4) {
		q->born_min_ms = r->born_ms;
		q->born_max_ms = r->born_ms + next_random(random) % 100;
	}
	if (which & 8) {
		q->states = MOB_QUERY_STATE(r->state) |
			    (uint32_t)(next_random(random) % 64);
	}
}

static void compare_find(struct compare *k, uint64_t *random)
{
	for (int i = 0; i < 30 && k->n_rows; i++) {
		struct mob_object_query q = MOB_OBJECT_QUERY_INIT;

		random_query(k, random, &q);
		begin_walk(k);
		if (mob_store_find(k->s, &q, see_info, k, NULL) != 0) {
			differs(k, "mob_store_find failed", 0);
		}
		end_walk(k, &q, "search");
	}
}

struct name_walk {
	struct compare *k;
	struct oracle_name nm[ORACLE_NAMES];
	uint32_t n;
	uint32_t at;
};

static int see_name(const struct mob_name_info *info, void *arg)
{
	struct name_walk *w = arg;
	const struct oracle_name *nm = &w->nm[w->at];
	int i = find_row(w->k, info->ref.lo);

	if (w->at++ >= w->n || strcmp(nm->name, info->name) != 0 ||
	    nm->id != info->ref.lo || nm->version != info->version || i < 0 ||
	    w->k->row[i].state != info->state) {
		differs(w->k, "in the list of names", info->ref.lo);
		print_error("name '%s' version %" PRIu64 "\n", info->name,
			    info->version);
		return 1;
	}
	return 0;
}

static void compare_names(struct compare *k, const char *prefix)
{
	static struct name_walk w;

	w.k = k;
	w.at = 0;
	w.n = oracle_names(k->o, prefix, w.nm);
	if (mob_name_list(k->s, prefix, see_name, &w) == 0 && w.at != w.n) {
		differs(k, "has a name that is not listed", w.nm[w.at].id);
	}
	for (uint32_t i = 0; i < w.n; i++) {
		if (!has_name(k->s, &w.nm[i])) {
			differs(k, "its name is another's", w.nm[i].id);
		}
	}
}

/* Who holds and views it, by numbers of processes. */
static void bits_of(const struct compare *k, uint64_t id, uint64_t *holders,
		    uint64_t *viewers)
{
	*holders = *viewers = 0;
	for (uint32_t i = 0; i < k->n_holds; i++) {
		const struct oracle_hold *h = &k->hold[i];

		if (h->id == id) {
			*holders |= h->holds ? MOBI_BIT(h->number) : 0;
			*viewers |= h->views ? MOBI_BIT(h->number) : 0;
		}
	}
}

static uint32_t kind_of(const struct oracle_row *r)
{
	return r->names ? MOB_MEMORY_NAMED :
	       r->pins  ? MOB_MEMORY_PINNED :
	       r->holds ? MOB_MEMORY_REFERENCED :
			  MOB_MEMORY_NESTED;
}

static int see_memory(const struct mob_memory_info *info, void *arg)
{
	struct compare *k = arg;
	struct oracle_row *r = expected(k, info->ref.lo, "in its memory");
	uint64_t holders;
	uint64_t viewers;

	if (!r) {
		return 0;
	}
	bits_of(k, r->id, &holders, &viewers);
	if (info->holders != holders || info->viewers != viewers) {
		differs(k, "others hold or view it", r->id);
		print_error("%#" PRIx64 " %#" PRIx64 ", not %#" PRIx64
			    " %#" PRIx64 "\n",
			    info->holders, info->viewers, holders, viewers);
	}
	if (info->names != r->names || info->pins != r->pins ||
	    info->kind != kind_of(r) || (info->edges != 0) != (r->edges != 0) ||
	    info->state != r->state) {
		differs(k, "something else keeps it", r->id);
		print_error("names %u pins %u kind %u edges %u state %u\n",
			    info->names, info->pins, info->kind, info->edges,
			    info->state);
		print_error("names %u pins %u kind %u edges %u state %u\n",
			    r->names, r->pins, kind_of(r), r->edges, r->state);
	}
	return 0;
}

/* Also what is pending: all, and nothing else, and it keeps nothing. */
static void compare_memory(struct compare *k)
{
	struct mob_memory_sums sums;

	begin_walk(k);
	if (mob_store_memory(k->s, see_memory, k) != 0) {
		differs(k, "mob_store_memory failed", 0);
	}
	for (uint32_t i = 0; i < k->n_rows; i++) {
		if (!k->seen[i]) {
			differs(k, "is not there", k->row[i].id);
		}
	}
	if (mob_store_memory_sums(k->s, &sums) != 0 ||
	    sums.verdict != MOB_MEMORY_EXACT || sums.all.objects != k->n_rows) {
		differs(k, "the sums of memory are wrong", sums.verdict);
	}
}

static void compare_value(struct compare *k, const struct oracle_row *r)
{
	static const int ends[] = {
		[MOB_OBJECT_PENDING] = MOB_E_TIMEOUT,
		[MOB_OBJECT_SEALED] = 0,
		[MOB_OBJECT_CANCELLED] = MOB_E_CANCELLED,
		[MOB_OBJECT_LOST] = MOB_E_LOST,
	};
	struct mob_view v;
	int rc = mob_object_get(k->s, ref_of_id(k->s, r->id), 0, &v);
	struct oracle_row now;

	if (rc == MOB_E_STORE_FULL && k->may_be_full) {
		return; /* slabs of those that live are in the way */
	}
	if (rc == MOB_E_BAD_REF && compare_evicted_all(k->s, k->o) &&
	    !oracle_get(k->o, r->id, &now)) {
		return; /* room was made of it, to read another back */
	}
	if (rc != ends[r->state]) {
		differs(k, mob_err_name(rc), r->id);
		print_error("%s\n", rc < 0 ? mob_err_detail(rc) : "");
	}
	if (rc < 0) {
		return;
	}
	if (v.size != r->size || v.type != r->type ||
	    memcmp(v.at, oracle_bytes(k->o, r->id), v.size) != 0) {
		differs(k, "its bytes", r->id);
	}
	mob_view_release(k->s, &v);
}

int compare_all(struct mob_store *s, struct oracle *o, bool may_be_full,
		uint64_t *random)
{
	static const char *const prefixes[] = {
		"", "a", "b", "ab", "c/", "zz"
	};
	static struct compare k;

	memset(&k, 0, sizeof(k));
	k.s = s;
	k.o = o;
	k.may_be_full = may_be_full;
	k.n_rows = oracle_rows(o, k.row);
	k.n_holds = oracle_holds(o, k.hold);
	learn_births(&k);
	compare_list(&k);
	compare_find(&k, random);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		compare_names(&k, prefixes[i]);
	}
	compare_memory(&k);
	for (uint32_t i = 0; i < k.n_rows; i++) {
		compare_value(&k, &k.row[i]);
	}
	return k.bad;
}
