# SPDX-License-Identifier: Apache-2.0
import time
import ray

@ray.remote
def double(number):
    return number * 2

@ray.remote
def double_list(list_of_numbers):
    return [number * 2 for number in list_of_numbers]

ray.init()
numbers = list(range(10000))

# Antipattern: a task for each number, and wait for each.
start = time.perf_counter()
doubled_numbers = []
for i in numbers:
    doubled_numbers.append(ray.get(double.remote(i)))
before = time.perf_counter() - start

# Better approach: use batching.
start = time.perf_counter()
doubled_list_refs = []
BATCH_SIZE = 100
for i in range(0, len(numbers), BATCH_SIZE):
    batch = numbers[i : i + BATCH_SIZE]
    doubled_list_refs.append(double_list.remote(batch))
batched_numbers = []
for ref in doubled_list_refs:
    batched_numbers.extend(ray.get(ref))
after = time.perf_counter() - start

wrong = 0
for i in numbers:
    wrong += doubled_numbers[i] != 2 * i or batched_numbers[i] != 2 * i
print(f"{len(numbers)} numbers, {wrong} wrong; a task for each takes "
      f"{before / after:.1f} times as long")
assert wrong == 0
