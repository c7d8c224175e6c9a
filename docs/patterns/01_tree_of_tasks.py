# SPDX-License-Identifier: Apache-2.0
import random
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
result = ray.get(quick_sort_distributed.remote(unsorted))
assert result == sorted(unsorted)
print(len(result), "numbers, sorted")
