/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of oneTBB: task_group, and a flow graph for the chain. */
extern "C" {
#include "tasks.h"
}

#include <chrono>
#include <memory>
#include <vector>

#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

namespace
{

std::unique_ptr<tbb::global_control> two;
std::unique_ptr<tbb::task_arena> arena;

bool begin()
{
	two = std::make_unique<tbb::global_control>(
		tbb::global_control::max_allowed_parallelism, 2);
	arena = std::make_unique<tbb::task_arena>(2);
	return true;
}

void end()
{
	arena.reset();
	two.reset();
}

void inside(void (*body)(void *arg), void *arg)
{
	arena->execute([=] { body(arg); });
}

/* What is enqueued is the workers'. */
void give(void (*task)(void *arg), void *arg)
{
	arena->enqueue([=] { task(arg); });
}

void empty(size_t n, int32_t *out)
{
	tbb::task_group g;

	for (size_t i = 0; i < n; i++) {
		g.run([=] { out[i] = static_cast<int32_t>(i); });
	}
	g.wait();
}

void spin(size_t n, uint64_t ns)
{
	tbb::task_group g;

	for (size_t i = 0; i < n; i++) {
		g.run([=] { peer_spin(ns); });
	}
	g.wait();
}

/* It calls itself: that is what is measured. */
int64_t nested(int32_t depth)
{
	int64_t below = 0;

	if (depth > 0) {
		tbb::task_group g;

		g.run([&] { below = nested(depth - 1) + 1; });
		g.wait();
	}
	return below;
}

/* The calling task is the root. */
int64_t tree(int32_t depth)
{
	int64_t left = 0;
	int64_t right = 0;

	if (depth > 0) {
		tbb::task_group g;

		g.run([&] { left = tree(depth - 1); });
		g.run([&] { right = tree(depth - 1); });
		g.wait();
	}
	return left + right + 1;
}

/* The graph is there before its first node runs. */
int64_t chain(int32_t n, uint64_t *out_ns)
{
	using node = tbb::flow::continue_node<tbb::flow::continue_msg>;
	using clock = std::chrono::steady_clock;
	tbb::flow::graph g;
	std::vector<std::unique_ptr<node>> nodes;
	int64_t length = 0;

	for (int32_t i = 0; i < n; i++) {
		nodes.push_back(std::make_unique<node>(
			g, [&](const tbb::flow::continue_msg &m) {
				length++;
				return m;
			}));
		if (i > 0) {
			tbb::flow::make_edge(*nodes[i - 1], *nodes[i]);
		}
	}
	auto t = clock::now();
	nodes[0]->try_put(tbb::flow::continue_msg());
	g.wait_for_all();
	*out_ns = std::chrono::nanoseconds(clock::now() - t).count();
	return length;
}

} // namespace

int main(int argc, char **argv)
{
	const peer_tasks ops = { begin, end,	inside, give, empty,
				 spin,	nested, tree,	chain, false, false };

	return peer_tasks_main(argc, argv, &ops);
}
