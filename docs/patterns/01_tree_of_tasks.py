# SPDX-License-Identifier: Apache-2.0
import random
import time
import ray

def partition(collection):
    # Use the last element as the first pivot
    pivot = collection.pop()
    greater, lesser = [], []
    for element in collection:
        if element > pivot:
            greater.append(element)
        else:
            lesser.append(element)
    return lesser, pivot, greater

@ray.remote
def quick_sort_distributed(collection):
    # Tiny tasks are an antipattern.
    if len(collection) <= 200000: # magic number
        return sorted(collection)
    lesser, pivot, greater = partition(collection)
    lesser = quick_sort_distributed.remote(lesser)
    greater = quick_sort_distributed.remote(greater)
    return ray.get(lesser) + [pivot] + ray.get(greater)

ray.init()
unsorted = [random.randrange(1000000) for _ in range(4000000)]
start = time.perf_counter()
result = ray.get(quick_sort_distributed.remote(unsorted))
after = time.perf_counter() - start

start = time.perf_counter()
expected = sorted(unsorted)
before = time.perf_counter() - start
print(f"{len(result)} numbers, sorted; one process takes {before / after:.1f} "
      "times as long")
assert result == expected
