/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a submit: those of the call, and those of its function. */
#include "opts.h"

#include "err.h"
#include "sched_layout.h"

static const struct mob_task_opts initial = MOB_TASK_OPTS_INIT;

/* What a call does not say has its initial value. */
#define DEFAULT(field)                                                         \
	do {                                                                   \
		if (to->field == initial.field) {                              \
			to->field = d->field;                                  \
		}                                                              \
	} while (0)

static void add_retries(struct mob_task_opts *to, const struct mob_task_opts *d)
{
	DEFAULT(retries);
	/* What goes together is of one or of the other. */
	if (!to->retry_errors && !to->n_retry_codes && to->retries) {
		to->retry_errors = d->retry_errors;
		to->n_retry_codes = d->n_retry_codes;
		to->retry_codes = d->retry_codes;
	}
	if (!to->backoff_ns && !to->backoff_max_ns) {
		to->backoff_ns = d->backoff_ns;
		to->backoff_max_ns = d->backoff_max_ns;
	}
	DEFAULT(jitter);
	DEFAULT(max_calls);
}

static void add_limits(struct mob_task_opts *to, const struct mob_task_opts *d)
{
	DEFAULT(deadline_ns);
	DEFAULT(timeout_ns);
	DEFAULT(grace_ns);
	DEFAULT(soft_deadline);
	DEFAULT(stream_bytes);
	DEFAULT(stream_items);
	DEFAULT(stream_cancel);
}

static void add_wishes(struct mob_task_opts *to, const struct mob_task_opts *d)
{
	DEFAULT(cpus);
	DEFAULT(name);
	DEFAULT(priority);
	DEFAULT(policy_hint);
	DEFAULT(resources);
	DEFAULT(memory);
	DEFAULT(env);
	DEFAULT(cwd);
}

const struct mob_task_opts *mobi_opts_of(const struct mob_task_def *def,
					 const struct mob_task_opts *o,
					 struct mob_task_opts *space)
{
	if (!mobi_has_defaults(def)) {
		return o ? o : &initial;
	}
	if (!o || def->opts->struct_size != sizeof(*o)) {
		return def->opts;
	}
	/* Of another size: the check is to see it as it is. */
	if (o->struct_size != sizeof(*o) || o->alone) {
		return o;
	}
	*space = *o;
	add_retries(space, def->opts);
	add_limits(space, def->opts);
	add_wishes(space, def->opts);
	return space;
}

void mobi_opts_copy(const struct mob_task_def *def,
		    const struct mob_task_opts *o, struct mob_task_opts *out)
{
	const struct mob_task_opts *e = mobi_opts_of(def, o, out);

	if (e->struct_size != sizeof(*e)) {
		*out = initial;
		out->struct_size = e->struct_size;
	} else if (e != out) {
		*out = *e;
	}
	out->alone = out->alone ? out->alone : 1;
}

int mobi_opts_check(const struct mob_task_opts *o)
{
	if (o->struct_size != sizeof(*o)) {
		return mobi_err(MOB_E_VERSION,
				"mob_submit: options of %u bytes; this library "
				"knows %zu; start from MOB_OPTS",
				o->struct_size, sizeof(*o));
	}
	if (!(o->cpus >= 0.0 && o->cpus <= 1024.0)) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: cpus is %g; 0 to 1024", o->cpus);
	}
	if (o->cpus > 0.0 && o->cpus * MOBI_CPU_UNIT < 1.0) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: cpus is %g; 0, or at least "
				"1/%u",
				o->cpus, MOBI_CPU_UNIT);
	}
	if (o->retries < -1 || o->retries > 254) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: retries is %d; 0 to 254, or -1 "
				"for ever",
				o->retries);
	}
	if (o->alone > 1 || o->reserved) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: alone is %u, reserved %u; 0 or 1, "
				"and 0",
				o->alone, o->reserved);
	}
	return 0;
}
