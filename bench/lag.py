"""How late a sleep of 10 ms is while samples are in flight. Arguments: address, in flight, seconds."""

import asyncio
import json
import os
import sys
import time

import tinker
from tinker import types

url, in_flight, seconds = sys.argv[1], *map(int, sys.argv[2:4])
INTERVAL = 0.01
# Of each run the first third is the warm-up.
warm_up = seconds / 3

prompt = types.ModelInput.from_ints([(i * 7919) % 32_000 for i in range(512)])
params = types.SamplingParams(max_tokens=64)


async def main() -> None:
    service = tinker.ServiceClient(base_url=url)
    sampling = await service.create_sampling_client(base_model="bench/model")
    samples = 0

    async def ask() -> None:
        nonlocal samples
        while True:
            await sampling.sample(prompt=prompt, num_samples=1, sampling_params=params)
            samples += 1

    tasks = [asyncio.create_task(ask()) for _ in range(in_flight)]
    await asyncio.sleep(warm_up)
    samples = 0
    start = time.perf_counter()
    late = []
    while time.perf_counter() < start + seconds - warm_up:
        due = time.perf_counter() + INTERVAL
        await asyncio.sleep(INTERVAL)
        late.append(1000 * (time.perf_counter() - due))
    rate = samples / (time.perf_counter() - start)
    late.sort()
    print(json.dumps({"p99": late[int(0.99 * len(late))], "worst": late[-1], "rate": rate}), flush=True)
    # Cancelling so many tasks takes longer than the measurement.
    os._exit(0)


asyncio.run(main())
