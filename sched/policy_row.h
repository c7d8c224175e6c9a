/* SPDX-License-Identifier: Apache-2.0 */
/* Policies that a session knows, by row; row 0 is the compiled-in fallback. */
#ifndef MOBI_POLICY_ROW_H
#define MOBI_POLICY_ROW_H

#include "policy.h"
#include "segment.h"

/* The policy of a row, loaded in this process at first use. */
int mobi_policy_row_get(struct mob_store *s, uint32_t row,
			struct mobi_policy *out_policy);
/* Is a policy tried in a process of its own before it is let in? */
enum mobi_policy_trial {
	MOBI_POLICY_NO_TRIAL,
	MOBI_POLICY_TRIAL_UNLESS_OURS, /* those that come with the library */
	MOBI_POLICY_TRIAL
};
/* Gives a policy a row. MOB_E_BUSY: it has one, and its file is another now. */
int mobi_policy_row_add(struct mob_store *s, const char *name_or_path,
			enum mobi_policy_trial check, uint32_t *out_row);
/* Forgets what was loaded for a session that was left. */
void mobi_policy_rows_forget(void);

#endif /* MOBI_POLICY_ROW_H */
