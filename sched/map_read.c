/* SPDX-License-Identifier: Apache-2.0 */
/* Maps: reading results out of what a chunk has left. */
#include "map.h"

#include "err.h"
#include "error.h"
#include "get.h"
#include "object.h"
#include "unread.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

struct mobi_error *mobi_map_look(uint64_t id, struct mob_view *out_v)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_error *e;
	int rc = mobi_object_view(s, id, out_v);

	if (rc == MOB_E_TASK) {
		e = mobi_error_read(out_v);
		mobi_unread_seen(s, id);
		mob_view_release(s, out_v);
	} else if (rc < 0) {
		e = mobi_error_new(rc, rc, mob_err_detail(rc));
	} else {
		return NULL;
	}
	memset(out_v, 0, sizeof(*out_v));
	return e;
}

int mobi_map_pend(const struct mobi_error *e)
{
	mobi_error_pend(mobi_context(), mobi_error_retold(e, e->text));
	return mobi_err(e->rc, "%.400s", e->text);
}

static int bad_part(void)
{
	return mobi_error_pend_rc(mobi_err(MOB_E_CORRUPT, "the results of a "
							  "chunk are damaged"));
}

/* An item behind the row; false: there is none for call i. */
static bool item_at(struct mob_map *m, struct mobi_part_item *out,
		    const unsigned char **out_at)
{
	const unsigned char *at = m->view.at;

	if (m->view.size < sizeof(*out) ||
	    m->at > m->view.size - sizeof(*out)) {
		return false;
	}
	memcpy(out, at + m->at, sizeof(*out));
	*out_at = at + m->at + sizeof(*out);
	return out->index == m->i &&
	       out->len <= m->view.size - m->at - sizeof(*out);
}

/* Reads the value of call i out of a chunk. */
static int read_part(struct mob_map *m, const struct mob_type *type, void *out)
{
	const struct mob_type *ret = m->cur->def->rets[0];
	struct mobi_part head;
	struct mobi_part_item item;
	const unsigned char *at;
	const unsigned char *value = m->view.at;

	if (m->view.size < sizeof(head)) {
		return bad_part();
	}
	memcpy(&head, m->view.at, sizeof(head));
	if (head.n != m->cur->n || head.stride != (head.row ? ret->size : 0) ||
	    head.stride * head.n > m->view.size - sizeof(head)) {
		return bad_part();
	}
	if (m->i == 0) {
		m->at = mobi_up16(sizeof(head) + head.stride * head.n);
	}
	if (item_at(m, &item, &at)) {
		m->at += sizeof(item) + mobi_up16(item.len);
		value = at;
		if (item.failed) {
			struct mob_view v = { .at = at,
					      .size = item.len,
					      .type = MOB_TYPE_ERROR };
			struct mobi_error *e = mobi_error_read(&v);
			int rc = mobi_map_pend(e);

			mobi_error_free(e);
			return rc;
		}
	} else if (head.row) {
		value += sizeof(head) + (size_t)m->i * head.stride;
		item.len = head.stride;
	} else {
		return bad_part();
	}
	return type ? mobi_value_load(type, value, item.len, ret->id,
				      "mob_map_next", out) :
		      0;
}

int mobi_map_read(struct mob_map *m, const struct mob_type *type, void *out)
{
	int rc;

	if (m->error) {
		return mobi_map_pend(m->error);
	}
	if (m->view.type == mobi_type_mobi_map_part.id) {
		rc = read_part(m, type, out);
	} else if (type) {
		rc = mobi_get_load(mobi_context(), type, &m->view,
				   "mob_map_next", out);
	} else {
		rc = 0;
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}
