/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of what the processes of a session have counted (record.c). */
#include "inspect.h"
#include "record.h"

#include <string.h>

static void add_histogram(struct mob_histogram *to, const mobi_a64 *bucket,
			  const mobi_a64 *sum)
{
	for (uint32_t i = 0; i < MOB_HISTOGRAM_BUCKETS; i++) {
		to->bucket[i] += mobi_load(&bucket[i]);
	}
	to->sum_ns += mobi_load(sum);
}

int mob_session_metrics(struct mob_session *session,
			struct mob_metrics *io_metrics)
{
	struct mob_metrics m;
	int rc = mobi_session_check(session, "mob_session_metrics");

	if (rc < 0) {
		return rc;
	}
	memset(&m, 0, sizeof(m));
	for (uint32_t c = 1; c < MOBI_CLIENTS; c++) {
		const struct mobi_record_head *h = mobi_record_at(session->s,
								  c);

		for (uint32_t r = 0; h && r < MOBI_COUNT_ROWS; r++) {
			const struct mobi_meter *k = &h->meter[r];

			for (uint32_t i = 0; i < MOBI_METER_KINDS; i++) {
				m.events[i] += mobi_load(&k->n[i]);
			}
			add_histogram(&m.wait, k->wait, &k->wait_ns);
			add_histogram(&m.run, k->run, &k->run_ns);
		}
	}
	return mobi_session_fill("mob_session_metrics", io_metrics, &m,
				 (uint32_t)sizeof(m));
}
