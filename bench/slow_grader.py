"""Grades every answer by 20 ms of work that holds the interpreter, with the samples in flight asked for again and again.

Arguments: address, in flight, seconds.
"""

import asyncio
import json
import os
import sys
import time

import tinker
from tinker import types

url, in_flight, seconds = sys.argv[1], *map(int, sys.argv[2:4])

prompt = types.ModelInput.from_ints([(i * 7919) % 32_000 for i in range(512)])
params = types.SamplingParams(max_tokens=64)


def grade(tokens) -> float:
    start = time.perf_counter()
    total = 0
    while time.perf_counter() < start + 0.02:
        for token in tokens:
            total = (total + token) % 1009
    return total / 1009


async def main() -> None:
    service = tinker.ServiceClient(base_url=url)
    sampling = await service.create_sampling_client(base_model="bench/model")
    graded = 0
    start = time.perf_counter()

    async def rollouts() -> None:
        nonlocal graded
        while time.perf_counter() < start + seconds:
            answer = await sampling.sample(prompt=prompt, num_samples=1, sampling_params=params)
            grade(answer.sequences[0].tokens)
            graded += 1

    await asyncio.gather(*(rollouts() for _ in range(in_flight)))
    print(json.dumps({"rate": graded / (time.perf_counter() - start)}), flush=True)
    os._exit(0)


asyncio.run(main())
