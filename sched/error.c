/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values of objects, and the pending error of a thread. */
#include "error.h"

#include "err.h"
#include "frame.h"
#include "os_proc.h"
#include "room.h"
#include "slot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mobi_error *mobi_error_new(int rc, int code, const char *text)
{
	size_t n = strlen(text);
	struct mobi_error *e;

	n = n < MOBI_ERROR_TEXT_MAX ? n : MOBI_ERROR_TEXT_MAX;
	e = malloc(sizeof(*e) + n + 1);
	if (!e) {
		return NULL;
	}
	memset(e, 0, sizeof(*e));
	e->rc = rc;
	e->code = code;
	e->attempt = 1;
	e->pid = mobi_proc_self().pid;
	e->text_len = n;
	memcpy(e->text, text, n);
	e->text[n] = '\0';
	return e;
}

struct mobi_error *mobi_error_read(const struct mob_view *v)
{
	struct mobi_error head;
	struct mobi_error *e;

	if (v->type != MOB_TYPE_ERROR || v->size < sizeof(head)) {
		return mobi_error_new(MOB_E_CORRUPT, MOB_E_CORRUPT,
				      "the error of the object cannot be read");
	}
	memcpy(&head, v->at, sizeof(head));
	if (head.text_len > v->size - sizeof(head) - 1 ||
	    v->size == sizeof(head)) {
		return mobi_error_new(MOB_E_CORRUPT, MOB_E_CORRUPT,
				      "the error of the object cannot be read");
	}
	e = malloc(sizeof(head) + head.text_len + 1);
	if (e) {
		memcpy(e, v->at, sizeof(head) + head.text_len);
		e->text[head.text_len] = '\0';
	}
	return e;
}

void mobi_error_pend(struct mobi_context *ctx, struct mobi_error *e)
{
	if (ctx->error) {
		free(e);
	} else {
		ctx->error = e;
	}
}

int mobi_error_pend_rc(int rc)
{
	struct mobi_context *c = mobi_context();

	if (c && !c->error) {
		const char *detail = mob_err_detail(rc);

		c->error = mobi_error_new(
			rc, rc, detail[0] ? detail : mob_err_message(rc));
	}
	return rc;
}

bool mobi_error_resolve(struct mob_store *s, uint64_t id,
			const struct mobi_error *e)
{
	uint64_t n = sizeof(*e) + e->text_len + 1;
	void *at;

	if (mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
		return false;
	}
	/* Nobody waits for an error to be made. A store that is full still has
	 * room inside the slot. */
	mobi_room_forbid();
	if (mobi_slot_value(s, id, n, MOB_TYPE_ERROR, &at) < 0) {
		struct mobi_error small = *e;

		small.text_len = 0;
		n = sizeof(small) + 1;
		if (mobi_slot_value(s, id, n, MOB_TYPE_ERROR, &at) < 0) {
			mobi_room_allow();
			return mobi_slot_resolve(s, id, MOBI_S_LOST);
		}
		memcpy(at, &small, sizeof(small));
		((char *)at)[sizeof(small)] = '\0';
	} else {
		memcpy(at, e, n);
	}
	mobi_room_allow();
	return mobi_slot_resolve(s, id, MOBI_S_FAILED);
}

struct mobi_error *mobi_error_through(const struct mobi_error *e,
				      const char *name)
{
	char text[MOBI_ERROR_TEXT_MAX + 1];
	struct mobi_error *out;

	(void)snprintf(text, sizeof(text), "%s <- %s", e->text, name);
	out = mobi_error_new(e->rc, e->code, text);
	if (out) {
		out->attempt = e->attempt;
		out->pid = e->pid;
		out->worker = e->worker;
		out->line = e->line;
	}
	return out;
}

struct mob_ref mobi_error_ref(int rc)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_context *c = mobi_context();
	const char *detail = mob_err_detail(rc);
	struct mobi_error *e;
	uint64_t id;

	if (!s || !c || !mobi_load_relaxed(s->not_forked)) {
		return MOB_REF_NONE;
	}
	e = mobi_error_new(rc, rc, detail[0] ? detail : mob_err_message(rc));
	if (!e) {
		return MOB_REF_NONE;
	}
	if (mobi_slot_new(s, 0, &id) < 0) {
		free(e);
		return MOB_REF_NONE;
	}
	mobi_slot_unlock(s, id);
	(void)mobi_error_resolve(s, id, e);
	free(e);
	if (mobi_frame_add(c->frame, id, MOBI_HAS_HOLD) < 0) {
		(void)mobi_slot_release(s, id);
		return MOB_REF_NONE;
	}
	return mobi_ref_of(s, id);
}

/* ---- public ---- */

void mob_fail(int code, const char *fmt, ...)
{
	struct mobi_context *c = mobi_context();
	char text[MOBI_ERROR_TEXT_MAX + 1];
	va_list ap;
	int n;

	if (!c) {
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0) {
		text[0] = '\0';
	}
	free(c->error);
	c->error = mobi_error_new(MOB_E_TASK, code ? code : MOB_E_TASK, text);
}

const char *mob_error(void)
{
	struct mobi_context *c = mobi_context();

	return c && c->error ? c->error->text : "";
}

int mob_error_code(void)
{
	struct mobi_context *c = mobi_context();

	return c && c->error ? c->error->code : 0;
}

void mob_error_clear(void)
{
	struct mobi_context *c = mobi_context();

	if (c) {
		free(c->error);
		c->error = NULL;
	}
}
