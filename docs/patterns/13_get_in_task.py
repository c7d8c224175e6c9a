# SPDX-License-Identifier: Apache-2.0
import time
import ray

N = 1000

@ray.remote
def load(i):
    return i

@ray.remote
def add_one(x):
    return x + 1

# Antipattern: holds a worker while it waits for each step.
@ray.remote
def steps_got(i):
    x = ray.get(load.remote(i))
    return ray.get(add_one.remote(x))

# Better approach: the steps know each other; nobody waits.
@ray.remote
def steps_passed(i):
    return add_one.remote(load.remote(i))

ray.init()
start = time.perf_counter()
got = ray.get([steps_got.remote(i) for i in range(N)])
before = time.perf_counter() - start

start = time.perf_counter()
last = ray.get([steps_passed.remote(i) for i in range(N)])
passed = ray.get(last)
after = time.perf_counter() - start

wrong = sum(got[i] != i + 1 or passed[i] != i + 1 for i in range(N))
print(f"{2 * N} results, {wrong} wrong; with gets in tasks it takes "
      f"{before / after:.1f} times as long")
assert wrong == 0
