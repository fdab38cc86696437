"""Cancels all samples in flight, and prints how long the server still had open requests, in milliseconds.

Arguments: address of a server that holds its answers, in flight, how often, milliseconds after which it is given up.
"""

import asyncio
import json
import sys
import time
import urllib.request

import tinker
from tinker import types

url, in_flight, times, patience = sys.argv[1], *map(int, sys.argv[2:5])

prompt = types.ModelInput.from_ints([(i * 7919) % 32_000 for i in range(512)])
params = types.SamplingParams(max_tokens=64)


def stats():
    return json.load(urllib.request.urlopen(url + "/stats"))


async def main() -> None:
    service = tinker.ServiceClient(base_url=url)
    sampling = await service.create_sampling_client(base_model="bench/model")

    async def ask():
        return await sampling.sample(prompt=prompt, num_samples=1, sampling_params=params)

    milliseconds = []
    for _ in range(times):
        tasks = [asyncio.create_task(ask()) for _ in range(in_flight)]
        while stats()["open"] < in_flight:
            await asyncio.sleep(0.02)
        start = 1000 * time.time()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while (now := stats())["open"] > 0 and 1000 * time.time() < start + patience:
            await asyncio.sleep(0.02)
        if now["open"] > 0:
            milliseconds.append(patience)
            break
        milliseconds.append(now["idleSince"] - start)
    print(json.dumps(milliseconds), flush=True)


asyncio.run(main())
