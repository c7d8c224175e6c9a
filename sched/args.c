/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a task: encoding at submit, decoding for the call. */
#include "args.h"

#include "err.h"
#include "error.h"
#include "module.h"
#include "object.h"
#include "repeat.h"
#include "slot.h"
#include "unread.h"
#include "value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t pad(uint64_t at, uint64_t bytes)
{
	uint64_t body = at + 8;

	/* The head stands right before its body. */
	return bytes > 8 ? (body + 15) / 16 * 16 - 8 : at;
}

static uint64_t up8(uint64_t n)
{
	return (n + 7) / 8 * 8;
}

/* Where item i with this many bytes starts after `at`, and where it ends. */
static uint64_t item_end(uint64_t at, uint64_t bytes)
{
	return pad(at, bytes) + 8 + up8(bytes);
}

/* Bytes of the item before those of the parameters. */
static uint64_t first_item(const struct mob_task_def *def)
{
	return def->n_rets == MOB_RETS_STREAM ? item_end(0, sizeof(uint64_t)) :
						0;
}

static int bad_arg(const struct mob_task_def *def, uint32_t i, int rc)
{
	char text[400];

	(void)snprintf(text, sizeof(text), "%s", mob_err_detail(rc));
	return mobi_err(rc, "argument %u of task %s: %s", i + 1, def->name,
			text);
}

/* ---- encode ---- */

static int plan_value(struct mobi_args_plan *p, uint32_t i)
{
	const struct mob_type *t = p->def->args[i];
	const void *value = p->arg[i].value;
	void (*fn)(void);
	const struct mob_task_def *def;
	struct mob_args list;
	uint32_t number;
	uint64_t id;
	int rc;

	if (t->kind == MOB_KIND_FUNCTION) {
		memcpy(&fn, value, sizeof(fn));
		p->bytes[i] = sizeof(uint64_t);
		def = mobi_module_of(fn);
		return def ? mobi_module_number(mobi_rt.sched, def, &number) :
			     mobi_err(MOB_E_TYPE, "the function is not "
						  "registered; define "
						  "it by MOB_TASK");
	}
	if (t->kind == MOB_KIND_ARGS) {
		memcpy(&list, value, sizeof(list));
		p->bytes[i] = (uint64_t)list.n * sizeof(uint64_t);
		return 0;
	}
	rc = mobi_value_bytes(t, value, &p->bytes[i]);
	if (rc < 0 || p->bytes[i] <= MOBI_VALUE_MAX ||
	    t->kind == MOB_KIND_REFS) {
		return rc;
	}
	(void)mobi_module_number(mobi_rt.sched, p->def, &number);
	if (!mobi_repeat_find(p->def, t, value, p->bytes[i], &id)) {
		rc = mobi_value_put(t, value, mobi_module_site(p->def), &id);
		if (rc >= 0) {
			mobi_repeat_note(p->def, t, value, p->bytes[i], id);
		}
	}
	if (rc >= 0) {
		p->big[i] = id + 1;
		p->bytes[i] = sizeof(uint64_t);
	}
	return rc;
}

int mobi_args_plan(struct mobi_args_plan *p, const struct mob_task_def *def,
		   const struct mob_arg *args)
{
	p->def = def;
	p->arg = args;
	p->total = first_item(def);
	p->stream = 0;
	for (uint32_t i = 0; i < def->n_args; i++) {
		p->big[i] = 0; /* of all, for mobi_args_end */
	}
	for (uint32_t i = 0; i < def->n_args; i++) {
		int rc = 0;

		if (args[i].kind == MOB_ARG_VALUE) {
			rc = plan_value(p, i);
		} else if (args[i].kind == MOB_ARG_REF) {
			p->bytes[i] = sizeof(uint64_t);
		} else if (args[i].kind == MOB_ARG_SLICE) {
			p->bytes[i] = 3 * sizeof(uint64_t);
		} else {
			rc = mobi_err(MOB_E_INVAL, "kind is %u", args[i].kind);
		}
		if (rc < 0) {
			mobi_args_end(p);
			return bad_arg(def, i, rc);
		}
		p->total = item_end(p->total, p->bytes[i]);
	}
	return 0;
}

void mobi_args_end(struct mobi_args_plan *p)
{
	for (uint32_t i = 0; i < p->def->n_args; i++) {
		if (p->big[i]) {
			(void)mobi_slot_release(mobi_rt.store, p->big[i] - 1);
			p->big[i] = 0;
		}
	}
}

static void put64(unsigned char *to, uint64_t v)
{
	memcpy(to, &v, sizeof(v));
}

static uint32_t encode_value(const struct mobi_args_plan *p, uint32_t i,
			     unsigned char *to)
{
	const struct mob_type *t = p->def->args[i];
	const void *value = p->arg[i].value;
	struct mob_args list;
	uint32_t number = 0;
	void (*fn)(void);

	if (t->kind == MOB_KIND_FUNCTION) {
		memcpy(&fn, value, sizeof(fn));
		(void)mobi_module_number(mobi_rt.sched, mobi_module_of(fn),
					 &number);
		put64(to, number);
		return MOBI_ENC_FUNCTION;
	}
	if (t->kind == MOB_KIND_ARGS) {
		memcpy(&list, value, sizeof(list));
		for (size_t k = 0; k < list.n; k++) {
			put64(to + 8 * k, list.refs[k].lo);
		}
		return MOBI_ENC_LIST;
	}
	if (p->big[i]) {
		put64(to, p->big[i] - 1);
		return MOBI_ENC_OBJECT;
	}
	mobi_value_store(t, value, to);
	return MOBI_ENC_VALUE;
}

void mobi_args_encode(const struct mobi_args_plan *p, unsigned char *to)
{
	uint64_t at = first_item(p->def);

	if (at) {
		put64(to, (uint64_t)MOBI_ENC_STREAM << 56 | sizeof(uint64_t));
		put64(to + 8, p->stream - 1);
	}
	for (uint32_t i = 0; i < p->def->n_args; i++) {
		uint64_t head = pad(at, p->bytes[i]);
		unsigned char *body = to + head + 8;
		uint32_t how;

		if (head > at) {
			memset(to + at, 0, head - at);
		}
		switch (p->arg[i].kind) {
		case MOB_ARG_REF:
			put64(body, p->arg[i].ref.lo);
			/* A parameter that is a ref does not wait for it. */
			how = p->def->args[i]->kind == MOB_KIND_REF ?
				      MOBI_ENC_PASSED :
				      MOBI_ENC_OBJECT;
			break;
		case MOB_ARG_SLICE:
			put64(body, p->arg[i].ref.lo);
			put64(body + 8, p->arg[i].first);
			put64(body + 16, p->arg[i].n);
			how = MOBI_ENC_SLICE;
			break;
		default:
			how = encode_value(p, i, body);
			break;
		}
		put64(to + head, (uint64_t)how << 56 | p->bytes[i]);
		at = item_end(at, p->bytes[i]);
	}
}

static int each_of(const struct mob_ref *refs, size_t n, bool needed,
		   uint32_t arg, int (*fn)(uint64_t, bool, uint32_t, void *),
		   void *ctx)
{
	for (size_t k = 0; k < n; k++) {
		uint64_t id;
		int rc = mobi_slot_of(mobi_rt.store, refs[k], &id);

		if (rc >= 0) {
			rc = fn(id, needed, arg, ctx);
		}
		if (rc) {
			return rc;
		}
	}
	return 0;
}

int mobi_args_refs(const struct mobi_args_plan *p,
		   int (*fn)(uint64_t id, bool needed, uint32_t arg, void *ctx),
		   void *ctx)
{
	for (uint32_t i = 0; i < p->def->n_args; i++) {
		const struct mob_type *t = p->def->args[i];
		const struct mob_arg *a = &p->arg[i];
		struct mobi_span refs;
		struct mob_args list;
		int rc = 0;

		if (a->kind != MOB_ARG_VALUE) {
			/* A ref in the place of a plain ref is passed on. */
			rc = each_of(&a->ref, 1, t->kind != MOB_KIND_REF, i, fn,
				     ctx);
		} else if (p->big[i]) {
			rc = fn(p->big[i] - 1, true, i, ctx);
		} else if (t->kind == MOB_KIND_ARGS) {
			memcpy(&list, a->value, sizeof(list));
			rc = each_of(list.refs, list.n, true, i, fn, ctx);
		} else if (t->kind == MOB_KIND_REF ||
			   t->kind == MOB_KIND_REFS) {
			refs = mobi_value_refs(t, a->value);
			rc = each_of(refs.at, refs.n, false, i, fn, ctx);
		}
		if (rc) {
			return rc < 0 ? bad_arg(p->def, i, rc) : rc;
		}
	}
	return 0;
}

/* ---- walk ---- */

const unsigned char *mobi_args_at(const struct mob_store *s, uint32_t rec,
				  uint64_t *out_len)
{
	const struct mobi_task *t = mobi_task_at(s, rec);

	*out_len = t->args_len;
	if (t->args_id) {
		return mobi_slot_bytes(s, (uint32_t)t->args_id);
	}
	if (*out_len > MOBI_TASK_INLINE) {
		return NULL; /* a record that is being filled */
	}
	return s->ro + s->hdr->section[MOBI_SEC_RECS].off +
	       (uint64_t)rec * sizeof(struct mobi_rec) +
	       offsetof(struct mobi_rec, body) +
	       offsetof(struct mobi_task, args);
}

static uint64_t get64(const unsigned char *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Head of the item at or after w->item (heads are never 0, padding is). */
static bool item_head(struct mobi_args_walk *w, uint32_t *out_how,
		      uint64_t *out_bytes)
{
	uint64_t head = 0;

	while (w->item + 8 <= w->len) {
		head = get64(w->at + w->item);
		if (head) {
			break;
		}
		w->item += 8;
	}
	if (!head) {
		return false;
	}
	*out_how = (uint32_t)(head >> 56);
	*out_bytes = head & ((UINT64_C(1) << 56) - 1);
	return *out_bytes <= w->len - w->item - 8;
}

bool mobi_args_next(struct mobi_args_walk *w, uint64_t *out_id)
{
	uint32_t how;
	uint64_t bytes;

	while (item_head(w, &how, &bytes)) {
		const unsigned char *body = w->at + w->item + 8;

		if (how == MOBI_ENC_LIST && w->inner < bytes / 8) {
			*out_id = get64(body + 8 * w->inner++);
			return true;
		}
		w->inner = 0;
		w->item += 8 + up8(bytes);
		if ((how == MOBI_ENC_OBJECT || how == MOBI_ENC_SLICE) &&
		    bytes >= sizeof(*out_id)) {
			*out_id = get64(body);
			return true;
		}
	}
	return false;
}

uint64_t mobi_args_stream(const struct mob_store *s, uint32_t rec)
{
	struct mobi_args_walk w = { NULL, 0, 0, 0 };
	uint64_t bytes;
	uint32_t how;

	w.at = mobi_args_at(s, rec, &w.len);
	return w.at && item_head(&w, &how, &bytes) && how == MOBI_ENC_STREAM ?
		       get64(w.at + w.item + 8) + 1 :
		       0;
}

/* ---- decode ---- */

/* Views an argument object; an error in it becomes *out_error. */
static int view(uint64_t id, struct mob_view *v, const char *name,
		struct mobi_error **out_error)
{
	int rc = mobi_object_view_now(mobi_rt.store, id, v);

	if (rc == 1) {
		return MOBI_ARGS_GONE;
	}
	if (rc == MOB_E_TASK) {
		struct mobi_error *e = mobi_error_read(v);

		mobi_unread_seen(mobi_rt.store, id);
		mob_view_release(mobi_rt.store, v);
		*out_error = mobi_error_through(e, name);
		mobi_error_free(e);
	} else if (rc < 0) {
		struct mobi_error *e = mobi_error_new(rc, rc,
						      mob_err_detail(rc));

		*out_error = mobi_error_through(e, name);
		mobi_error_free(e);
	}
	return rc < 0 ? MOB_E_TASK : 0;
}

static int load_slice(const struct mob_type *t, const unsigned char *body,
		      struct mobi_span *sp, const char *what)
{
	uint64_t first = get64(body + 8);
	uint64_t n = get64(body + 16);

	if (first > sp->n || n > sp->n - first) {
		return mobi_err(MOB_E_INVAL,
				"%s: elements %llu to %llu of a span of %zu",
				what, (unsigned long long)first,
				(unsigned long long)(first + n), sp->n);
	}
	sp->at = (const unsigned char *)sp->at + first * t->elem_size;
	sp->n = (size_t)n;
	return 0;
}

static int load_list(struct mob_args *out, const unsigned char *body,
		     uint64_t bytes, const char *name,
		     struct mobi_error **out_error)
{
	size_t n = (size_t)(bytes / 8);
	struct mob_ref *refs = calloc(n + 1, sizeof(*refs));
	struct mob_view *views = calloc(n + 1, sizeof(*views));

	out->refs = refs;
	out->views = views;
	out->n = 0;
	if (!refs || !views) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	for (size_t k = 0; k < n; k++) {
		uint64_t id = get64(body + 8 * k);
		int rc = view(id, &views[k], name, out_error);

		if (rc < 0) {
			return rc;
		}
		refs[k] = mobi_ref_of(mobi_rt.store, id);
		out->n++;
	}
	return 0;
}

static int load_object(const struct mob_type *t, uint32_t how,
		       const unsigned char *body, uint32_t i, const char *name,
		       struct mobi_args_ready *r, struct mobi_error **out_error)
{
	char what[160];
	struct mobi_span sp;
	struct mob_view *v = &r->view[i];
	struct mob_ref ref = mobi_ref_of(mobi_rt.store, get64(body));
	int rc;

	(void)snprintf(what, sizeof(what), "argument %u of task %s", i + 1,
		       name);
	if (t->kind == MOB_KIND_REF) {
		memcpy(r->store[i], &ref, sizeof(ref));
		return 0;
	}
	rc = view(get64(body), v, name, out_error);
	if (rc < 0) {
		return rc;
	}
	if (t->kind == MOB_KIND_POD) {
		/* In place: the bytes of the object are aligned. */
		r->arg[i] = v->at;
		return mobi_value_type(t, v->size, v->type, what);
	}
	rc = mobi_value_load(t, v->at, v->size, v->type, what, r->store[i]);
	if (rc >= 0 && how == MOBI_ENC_SLICE) {
		if (t->kind != MOB_KIND_SPAN) {
			return mobi_err(MOB_E_TYPE, "%s: a slice of %s", what,
					t->name);
		}
		memcpy(&sp, r->store[i], sizeof(sp));
		rc = load_slice(t, body, &sp, what);
		memcpy(r->store[i], &sp, sizeof(sp));
	}
	return rc;
}

static int load_value(const struct mob_type *t, const unsigned char *body,
		      uint64_t bytes, uint32_t i, struct mobi_args_ready *r)
{
	if (t->kind == MOB_KIND_POD || t->kind == MOB_KIND_REF) {
		r->arg[i] = body;
		return bytes == t->size ?
			       0 :
			       mobi_err(MOB_E_VERSION,
					"argument %u: %llu bytes, expected %u",
					i + 1, (unsigned long long)bytes,
					t->size);
	}
	return mobi_value_load(t, body, bytes, t->id, "argument", r->store[i]);
}

static int load_item(const struct mob_task_def *def, uint32_t i, uint32_t how,
		     const unsigned char *body, uint64_t bytes,
		     struct mobi_args_ready *r, struct mobi_error **out_error)
{
	const struct mob_type *t = def->args[i];
	const struct mob_task_def *fn;
	int rc;

	r->arg[i] = r->store[i];
	switch (how) {
	case MOBI_ENC_VALUE:
		return load_value(t, body, bytes, i, r);
	case MOBI_ENC_OBJECT:
	case MOBI_ENC_SLICE:
	case MOBI_ENC_PASSED:
		return load_object(t, how, body, i, def->name, r, out_error);
	case MOBI_ENC_LIST:
		rc = load_list(&r->list[i], body, bytes, def->name, out_error);
		r->arg[i] = &r->list[i];
		return rc;
	case MOBI_ENC_FUNCTION:
		fn = mobi_module_def(mobi_rt.sched, (uint32_t)get64(body));
		if (!fn) {
			return mobi_err(MOB_E_VERSION,
					"argument %u of task %s: this worker "
					"has no such function; it is of "
					"another "
					"build",
					i + 1, def->name);
		}
		memcpy(r->store[i], &fn->fn, sizeof(fn->fn));
		return 0;
	default:
		return mobi_err(MOB_E_CORRUPT, "argument %u is damaged", i + 1);
	}
}

int mobi_args_load(const struct mob_task_def *def, const unsigned char *at,
		   uint64_t len, struct mobi_args_ready *r,
		   struct mobi_error **out_error)
{
	struct mobi_args_walk w = { at, len, first_item(def), 0 };

	r->n = 0;
	for (uint32_t i = 0; i < def->n_args; i++) {
		uint32_t how;
		uint64_t bytes;
		int rc;

		memset(&r->view[i], 0, sizeof(r->view[i]));
		memset(&r->list[i], 0, sizeof(r->list[i]));
		r->n = i + 1;
		if (!item_head(&w, &how, &bytes)) {
			return mobi_err(MOB_E_CORRUPT, "argument %u is damaged",
					i + 1);
		}
		rc = load_item(def, i, how, at + w.item + 8, bytes, r,
			       out_error);
		if (rc < 0) {
			return rc;
		}
		w.item += 8 + up8(bytes);
	}
	return 0;
}

void mobi_args_drop(struct mobi_args_ready *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct mob_view *views;
		struct mob_ref *refs;

		mob_view_release(mobi_rt.store, &r->view[i]);
		memcpy(&views, &r->list[i].views, sizeof(views));
		memcpy(&refs, &r->list[i].refs, sizeof(refs));
		for (size_t k = 0; views && k < r->list[i].n; k++) {
			mob_view_release(mobi_rt.store, &views[k]);
		}
		free(views);
		free(refs);
	}
	r->n = 0;
}
