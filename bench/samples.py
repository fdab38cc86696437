"""Samples without pause, so many in flight at once, and prints what they cost this process.

Arguments: address, in flight, samples of the warm-up, samples measured.
"""

import asyncio
import json
import sys
import time

import tinker
from tinker import types

url, in_flight, warm_up, samples = sys.argv[1], *map(int, sys.argv[2:5])

prompt = types.ModelInput.from_ints([(i * 7919) % 32_000 for i in range(512)])
params = types.SamplingParams(max_tokens=64)


async def main() -> None:
    service = tinker.ServiceClient(base_url=url)
    sampling = await service.create_sampling_client(base_model="bench/model")

    async def run(total: int) -> None:
        left = total

        async def ask() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                answer = await sampling.sample(prompt=prompt, num_samples=1, sampling_params=params)
                assert len(answer.sequences[0].tokens) == 64

        await asyncio.gather(*(ask() for _ in range(in_flight)))

    await run(warm_up)
    cpu, start = time.process_time(), time.perf_counter()
    await run(samples)
    print(
        json.dumps(
            {
                "cpu": 1000 * (time.process_time() - cpu) / samples,
                "rate": samples / (time.perf_counter() - start),
            }
        )
    )


asyncio.run(main())
