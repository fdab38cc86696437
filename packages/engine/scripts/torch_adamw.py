"""Writes test/fixtures/adamw.json: what torch.optim.AdamW makes of a known sequence of gradients.

Needs PyTorch. Run from packages/engine: python scripts/torch_adamw.py
"""

import json
import math
import pathlib

import torch

SHAPES = {"matrix": (3, 4), "vector": (5,)}
STEPS = 50


def value(offset: int, index: int, step: int) -> float:
    return math.sin(0.7 * index + 1.3 * step + offset) * (1 + index % 3)


def tensor(offset: int, shape: tuple[int, ...], step: int) -> torch.Tensor:
    count = math.prod(shape)
    return torch.tensor([value(offset, i, step) for i in range(count)], dtype=torch.float32).reshape(shape)


def settings(step: int) -> dict[str, float]:
    return {
        "learningRate": 0.01 * (1 + step % 5) / 3,
        "beta1": 0.9,
        "beta2": 0.95 if step < 30 else 0.999,
        "eps": 1e-12 if step < 20 else 1e-8,
        "weightDecay": 0.1 if step % 2 == 1 else 0.0,
        "gradClipNorm": [0.0, 1.5, 100.0][step % 3],
    }


def main() -> None:
    parameters = {
        name: torch.nn.Parameter(tensor(10 * i, shape, 0)) for i, (name, shape) in enumerate(SHAPES.items())
    }
    optimizer = torch.optim.AdamW(list(parameters.values()))
    steps = []
    for step in range(1, STEPS + 1):
        params = settings(step)
        for group in optimizer.param_groups:
            group.update(
                lr=params["learningRate"],
                betas=(params["beta1"], params["beta2"]),
                eps=params["eps"],
                weight_decay=params["weightDecay"],
            )
        for i, (name, shape) in enumerate(SHAPES.items()):
            parameters[name].grad = tensor(100 + 10 * i, shape, step)
        clip = params["gradClipNorm"] or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), clip)
        optimizer.step()
        record = {"params": params, "norm": float(norm)}
        if step in (1, 10, 25, 40, STEPS):
            record["values"] = {name: p.detach().flatten().tolist() for name, p in parameters.items()}
        steps.append(record)
    folder = pathlib.Path(__file__).parent.parent / "test" / "fixtures"
    folder.mkdir(exist_ok=True)
    (folder / "adamw.json").write_text(json.dumps({"torch": torch.__version__.split("+")[0], "steps": steps}, indent=1))


main()
