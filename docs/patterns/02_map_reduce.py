# SPDX-License-Identifier: Apache-2.0
import time
import ray

@ray.remote
def map(obj, f):
    return f(obj)

@ray.remote
def sum_results(*elements):
    return sum(elements)

# How many primes there are from 3000 i on, among 3000 numbers.
def map_func(i):
    n = 0
    for x in range(3000 * i, 3000 * i + 3000):
        d = 2
        while d * d <= x and x % d:
            d += 1
        n += x > 1 and d * d > x
    return n

ray.init()
start = time.perf_counter()
plain = sum(map_func(i) for i in range(100))
before = time.perf_counter() - start

start = time.perf_counter()
remote_elements = [map.remote(i, map_func) for i in range(100)]

# simple reduce
simple = ray.get(sum_results.remote(*remote_elements))

# tree reduce
intermediate_results = [
    sum_results.remote(*remote_elements[i * 20 : (i + 1) * 20])
    for i in range(5)]
tree = ray.get(sum_results.remote(*intermediate_results))
after = time.perf_counter() - start

print(f"simple {simple}, tree {tree}; one process takes {before / after:.1f} "
      "times as long")
assert plain == 25997 and simple == plain and tree == plain
