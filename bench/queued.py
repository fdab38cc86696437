"""Many prompts at once, all submitted, while the server answers none, and what memory they take.

Arguments: address, number of prompts, and `trace` to count Python's own allocations, which takes long.
"""

import json
import os
import resource
import sys
import time
import tracemalloc

import tinker
from tinker import types

url, total, trace = sys.argv[1], int(sys.argv[2]), "trace" in sys.argv
MIB = 2**20

params = types.SamplingParams(max_tokens=64)
# The prompts share their numbers; each has a list of its own.
vocabulary = list(range(32_000))
prompts = [
    types.ModelInput.from_ints([vocabulary[(seed + i * 7919) % 32_000] for i in range(512)])
    for seed in range(total)
]
sampling = tinker.ServiceClient(base_url=url).create_sampling_client(base_model="bench/model").result()


def rss() -> float:
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / MIB


before = rss()
if trace:
    tracemalloc.start()
start = time.perf_counter()
futures = [sampling.sample(prompt=prompt, num_samples=1, sampling_params=params) for prompt in prompts]
# Until the SDK's thread has sent what it is going to send and does nothing any more.
while True:
    cpu = time.process_time()
    time.sleep(2)
    if time.process_time() - cpu < 0.2:
        break
print(
    json.dumps(
        {
            "rss": rss() - before,
            "live": tracemalloc.get_traced_memory()[0] / MIB if trace else None,
            "prompts": total,
            "seconds": time.perf_counter() - start,
        }
    ),
    flush=True,
)
os._exit(0)
