/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of workers. */
#include "worker_limits.h"

#include "conf.h"
#include "err.h"
#include "os_clock.h"
#include "os_proc.h"
#include "sched_layout.h"

#include <mobula/types.h>

#include <stdio.h>

#define LOOK_NS (100 * (uint64_t)MOB_MS)

int mobi_worker_limits_init(struct mob_store *s)
{
	struct mobi_worker_limits *l =
		&((struct mobi_sched *)s->sched)->worker_limits;
	struct mobi_limits parsed;
	const char *text;
	int rc = mobi_conf_u64(MOBI_CONF_ID_worker_memory, &l->memory);

	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_worker_memory_max,
				   &l->memory_max);
	}
	if (rc >= 0) {
		rc = mobi_conf_str(MOBI_CONF_ID_worker_limits, &text);
	}
	if (rc >= 0) {
		rc = mobi_limits_parse(text, &parsed);
	}
	if (rc >= 0) {
		(void)snprintf(l->text, sizeof(l->text), "%s", text);
	}
	return rc;
}

bool mobi_worker_leaks(const struct mob_store *s)
{
	static uint64_t looked;
	const struct mobi_sched *sh = s->sched;
	uint64_t now;

	if (!sh->worker_limits.memory) {
		return false;
	}
	now = mobi_coarse_ns();
	if (now - looked < LOOK_NS) {
		return false;
	}
	looked = now;
	return mobi_own_bytes((int)mobi_proc_self().pid) >
	       sh->worker_limits.memory;
}

void mobi_worker_limit_kill(struct mob_store *s, uint32_t place)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_place_shared *p = &sh->place[place];
	uint32_t c = mobi_load(&p->client);
	uint64_t has;

	if (!c || c >= MOBI_CLIENTS) {
		return;
	}
	has = mobi_own_bytes((int)s->clients[c].proc.pid);
	if (has > sh->worker_limits.memory_max) {
		mobi_store(&p->fault_addr, has);
		mobi_store(&p->fault, (uint32_t)MOBI_FAULT_LIMIT);
		(void)mobi_proc_signal(&s->clients[c].proc, 9);
	}
}
