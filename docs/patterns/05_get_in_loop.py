# SPDX-License-Identifier: Apache-2.0
import time
import ray

@ray.remote
def f(i):
    time.sleep(0.001)
    return i

ray.init()

# Antipattern: no parallelism due to calling ray.get inside of the loop.
start = time.perf_counter()
returns = []
for i in range(100):
    returns.append(ray.get(f.remote(i)))
before = time.perf_counter() - start

# Better approach: parallelism because the tasks are spawned in parallel.
start = time.perf_counter()
refs = []
for i in range(100):
    refs.append(f.remote(i))
together = ray.get(refs)
after = time.perf_counter() - start

wrong = sum(returns[i] != i or together[i] != i for i in range(100))
print(f"100 results, {wrong} wrong; one by one takes {before / after:.1f} "
      "times as long")
assert wrong == 0
