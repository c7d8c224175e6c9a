# SPDX-License-Identifier: Apache-2.0
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
doubled_numbers = []
for i in numbers:
    doubled_numbers.append(ray.get(double.remote(i)))

# Better approach: use batching.
doubled_list_refs = []
BATCH_SIZE = 100
for i in range(0, len(numbers), BATCH_SIZE):
    batch = numbers[i : i + BATCH_SIZE]
    doubled_list_refs.append(double_list.remote(batch))
batched_numbers = []
for ref in doubled_list_refs:
    batched_numbers.extend(ray.get(ref))

wrong = 0
for i in numbers:
    wrong += doubled_numbers[i] != 2 * i or batched_numbers[i] != 2 * i
print(len(numbers), "numbers,", wrong, "wrong")
assert wrong == 0
