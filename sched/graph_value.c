/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of graphs that are not results: inputs and channels, and how they are set
 * and read. What is set is copied into a lane when a run begins there.
 */
#include "graph.h"

#include "err.h"
#include "error.h"

#include "value.h"

#include <string.h>

/* ---- where they are ---- */

int mobi_graph_store(const struct mob_type *type, const void *value, void *to,
		     const char *what)
{
	struct mobi_graph_sized s;
	uint64_t bytes;
	int rc = mobi_value_bytes(type, value, &bytes);

	if (rc < 0) {
		return rc;
	}
	if (!mobi_graph_is_sized(type)) {
		mobi_value_store(type, value, to);
		return 0;
	}
	memcpy(&s, to, sizeof(s));
	if (bytes > s.max) {
		return mobi_err(MOB_E_LIMIT,
				"%s: a %s of %llu bytes; mob_graph_room allows "
				"%llu",
				what, type->name, (unsigned long long)bytes,
				(unsigned long long)s.max);
	}
	mobi_value_store(type, value, (unsigned char *)to + sizeof(s));
	s.len = bytes;
	memcpy(to, &s, sizeof(s));
	return 0;
}

int mobi_graph_load(const struct mob_type *type, const void *at,
		    const char *what, void *out)
{
	struct mobi_graph_sized s;

	if (!mobi_graph_is_sized(type)) {
		return mobi_value_load(type, at, type->size, type->id, what,
				       out);
	}
	memcpy(&s, at, sizeof(s));
	if (s.len > s.max) {
		return mobi_err(MOB_E_CORRUPT, "%s: a graph is damaged", what);
	}
	return mobi_value_load(type, (const unsigned char *)at + sizeof(s),
			       s.len, type->id, what, out);
}

/* ---- while recording ---- */

static int add_room(struct mob_graph *g, const struct mob_type *type,
		    uint32_t kind)
{
	struct mobi_graph_sized s = { 0, g->room_max };
	uint32_t value = g->values.n;
	struct mobi_graph_value *v;
	uint32_t *input;
	unsigned char *at;
	uint32_t n;
	int rc = mobi_graph_add(g, 1, kind, &type);

	if (rc < 0) {
		return rc;
	}
	input = mobi_graph_grow(&g->inputs, sizeof(*input), 1,
				MOB_GRAPH_NODES_MAX);
	if (!input) {
		return MOB_E_NOMEM;
	}
	*input = value;
	v = g->values.at;
	v[value].room = g->stage.n;
	v[value].from = MOBI_GRAPH_NOBODY;
	n = v[value].size;
	at = mobi_graph_grow(&g->stage, 1, n, MOBI_GRAPH_BYTES_MAX);
	if (!at) {
		return n > MOBI_GRAPH_BYTES_MAX - g->stage.n ? MOB_E_LIMIT :
							       MOB_E_NOMEM;
	}
	if (mobi_graph_is_sized(type)) {
		memcpy(at, &s, sizeof(s));
	}
	return 0;
}

static struct mob_ref add(const struct mob_type *type, uint32_t kind,
			  const char *call)
{
	struct mobi_context *c = mobi_context();
	int rc = mobi_rt_check(call);

	if (rc >= 0 && (!c || !mobi_graph_records(c))) {
		rc = mobi_err(MOB_E_STATE,
			      "%s: this thread does not record; call "
			      "mob_capture_begin first",
			      call);
	}
	if (rc >= 0 && type->kind != MOB_KIND_POD &&
	    !(mobi_graph_is_sized(type) && c->capture->room_max)) {
		rc = mobi_err(MOB_E_INVAL,
			      "%s: a %s has no fixed size; call mob_graph_room "
			      "before, or give its ref to the calls instead",
			      call, type->name);
	}
	if (rc >= 0) {
		rc = add_room(c->capture, type, kind);
	}
	return rc < 0 ? mobi_error_ref(rc) :
			mobi_graph_ref(c->capture, c->capture->values.n - 1);
}

struct mob_ref mob_graph_input_raw(const struct mob_type *type)
{
	return add(type, MOBI_GRAPH_INPUT, "mob_graph_input");
}

struct mob_ref mob_graph_channel_raw(const struct mob_type *type)
{
	return add(type, MOBI_GRAPH_CHANNEL, "mob_graph_channel");
}

static int write_channel(const struct mob_graph *g, struct mob_ref channel,
			 struct mob_ref result)
{
	struct mobi_graph_value *to;
	struct mobi_graph_value *from;
	int rc = mobi_graph_value_of(g, channel, "mob_graph_write", &to);

	if (rc >= 0) {
		rc = mobi_graph_value_of(g, result, "mob_graph_write", &from);
	}
	if (rc < 0) {
		return rc;
	}
	if (to->call != MOBI_GRAPH_CHANNEL) {
		return mobi_err(MOB_E_BAD_REF, "mob_graph_write: the first ref "
					       "is not of a "
					       "channel; mob_graph_channel "
					       "gives one");
	}
	if (from->call >= MOBI_GRAPH_CHANNEL) {
		return mobi_err(MOB_E_BAD_REF, "mob_graph_write: the second "
					       "ref is of an "
					       "input or a channel; what is "
					       "written is the "
					       "result of a call");
	}
	if (to->from != MOBI_GRAPH_NOBODY) {
		return mobi_err(MOB_E_STATE, "mob_graph_write: the channel has "
					     "what is "
					     "written to it already; it has "
					     "one writer");
	}
	if (to->type->id != from->type->id ||
	    to->type->size != from->type->size) {
		return mobi_err(MOB_E_TYPE,
				"mob_graph_write: the channel is of %s, given "
				"a %s",
				to->type->name, from->type->name);
	}
	to->from = (uint32_t)result.lo;
	return 0;
}

int mob_graph_write(struct mob_ref channel, struct mob_ref result)
{
	struct mobi_context *c = mobi_context();
	int rc = mobi_rt_check("mob_graph_write");

	if (rc >= 0 && (!c || !mobi_graph_records(c))) {
		rc = mobi_err(MOB_E_STATE, "mob_graph_write: this thread does "
					   "not record; what a channel brings "
					   "is a part of the graph");
	} else if (rc >= 0) {
		rc = write_channel(c->capture, channel, result);
		if (rc < 0) {
			mobi_graph_refuse(c->capture, rc);
		}
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

/* ---- of a graph ---- */

static int check(const struct mob_graph *g, const char *call)
{
	int rc = mobi_graph_check(g, call);

	if (rc >= 0 && g->window == 1 && g->n_flying) {
		rc = mobi_err(MOB_E_STATE,
			      "%s: the graph runs; call mob_graph_wait first",
			      call);
	}
	return rc;
}

static int check_type(const struct mobi_graph_value *v,
		      const struct mob_type *type, const char *call)
{
	return v->type->id == type->id && v->type->size == type->size ?
		       0 :
		       mobi_err(MOB_E_TYPE, "%s: it is a %s, given a %s", call,
				v->type->name, type->name);
}

int mob_graph_set_raw(struct mob_graph *g, struct mob_ref input,
		      const struct mob_type *type, const void *value)
{
	struct mobi_graph_value *v = NULL;
	int rc = check(g, "mob_graph_set");

	if (rc >= 0) {
		rc = mobi_graph_value_of(g, input, "mob_graph_set", &v);
	}
	if (rc >= 0 && v->call < MOBI_GRAPH_CHANNEL) {
		rc = mobi_err(MOB_E_BAD_REF, "mob_graph_set: the ref is of a "
					     "result; only inputs and channels "
					     "are set");
	}
	if (rc >= 0) {
		rc = check_type(v, type, "mob_graph_set");
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = mobi_graph_store(type, value,
			      (unsigned char *)g->stage.at + v->room,
			      "mob_graph_set");
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	v->set = ++g->sets;
	return 0;
}

/* Where the value is; NULL, and an error: there is none. */
static const void *value_at(const struct mob_graph *g,
			    const struct mobi_graph_value *v)
{
	const struct mobi_graph_head *h = (const void *)g->at;

	if (v->call == MOBI_GRAPH_INPUT ? v->set != 0 : g->ran) {
		return v->call == MOBI_GRAPH_INPUT ?
			       (const unsigned char *)g->stage.at + v->room :
			       g->at + v->off + (size_t)g->seen * h->lane_size;
	}
	(void)mobi_err(MOB_E_STATE, "mob_graph_get: there is no value: the "
				    "graph has not run, or its last run has "
				    "failed");
	return NULL;
}

int mob_graph_get_raw(struct mob_graph *g, struct mob_ref ref,
		      const struct mob_type *type, void *out)
{
	struct mobi_graph_value *v = NULL;
	const void *at = NULL;
	int rc = check(g, "mob_graph_get");

	if (type->size) {
		memset(out, 0, type->size);
	}
	if (rc >= 0) {
		rc = mobi_graph_value_of(g, ref, "mob_graph_get", &v);
	}
	if (rc >= 0 && v->call == MOBI_GRAPH_CHANNEL) {
		rc = mobi_err(MOB_E_BAD_REF, "mob_graph_get: the ref is of a "
					     "channel; get the result that is "
					     "written to it");
	}
	if (rc >= 0) {
		rc = check_type(v, type, "mob_graph_get");
	}
	if (rc >= 0) {
		at = value_at(g, v);
		rc = at ? mobi_graph_load(type, at, "mob_graph_get", out) :
			  MOB_E_STATE;
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}
