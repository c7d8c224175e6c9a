/* SPDX-License-Identifier: Apache-2.0 */
/* Names as they are listed. No transaction is open while anybody is called. */
#include "name_rows.h"

#include "err.h"

#include <stdio.h>
#include <stdlib.h>

#define LIST_NAMES 256u

struct listed {
	char name[MOB_NAME_MAX + 1];
	struct mobi_name_row row;
};

/* Copies names from `from` on (behind it, if `after`) that begin with a prefix.
 * How many, or an error of ours. */
static int list_some(struct mob_store *s, const char *prefix, const char *from,
		     bool after, struct listed *out)
{
	size_t n_prefix = strlen(prefix);
	MDB_val key = mobi_val(from, strlen(from));
	MDB_val val;
	MDB_txn *txn;
	MDB_cursor *cur;
	int n = 0;
	int rc = mobi_cat_begin(s->cat, MDB_RDONLY, &txn);

	if (rc < 0) {
		return rc;
	}
	rc = mdb_cursor_open(txn, s->cat->env->name, &cur);
	if (!rc) {
		rc = key.mv_size ?
			     mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE) :
			     mdb_cursor_get(cur, &key, &val, MDB_FIRST);
		if (!rc && after && key.mv_size == strlen(from) &&
		    !memcmp(key.mv_data, from, key.mv_size)) {
			rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT);
		}
		while (!rc && n < (int)LIST_NAMES && key.mv_size >= n_prefix &&
		       !memcmp(key.mv_data, prefix, n_prefix)) {
			if (key.mv_size > MOB_NAME_MAX ||
			    val.mv_size != sizeof(out[n].row)) {
				rc = MDB_CORRUPTED;
				break;
			}
			memcpy(out[n].name, key.mv_data, key.mv_size);
			out[n].name[key.mv_size] = '\0';
			memcpy(&out[n].row, val.mv_data, sizeof(out[n].row));
			n++;
			rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT);
		}
		mdb_cursor_close(cur);
	}
	mdb_txn_abort(txn);
	mobi_cat_leave(s->cat, rc);
	return rc && rc != MDB_NOTFOUND ? mobi_cat_fail(rc, "mob_name_list") :
					  n;
}

int mob_name_list(struct mob_store *store, const char *prefix,
		  int (*fn)(const struct mob_name_info *info, void *arg),
		  void *arg)
{
	char from[MOB_NAME_MAX + 1] = "";
	struct listed *some;
	bool after = false;
	int n;
	int rc = 0;

	MOBI_ENTER(store);
	prefix = prefix ? prefix : "";
	if (strlen(prefix) > MOB_NAME_MAX) {
		return 0;
	}
	some = calloc(LIST_NAMES, sizeof(*some));
	if (!some) {
		return mobi_err(MOB_E_NOMEM, "mob_name_list: out of memory");
	}
	(void)snprintf(from, sizeof(from), "%s", prefix);
	do {
		n = list_some(store, prefix, from, after, some);
		for (int i = 0; i < n && !rc; i++) {
			uint64_t id = mobi_name_id(&some[i].row);
			struct mob_name_info info = {
				.name = some[i].name,
				.ref = mobi_ref_of(store, id),
				.version = some[i].row.version,
				.state = (uint32_t)mob_object_state(
					store, mobi_ref_of(store, id)),
			};

			/* One that a kill left is as good as removed. */
			if (info.state != MOB_OBJECT_GONE) {
				rc = fn(&info, arg);
			}
		}
		if (n > 0) {
			(void)snprintf(from, sizeof(from), "%s",
				       some[n - 1].name);
			after = true;
		}
	} while (!rc && n == (int)LIST_NAMES);
	free(some);
	return n < 0 ? n : rc;
}

int mob_object_kept(struct mob_store *store, struct mob_ref ref,
		    uint32_t *out_names, uint32_t *out_pins)
{
	struct mobi_keep_row row;
	MDB_txn *txn;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	rc = mobi_slot_of(store, ref, &id);
	if (rc >= 0) {
		rc = mobi_cat_begin(store->cat, MDB_RDONLY, &txn);
	}
	if (rc < 0) {
		return rc;
	}
	rc = mobi_keep_read(txn, store->cat->env->keep, id, &row);
	mdb_txn_abort(txn);
	mobi_cat_leave(store->cat, rc);
	if (rc) {
		return mobi_cat_fail(rc, "mob_object_kept");
	}
	*out_names = row.names;
	*out_pins = row.pins;
	return 0;
}
