/* SPDX-License-Identifier: Apache-2.0 */
/* Huge pages of the arena. */
#include "huge.h"

#include "conf.h"
#include "err.h"
#include "os_dir.h"
#include "os_huge.h"

#include <stdio.h>
#include <string.h>

#define WHY 512

/* Does the configuration let a process ask for them? 0: no, 1, or INVAL. */
static int is_let(void)
{
	const char *text;
	int rc = mobi_conf_str(MOBI_CONF_ID_huge_pages, &text);

	if (rc >= 0 && strcmp(text, "auto") == 0) {
		return 1;
	}
	if (rc >= 0 && strcmp(text, "off") != 0) {
		rc = mobi_err(MOB_E_INVAL,
			      "MOBULA_HUGE_PAGES is '%.80s'; it must be auto "
			      "or off",
			      text);
	}
	return rc < 0 ? rc : 0;
}

int mobi_huge_use(struct mob_store *s)
{
	struct mobi_huge_facts facts;
	char why[WHY];
	int rc = is_let();

	if (rc == 1) {
		mobi_huge_look(s->arena_fd, &facts);
		if (mobi_huge_decide(&facts, why, sizeof(why)) !=
		    MOBI_HUGE_NONE) {
			mobi_arena_use_huge(s->arena, facts.page_bytes);
		}
	}
	return rc < 0 ? rc : 0;
}

int mobi_huge_check_dir(const char *dir)
{
	struct mobi_huge_facts facts;
	char why[WHY];
	int fd = mobi_dir_open(dir);

	if (fd < 0) {
		return 0; /* whoever needs it next says what is wrong */
	}
	mobi_huge_look(fd, &facts);
	mobi_fd_close(fd);
	return mobi_huge_decide(&facts, why, sizeof(why)) == MOBI_HUGE_ONLY ?
		       mobi_err(MOB_E_UNSUPPORTED, "%s", why) :
		       0;
}

int mob_store_huge_pages(struct mob_store *store, uint64_t *out_bytes,
			 char *out_why, size_t why_size)
{
	struct mobi_huge_facts facts;
	enum mobi_huge huge;
	int rc;

	MOBI_ENTER(store);
	rc = is_let();
	if (rc < 0) {
		return rc;
	}
	mobi_huge_look(store->arena_fd, &facts);
	huge = mobi_huge_decide(&facts, out_why, why_size);
	if (huge == MOBI_HUGE_ASKED && rc == 0) {
		(void)snprintf(out_why, why_size, "MOBULA_HUGE_PAGES is off");
	}
	*out_bytes = huge == MOBI_HUGE_NONE ?
			     0 :
			     mobi_arena_huge_bytes(store->arena,
						   facts.page_bytes);
	return 0;
}
