/* SPDX-License-Identifier: Apache-2.0 */
/* Values in C and their bytes in objects; put, get and results in place. */
#include "value.h"

#include "arena.h"
#include "cq.h"
#include "err.h"
#include "error.h"
#include "frame.h"
#include "object.h"
#include "repeat.h"
#include "site.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mobi_type_name(mob_type_id id, char *buf, size_t size)
{
	static const char *const names[] = {
		[MOB_TYPE_BYTES] = "bytes", [MOB_TYPE_ERROR] = "error",
		[MOB_TYPE_REFS] = "refs",   [MOB_TYPE_VOID] = "void",
		[MOB_TYPE_STR] = "str",     [MOB_TYPE_REF] = "ref",
		[MOB_TYPE_ARGS] = "args",   [MOB_TYPE_BOOL] = "bool",
		[MOB_TYPE_CHAR] = "char",   [MOB_TYPE_I32] = "int32",
		[MOB_TYPE_U32] = "uint32",  [MOB_TYPE_I64] = "int64",
		[MOB_TYPE_U64] = "uint64",  [MOB_TYPE_F32] = "float",
		[MOB_TYPE_F64] = "double",  [MOB_TYPE_I32S] = "i32s",
		[MOB_TYPE_I64S] = "i64s",   [MOB_TYPE_F32S] = "f32s",
		[MOB_TYPE_F64S] = "f64s",   [MOB_TYPE_STREAM] = "stream",
	};

	if (id < sizeof(names) / sizeof(names[0]) && names[id]) {
		return names[id];
	}
	(void)snprintf(buf, size, "type %#x", id);
	return buf;
}

static struct mobi_span span_of(const void *value)
{
	struct mobi_span sp;

	memcpy(&sp, value, sizeof(sp));
	return sp;
}

struct mobi_span mobi_value_refs(const struct mob_type *type, const void *value)
{
	struct mobi_span none = { NULL, 0 };

	if (type->kind == MOB_KIND_REF) {
		none.at = value;
		none.n = 1;
		return none;
	}
	return type->kind == MOB_KIND_REFS ? span_of(value) : none;
}

int mobi_value_bytes(const struct mob_type *type, const void *value,
		     uint64_t *out_bytes)
{
	struct mobi_span sp;
	const char *str;

	switch (type->kind) {
	case MOB_KIND_VOID:
		*out_bytes = 0;
		return 0;
	case MOB_KIND_POD:
	case MOB_KIND_REF:
		*out_bytes = type->size;
		return 0;
	case MOB_KIND_STR:
		memcpy(&str, value, sizeof(str));
		if (!str) {
			return mobi_err(MOB_E_INVAL, "a string is NULL");
		}
		*out_bytes = strlen(str) + 1;
		return 0;
	case MOB_KIND_SPAN:
	case MOB_KIND_REFS:
		sp = span_of(value);
		if (sp.n > UINT64_MAX / 2 / type->elem_size) {
			return mobi_err(MOB_E_LIMIT, "a span has %zu elements",
					sp.n);
		}
		if (sp.n && !sp.at) {
			return mobi_err(MOB_E_INVAL,
					"a span of %zu elements is NULL", sp.n);
		}
		*out_bytes = (uint64_t)sp.n * type->elem_size;
		return 0;
	default:
		return mobi_err(MOB_E_INVAL,
				"a value of type %s exists only as an argument",
				type->name);
	}
}

void mobi_value_store(const struct mob_type *type, const void *value, void *to)
{
	struct mobi_span sp;
	const char *str;

	switch (type->kind) {
	case MOB_KIND_POD:
	case MOB_KIND_REF:
		memcpy(to, value, type->size);
		break;
	case MOB_KIND_STR:
		memcpy(&str, value, sizeof(str));
		memcpy(to, str, strlen(str) + 1);
		break;
	case MOB_KIND_SPAN:
	case MOB_KIND_REFS:
		sp = span_of(value);
		if (sp.n) {
			memcpy(to, sp.at, sp.n * type->elem_size);
		}
		break;
	default:
		break;
	}
}

static int bad_type(const struct mob_type *type, uint64_t size,
		    mob_type_id given, const char *what)
{
	char buf[32];

	return mobi_err(MOB_E_TYPE,
			"%s: expected %s, the object is %s of %llu bytes", what,
			type->name, mobi_type_name(given, buf, sizeof(buf)),
			(unsigned long long)size);
}

int mobi_value_type(const struct mob_type *type, uint64_t size,
		    mob_type_id given, const char *what)
{
	return type->id == given && type->size == size ?
		       0 :
		       bad_type(type, size, given, what);
}

int mobi_value_load(const struct mob_type *type, const void *at, uint64_t size,
		    mob_type_id given, const char *what, void *out)
{
	struct mobi_span sp;
	const char *str = at;

	if (type->id != given && type->id != MOB_TYPE_BYTES) {
		return bad_type(type, size, given, what);
	}
	switch (type->kind) {
	case MOB_KIND_VOID:
		return 0;
	case MOB_KIND_POD:
	case MOB_KIND_REF:
		if (size != type->size) {
			return bad_type(type, size, given, what);
		}
		memcpy(out, at, size);
		return 0;
	case MOB_KIND_STR:
		if (!size || str[size - 1] != '\0') {
			return bad_type(type, size, given, what);
		}
		memcpy(out, &str, sizeof(str));
		return 0;
	case MOB_KIND_SPAN:
	case MOB_KIND_REFS:
		if (size % type->elem_size) {
			return bad_type(type, size, given, what);
		}
		sp.at = at;
		sp.n = (size_t)(size / type->elem_size);
		memcpy(out, &sp, sizeof(sp));
		return 0;
	default:
		return bad_type(type, size, given, what);
	}
}

/* ---- results in place ---- */

/* Gives the block of a space to the return `id`. */
static bool adopt(struct mob_store *s, const struct mobi_space *sp, uint64_t id,
		  uint64_t size, mob_type_id type)
{
	struct mobi_slot *to = &s->slots[(uint32_t)id];

	if (!mobi_slot_move_block(s, sp->id, id)) {
		return false;
	}
	mobi_store_relaxed(&to->size, size);
	mobi_store_relaxed(&to->type, type);
	mobi_store_relaxed(&to->born_ms, mobi_session_ms(s));
	return true;
}

static void drop_space(struct mob_store *s, const struct mobi_space *sp)
{
	(void)mobi_slot_resolve_owned(s, sp->id, MOBI_S_CANCELLED);
	(void)mobi_slot_release(s, sp->id);
}

int mobi_value_return(struct mobi_context *c, uint64_t id,
		      const struct mob_type *type, const void *value)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_span refs = mobi_value_refs(type, value);
	struct mobi_space sp;
	const void *at = NULL;
	uint64_t n;
	void *to;
	int rc = mobi_value_bytes(type, value, &n);

	if (rc < 0) {
		return rc;
	}
	if (type->kind == MOB_KIND_SPAN || type->kind == MOB_KIND_STR ||
	    type->kind == MOB_KIND_REFS) {
		memcpy(&at, value, sizeof(at));
	}
	if (at && mobi_space_take(c, at, &sp)) {
		bool moved = n <= sp.size && adopt(s, &sp, id, n, type->id);

		if (n > sp.size) {
			rc = mobi_err(MOB_E_INVAL,
				      "the result has %llu bytes, the space of "
				      "mob_new that it begins at %llu",
				      (unsigned long long)n,
				      (unsigned long long)sp.size);
		}
		drop_space(s, &sp);
		if (rc < 0) {
			return rc;
		}
		if (!moved) {
			return mobi_err(MOB_E_STATE, "the result was moved by "
						     "another");
		}
	} else {
		rc = mobi_slot_value(s, id, n, type->id, &to);
		if (rc < 0) {
			return rc;
		}
		mobi_value_store(type, value, to);
	}
	return refs.n ? mobi_object_nest(s, id, refs.at, refs.n) : 0;
}

void *mob_new_raw(const struct mob_type *type, size_t n)
{
	struct mobi_context *c = mobi_context();
	uint32_t elem = type->elem_size ? type->elem_size : 1;
	void *at = NULL;
	int rc = mobi_rt_check("mob_new");

	if (rc >= 0 && !c) {
		rc = mobi_err(MOB_E_NOMEM, "mob_new: out of memory");
	}
	if (rc >= 0 && n > SIZE_MAX / 2 / elem) {
		rc = mobi_err(MOB_E_STORE_FULL,
			      "mob_new: %zu elements of %u bytes are more than "
			      "any store has",
			      n, elem);
	}
	if (rc >= 0) {
		rc = mobi_space_new(c, (uint64_t)n * elem, type->id, &at);
	}
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
		return NULL;
	}
	return at;
}

void *mob_new(size_t bytes)
{
	static const struct mob_type plain = { "bytes", MOB_TYPE_BYTES,
					       MOB_KIND_SPAN,
					       sizeof(struct mob_bytes), 1 };

	return mob_new_raw(&plain, bytes);
}

struct mob_ref mob_seal_raw(const struct mob_type *type, const void *value)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct mobi_space sp;
	const void *at;
	uint64_t n;
	int rc = mobi_rt_check("mob_seal");

	if (rc >= 0) {
		rc = mobi_value_bytes(type, value, &n);
	}
	if (rc < 0) {
		return mobi_error_ref(rc);
	}
	memcpy(&at, value, sizeof(at));
	if (!c || !mobi_space_take(c, at, &sp)) {
		return mobi_error_ref(mobi_err(MOB_E_INVAL, "mob_seal: the "
							    "span does not "
							    "begin at "
							    "space of mob_new "
							    "of this task or "
							    "thread"));
	}
	if (n > sp.size) {
		drop_space(s, &sp);
		return mobi_error_ref(mobi_err(MOB_E_INVAL,
					       "mob_seal: the span has %llu "
					       "bytes, its space %llu",
					       (unsigned long long)n,
					       (unsigned long long)sp.size));
	}
	mobi_store_relaxed(&s->slots[(uint32_t)sp.id].size, n);
	mobi_store_relaxed(&s->slots[(uint32_t)sp.id].type, type->id);
	mobi_slot_seal_unseen(s, sp.id);
	if (mobi_frame_add(c->frame, sp.id, MOBI_HAS_HOLD) < 0) {
		(void)mobi_slot_release(s, sp.id);
		return mobi_error_ref(MOB_E_NOMEM);
	}
	return mobi_ref_of(s, sp.id);
}

/* ---- put ---- */

int mobi_value_put(const struct mob_type *type, const void *value,
		   struct mob_site *site, uint64_t *out_id)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t row = mobi_site_row_of(s, site);
	struct mobi_span refs = mobi_value_refs(type, value);
	uint64_t id;
	uint64_t n;
	void *to;
	int rc = mobi_value_bytes(type, value, &n);

	if (rc >= 0) {
		rc = mobi_repeat_object_new(s, n, type->id, &id, &to);
	}
	if (rc < 0) {
		return rc;
	}
	mobi_site_set(s, id, row);
	mobi_value_store(type, value, to);
	if (refs.n) {
		rc = mobi_object_nest(s, id, refs.at, refs.n);
		if (rc < 0) {
			(void)mobi_slot_resolve_owned(s, id, MOBI_S_CANCELLED);
			(void)mobi_slot_release(s, id);
			return rc;
		}
	}
	mobi_slot_seal_unseen(s, id);
	*out_id = id;
	return 0;
}

struct mob_ref mob_put_raw_from(const struct mob_type *type, const void *value,
				struct mob_site *site)
{
	struct mobi_context *c = mobi_context();
	uint64_t id;
	int rc = mobi_rt_check("mob_put");

	if (rc >= 0 && !c) {
		rc = mobi_err(MOB_E_NOMEM, "mob_put: out of memory");
	}
	if (rc >= 0) {
		rc = mobi_value_put(type, value, site, &id);
	}
	if (rc < 0) {
		return mobi_error_ref(rc);
	}
	if (mobi_frame_add(c->frame, id, MOBI_HAS_HOLD) < 0) {
		(void)mobi_slot_release(mobi_rt.store, id);
		return mobi_error_ref(MOB_E_NOMEM);
	}
	return mobi_ref_of(mobi_rt.store, id);
}

struct mob_ref mob_put_raw(const struct mob_type *type, const void *value)
{
	return mob_put_raw_from(type, value, NULL);
}
