"""Training steps, two of them submitted ahead of the one that is awaited, and prints what they cost this process.

Arguments: address, steps of the warm-up, steps measured.
"""

import asyncio
import collections
import json
import sys
import time

import numpy as np
import tinker
from tinker import types

url, warm_up, steps = sys.argv[1], *map(int, sys.argv[2:4])
ROWS, LENGTH, AHEAD = 8, 1024, 2

tokens = [(i * 7919) % 32_000 for i in range(LENGTH + 1)]
targets = np.array(tokens[1:], dtype=np.int64)
weights = np.ones(LENGTH, dtype=np.float32)
adam = types.AdamParams(learning_rate=1e-4)


async def main() -> None:
    service = tinker.ServiceClient(base_url=url)
    training = await service.create_lora_training_client(base_model="bench/model", rank=16)

    def submit():
        data = [
            types.Datum(
                model_input=types.ModelInput.from_ints(tokens[:-1]),
                loss_fn_inputs={"target_tokens": targets, "weights": weights},
            )
            for _ in range(ROWS)
        ]
        return training.forward_backward(data, "cross_entropy"), training.optim_step(adam)

    async def finish(forward_backward, optim_step) -> None:
        assert len((await forward_backward).loss_fn_outputs) == ROWS
        await optim_step

    async def run(total: int) -> None:
        submitted = collections.deque()
        for _ in range(total):
            submitted.append(submit())
            if len(submitted) > AHEAD:
                await finish(*submitted.popleft())
        while submitted:
            await finish(*submitted.popleft())

    await run(warm_up)
    cpu, start = time.process_time(), time.perf_counter()
    await run(steps)
    print(
        json.dumps(
            {
                "cpu": 1000 * (time.process_time() - cpu) / steps,
                "rate": steps / (time.perf_counter() - start),
            }
        )
    )


asyncio.run(main())
