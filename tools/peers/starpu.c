/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of StarPU, on two workers beside the caller. A task cannot wait for another
 * one, so there is no nesting; its workers never sleep. */
#define _GNU_SOURCE
#include "peer.h"
#include "tasks.h"

#include <starpu.h>

#include <stdatomic.h>
#include <stdlib.h>

static struct {
	void (*task)(void *arg); /* that is given */
	void *arg;
	int32_t *out;
	uint64_t ns;
	int64_t length;
	_Atomic bool open;
} now;

/* ---- codelets: the argument of a task is a number, as a pointer ---- */

static void do_given(void *buffers[], void *arg)
{
	(void)buffers;
	(void)arg;
	now.task(now.arg);
}

static void do_empty(void *buffers[], void *arg)
{
	(void)buffers;
	now.out[(uintptr_t)arg] = (int32_t)(uintptr_t)arg;
}

static void do_spin(void *buffers[], void *arg)
{
	(void)buffers;
	(void)arg;
	peer_spin(now.ns);
}

static void do_wait(void *buffers[], void *arg)
{
	(void)buffers;
	(void)arg;
	while (!atomic_load(&now.open)) {
	}
}

static void do_link(void *buffers[], void *arg)
{
	(void)arg;
	++*(int64_t *)STARPU_VARIABLE_GET_PTR(buffers[0]);
}

static struct starpu_codelet given = { .cpu_funcs = { do_given } };
static struct starpu_codelet plain = { .cpu_funcs = { do_empty } };
static struct starpu_codelet spinning = { .cpu_funcs = { do_spin } };
/* They follow each other, as they write the same variable. */
static struct starpu_codelet gate = { .cpu_funcs = { do_wait },
				      .nbuffers = 1,
				      .modes = { STARPU_RW } };
static struct starpu_codelet link_of_chain = { .cpu_funcs = { do_link },
					       .nbuffers = 1,
					       .modes = { STARPU_RW } };

static void submit(struct starpu_codelet *cl, uintptr_t arg,
		   starpu_data_handle_t handle)
{
	struct starpu_task *t = starpu_task_create();

	t->cl = cl;
	t->cl_arg = (void *)arg;
	t->handles[0] = handle;
	if (starpu_task_submit(t)) {
		abort(); /* there is no worker for it */
	}
}

/* ---- what the cases call ---- */

static bool begin(void)
{
	struct starpu_conf conf;

	/* Its files go with the place. */
	if (setenv("STARPU_HOME", peer_place, 1) ||
	    setenv("STARPU_SILENT", "1", 1) || starpu_conf_init(&conf)) {
		return false;
	}
	conf.ncpus = 2;
	conf.ncuda = 0;
	conf.nopencl = 0;
	return starpu_init(&conf) == 0;
}

static void end(void)
{
	if (starpu_is_initialized()) {
		starpu_shutdown();
	}
}

static void inside(void (*body)(void *arg), void *arg)
{
	body(arg);
	(void)starpu_task_wait_for_all();
}

static void give(void (*task)(void *arg), void *arg)
{
	now.task = task;
	now.arg = arg;
	submit(&given, 0, NULL);
}

static void empty(size_t n, int32_t *out)
{
	now.out = out;
	for (size_t i = 0; i < n; i++) {
		submit(&plain, i, NULL);
	}
	(void)starpu_task_wait_for_all();
}

static void spin(size_t n, uint64_t ns)
{
	now.ns = ns;
	for (size_t i = 0; i < n; i++) {
		submit(&spinning, 0, NULL);
	}
	(void)starpu_task_wait_for_all();
}

static int64_t chain(int32_t n, uint64_t *out_ns)
{
	starpu_data_handle_t handle;
	uint64_t t;

	now.length = 0;
	atomic_store(&now.open, false);
	starpu_variable_data_register(&handle, STARPU_MAIN_RAM,
				      (uintptr_t)&now.length,
				      sizeof(now.length));
	submit(&gate, 0, handle);
	for (int32_t i = 0; i < n; i++) {
		submit(&link_of_chain, 0, handle);
	}
	t = bench_now();
	atomic_store(&now.open, true);
	(void)starpu_task_wait_for_all();
	*out_ns = bench_now() - t;
	starpu_data_unregister(handle);
	return now.length;
}

int main(int argc, char **argv)
{
	static const struct peer_tasks ops = { .begin = begin,
					       .end = end,
					       .inside = inside,
					       .give = give,
					       .empty = empty,
					       .spin = spin,
					       .chain = chain,
					       .caller_sleeps = true };

	return peer_tasks_main(argc, argv, &ops);
}
