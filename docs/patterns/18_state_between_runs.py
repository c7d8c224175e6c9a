# SPDX-License-Identifier: Apache-2.0
import time

import ray
from ray.dag import InputNode

N = 10000
AHEAD = 4

@ray.remote
def load(i):
    return i * i

@ray.remote
def add(total, x):
    return total + x

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

def run_submitted():
    total = 0
    for i in range(N):
        total = ray.get(add.remote(total, load.remote(i)))
    return total

def run_recorded():
    with InputNode() as i:
        dag = Adder.remote().add.bind(Loader.remote().load.bind(i))
    graph = dag.experimental_compile(_max_inflight_executions=AHEAD)
    running = []
    for k in range(N):
        if len(running) == AHEAD:
            total = ray.get(running.pop(0))
        running.append(graph.execute(k))
    for ref in running:
        total = ray.get(ref)
    return total

ray.init()
start = time.perf_counter()
a = run_submitted()
before = time.perf_counter() - start
start = time.perf_counter()
b = run_recorded()
after = time.perf_counter() - start
print(f"{N} runs, sums {a} {b}; submitting each takes "
      f"{before / after:.0f} times as long")
assert a == b == (N - 1) * N * (2 * N - 1) // 6
