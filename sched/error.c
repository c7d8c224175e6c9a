/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values of objects, and the pending error of a thread. */
#include "error.h"

#include "err.h"
#include "frame.h"
#include "gone.h"
#include "log.h"
#include "os_proc.h"
#include "room.h"
#include "slot.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As it is in the client's row: no system call. */
static uint32_t own_pid(void)
{
	const struct mob_store *s = mobi_rt.store;

	return s && s->me && mobi_load_relaxed(s->not_forked) ?
		       s->clients[s->me].proc.pid :
		       mobi_proc_self().pid;
}

static uint32_t length(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	return (uint32_t)(n < MOBI_ERROR_TEXT_MAX ? n : MOBI_ERROR_TEXT_MAX);
}

static char *append(char *at, const char *text, uint32_t n)
{
	if (n) {
		memcpy(at, text, n);
	}
	at[n] = '\0';
	return at + n + 1;
}

/* ---- without memory ---- */

#define SPARES 64u
#define LAST (SPARES - 1) /* of all that find no other */
static const char no_memory[] = "out of memory (none for the text of the "
				"error)";

/* Those that are in use. The last one is nobody's: it says that there is no memory, and
 * nothing else. */
static mobi_a64 spares_taken;
static pthread_once_t last_once = PTHREAD_ONCE_INIT;
static struct {
	/* A struct mobi_error with an empty name and file. */
	_Alignas(struct mobi_error) unsigned char at[sizeof(struct mobi_error) +
						     sizeof(no_memory) + 2];
} spare[SPARES];

static struct mobi_error *fill_spare(uint32_t i, const struct mobi_error *head)
{
	struct mobi_error *e = (void *)spare[i].at;

	*e = *head;
	e->text_len = sizeof(no_memory) - 1;
	e->name_len = 0;
	e->file_len = 0;
	e->payload_len = 0;
	memcpy(e->text, no_memory, sizeof(no_memory));
	return e;
}

static void fill_last(void)
{
	(void)fill_spare(LAST, &(struct mobi_error){ .rc = MOB_E_NOMEM,
						     .code = MOB_E_NOMEM,
						     .attempt = 1 });
}

static struct mobi_error *take_spare(const struct mobi_error *head)
{
	uint64_t taken = mobi_load(&spares_taken);
	uint32_t i;

	do {
		i = (uint32_t)__builtin_ctzll(~taken);
		if (i == LAST) {
			(void)pthread_once(&last_once, fill_last);
			return (void *)spare[LAST].at;
		}
	} while (!mobi_cas64(&spares_taken, &taken, taken | MOBI_BIT(i)));
	return fill_spare(i, head);
}

void mobi_error_free(struct mobi_error *e)
{
	/* Of all memory: that of an error that was allocated is none of these. */
	uintptr_t off = (uintptr_t)e - (uintptr_t)spare;
	uint32_t i = (uint32_t)(off / sizeof(spare[0]));

	if (off >= sizeof(spare)) {
		free(e);
	} else if (i != LAST) {
		(void)mobi_fetch_and(&spares_taken, ~MOBI_BIT(i));
	}
}

/* ---- making and reading ---- */

struct mobi_error *mobi_error_make(int rc, int code,
				   const struct mobi_error_parts *p,
				   const struct mobi_error *like)
{
	struct mobi_error head = { .rc = rc,
				   .code = code,
				   .attempt = like ? like->attempt : 1,
				   .pid = like && like->pid ? like->pid :
							      own_pid(),
				   .worker = like ? like->worker : 0,
				   .line = like ? like->line : 0,
				   .text_len = length(p->text),
				   .name_len = length(p->name),
				   .file_len = length(p->file),
				   .payload_len = p->payload_len };
	struct mobi_error *e = malloc(mobi_error_bytes(&head));
	char *at;

	if (!e) {
		return take_spare(&head);
	}
	*e = head;
	at = append(e->text, p->text, e->text_len);
	at = append(at, p->name, e->name_len);
	at = append(at, p->file, e->file_len);
	if (e->payload_len) {
		memcpy(at, p->payload, e->payload_len);
	}
	return e;
}

struct mobi_error *mobi_error_new(int rc, int code, const char *text)
{
	return mobi_error_make(
		rc, code, &(struct mobi_error_parts){ .text = text }, NULL);
}

struct mobi_error *mobi_error_retold(const struct mobi_error *e,
				     const char *text)
{
	struct mobi_error_parts p = { text, mobi_error_name(e),
				      mobi_error_file(e), mobi_error_payload(e),
				      e->payload_len };

	return mobi_error_make(e->rc, e->code, &p, e);
}

/* Are all its parts inside, and the texts ended? */
static bool is_whole(const struct mobi_error *e, uint64_t size)
{
	return e->text_len <= MOBI_ERROR_TEXT_MAX &&
	       e->name_len <= MOBI_ERROR_TEXT_MAX &&
	       e->file_len <= MOBI_ERROR_TEXT_MAX &&
	       mobi_error_bytes(e) == size;
}

/* The store had no room for more than its codes. */
static struct mobi_error *without_text(const struct mobi_error *e)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%s (no room for its text)",
		       mob_err_message(e->rc));
	return mobi_error_retold(e, text);
}

struct mobi_error *mobi_error_read(const struct mob_view *v)
{
	struct mobi_error head;
	struct mobi_error *e = NULL;

	if (v->type == MOB_TYPE_ERROR && v->size >= sizeof(head)) {
		memcpy(&head, v->at, sizeof(head));
		if (is_whole(&head, v->size)) {
			e = malloc(v->size);
			if (!e) {
				return take_spare(&head);
			}
			memcpy(e, v->at, v->size);
		}
	}
	if (e && !e->text_len && !e->name_len) {
		struct mobi_error *told = without_text(e);

		mobi_error_free(e);
		return told;
	}
	if (!e || e->text[e->text_len] || mobi_error_name(e)[e->name_len] ||
	    mobi_error_file(e)[e->file_len]) {
		free(e);
		return mobi_error_new(MOB_E_CORRUPT, MOB_E_CORRUPT,
				      "the error of the object cannot be read");
	}
	return e;
}

void mobi_error_pend(struct mobi_context *ctx, struct mobi_error *e)
{
	if (ctx->error) {
		mobi_error_free(e);
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
	uint64_t n = mobi_error_bytes(e);
	void *at;

	if (mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
		return false;
	}
	/* Nobody waits for an error to be made. A store that is full still has
	 * room inside the slot. */
	mobi_room_forbid();
	if (mobi_slot_value(s, id, n, MOB_TYPE_ERROR, &at) < 0) {
		struct mobi_error small = *e;

		n = sizeof(small) + 3; /* texts that are empty */
		if (mobi_slot_value(s, id, n, MOB_TYPE_ERROR, &at) < 0) {
			mobi_room_allow();
			mobi_gone_no_room(s, id);
			return mobi_slot_resolve(s, id, MOBI_S_LOST);
		}
		small.text_len = 0;
		small.name_len = 0;
		small.file_len = 0;
		small.payload_len = 0;
		memset(at, 0, n);
		memcpy(at, &small, sizeof(small));
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

	(void)snprintf(text, sizeof(text), "%s <- %s", e->text, name);
	return mobi_error_retold(e, text);
}

/* The error finds no place in the session; the first of a process is told. */
static struct mob_ref no_ref(const char *text)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&told)) {
		mobi_log(MOBI_LOG_ERROR,
			 "an error has no room in the session, so its ref is "
			 "MOB_REF_NONE: %s",
			 text);
	}
	return MOB_REF_NONE;
}

struct mob_ref mobi_error_ref(int rc)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_context *c = mobi_context();
	char text[MOBI_ERROR_TEXT_MAX + 1];
	struct mobi_error *e;
	uint64_t id;

	if (!s || !c || !mobi_load_relaxed(s->not_forked)) {
		return MOB_REF_NONE;
	}
	(void)snprintf(text, sizeof(text), "%s",
		       *mob_err_detail(rc) ? mob_err_detail(rc) :
					     mob_err_message(rc));
	e = mobi_error_new(rc, rc, text);
	if (mobi_slot_new(s, 0, &id) < 0) {
		mobi_error_free(e);
		return no_ref(text);
	}
	mobi_slot_unlock(s, id);
	(void)mobi_error_resolve(s, id, e);
	mobi_error_free(e);
	if (mobi_frame_add(c->frame, id, MOBI_HAS_HOLD) < 0) {
		(void)mobi_slot_release(s, id);
		return no_ref(text);
	}
	return mobi_ref_of(s, id);
}

/* ---- public ---- */

static void fail_with(int code, const void *payload, size_t size,
		      const char *fmt, va_list ap) MOB_PRINTF(4, 0);
static void fail_with(int code, const void *payload, size_t size,
		      const char *fmt, va_list ap)
{
	struct mobi_context *c = mobi_context();
	char text[MOBI_ERROR_TEXT_MAX + 1];
	struct mobi_error_parts p = { .text = text };
	int n;

	if (!c) {
		return;
	}
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0) {
		text[0] = '\0';
	}
	if (size > MOB_ERROR_PAYLOAD_MAX) {
		size_t len = strlen(text);

		/* The error is not lost for that. */
		(void)snprintf(text + len, sizeof(text) - len,
			       " (its payload of %zu bytes was left out: at "
			       "most %u)",
			       size, MOB_ERROR_PAYLOAD_MAX);
	} else if (payload) {
		p.payload = payload;
		p.payload_len = (uint32_t)size;
	}
	mobi_error_free(c->error);
	c->error = mobi_error_make(MOB_E_TASK, code ? code : MOB_E_TASK, &p,
				   NULL);
}

void mob_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_with(code, NULL, 0, fmt, ap);
	va_end(ap);
}

void mob_fail_with(int code, const void *payload, size_t size, const char *fmt,
		   ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_with(code, payload, size, fmt, ap);
	va_end(ap);
}

bool mob_error_info(struct mob_error_info *out)
{
	const struct mobi_context *c = mobi_context();
	const struct mobi_error *e = c ? c->error : NULL;
	struct mob_error_info i = { .struct_size = out->struct_size };
	size_t n = out->struct_size < sizeof(i) ? out->struct_size : sizeof(i);

	if (e) {
		i.rc = e->rc;
		i.code = e->code;
		i.attempt = e->attempt;
		i.pid = e->pid;
		i.worker = e->worker;
		i.line = e->line;
		i.text = e->text;
		i.task = mobi_error_name(e);
		i.file = mobi_error_file(e);
		i.payload = e->payload_len ? mobi_error_payload(e) : NULL;
		i.payload_size = e->payload_len;
	}
	memcpy(out, &i, n);
	return e != NULL;
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
		mobi_error_free(c->error);
		c->error = NULL;
	}
}
