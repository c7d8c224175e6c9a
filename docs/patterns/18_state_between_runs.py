# SPDX-License-Identifier: Apache-2.0
import ray
from ray.dag import InputNode

AHEAD = 4

@ray.remote
class Loader:
    def load(self, i):
        return i * i

@ray.remote
class Adder:
    def __init__(self):
        self.total = 0  # the state of the loop; it goes with its actor

    def add(self, x):
        self.total += x
        return self.total

ray.init()
n = 10000

# Antipattern: the same tasks are submitted again for each round.
# total = ray.get(add.remote(total, load.remote(i)))

# Better approach: record them once, and keep a few runs in flight.
with InputNode() as i:
    dag = Adder.remote().add.bind(Loader.remote().load.bind(i))
graph = dag.experimental_compile(_max_inflight_executions=AHEAD)
running = []
for k in range(n):
    if len(running) == AHEAD:
        total = ray.get(running.pop(0))
    running.append(graph.execute(k))
for ref in running:
    total = ray.get(ref)

print(n, "runs, sum", total)
assert total == (n - 1) * n * (2 * n - 1) // 6
