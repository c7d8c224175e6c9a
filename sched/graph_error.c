/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of runs. Each runner has room for one in each lane, and nobody else writes
 * there. Its bit in `failed` says that it is whole; it comes before any node of that
 * run is FAILED, so who comes upon such a node finds an error. A runner that died in
 * between is run again, and takes the bit away if no node is FAILED by it.
 */
#include "graph.h"

#include "error.h"
#include "fault.h"
#include "os_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mobi_graph_error *room_of(const struct mobi_graph_head *h,
					uint32_t lane, uint32_t runner)
{
	struct mobi_graph_error *e = mobi_graph_in(mobi_graph_lane(h, lane),
						   h->error);

	return &e[runner];
}

/* Runners that have an error of a run. */
static uint32_t who_failed(const struct mobi_graph_head *h, uint32_t lane,
			   uint32_t run)
{
	uint64_t w = mobi_load(&mobi_graph_lane(h, lane)->failed);

	return w >> 32 == run ? (uint32_t)w : 0;
}

bool mobi_graph_failed(const struct mobi_graph_head *h, uint32_t lane,
		       uint32_t run, struct mobi_error **out_e)
{
	uint32_t who = who_failed(h, lane, run);
	const struct mobi_graph_error *first = NULL;
	struct mob_view v = { .type = MOB_TYPE_ERROR };

	*out_e = NULL;
	if (!who) {
		return false;
	}
	for (; who; who &= who - 1) {
		const struct mobi_graph_error *e =
			room_of(h, lane, (uint32_t)__builtin_ctz(who));

		if (!first || e->at_ns < first->at_ns) {
			first = e;
		}
	}
	v.at = first->bytes;
	v.size = first->size <= sizeof(first->bytes) ? first->size : 0;
	*out_e = mobi_error_read(&v);
	return true;
}

/* Without its payload, which does not fit. */
static struct mobi_error *without_payload(const struct mobi_error *e)
{
	char text[MOBI_ERROR_TEXT_MAX + 1];
	struct mobi_error_parts p = { .text = text,
				      .name = mobi_error_name(e),
				      .file = mobi_error_file(e) };

	(void)snprintf(text, sizeof(text),
		       "%s (its payload of %u bytes was left out: it was of a "
		       "graph)",
		       e->text, e->payload_len);
	return mobi_error_make(e->rc, e->code, &p, e);
}

void mobi_graph_fail(const struct mobi_graph_run *r, uint32_t lane,
		     uint32_t run, const struct mobi_error *e)
{
	struct mobi_graph_lane *l = mobi_graph_lane(r->h, lane);
	struct mobi_graph_error *to = room_of(r->h, lane, r->me);
	static const struct mobi_error nothing = { .rc = MOB_E_NOMEM,
						   .code = MOB_E_NOMEM };
	struct mobi_error *less = NULL;
	uint64_t w = mobi_load(&l->failed);
	uint64_t bit = MOBI_BIT(r->me);

	if (who_failed(r->h, lane, run) & bit) {
		return;
	}
	if (e && mobi_error_bytes(e) > sizeof(to->bytes)) {
		less = without_payload(e);
		e = less;
	}
	to->at_ns = mobi_now_ns();
	if (e && mobi_error_bytes(e) <= sizeof(to->bytes)) {
		to->size = mobi_error_bytes(e);
		memcpy(to->bytes, e, to->size);
	} else {
		to->size = sizeof(nothing) + 3; /* texts that are empty */
		memset(to->bytes, 0, to->size);
		memcpy(to->bytes, &nothing, sizeof(nothing));
	}
	mobi_error_free(less);
	MOBI_FAULT("graph.error");
	while (!mobi_cas64(&l->failed, &w,
			   (w >> 32 == run ? w : (uint64_t)run << 32) | bit)) {
	}
	MOBI_FAULT("graph.failed");
}

void mobi_graph_unfail(const struct mobi_graph_run *r, uint32_t lane,
		       uint32_t run)
{
	struct mobi_graph_lane *l = mobi_graph_lane(r->h, lane);
	uint64_t w = mobi_load(&l->failed);

	while (w >> 32 == run && (w & MOBI_BIT(r->me)) &&
	       !mobi_cas64(&l->failed, &w, w & ~MOBI_BIT(r->me))) {
	}
}
