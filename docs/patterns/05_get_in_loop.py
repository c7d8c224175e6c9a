# SPDX-License-Identifier: Apache-2.0
import ray

@ray.remote
def f(i):
    return i

ray.init()

# Antipattern: no parallelism due to calling ray.get inside of the loop.
returns = []
for i in range(100):
    returns.append(ray.get(f.remote(i)))

# Better approach: parallelism because the tasks are spawned in parallel.
refs = []
for i in range(100):
    refs.append(f.remote(i))
together = ray.get(refs)

wrong = sum(returns[i] != i or together[i] != i for i in range(100))
print("100 results,", wrong, "wrong")
assert wrong == 0
