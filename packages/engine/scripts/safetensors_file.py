"""Writes test/fixtures/python.safetensors with the format's own Python package.

Needs torch and safetensors. Run from packages/engine: python scripts/safetensors_file.py
"""

import pathlib

import torch
from safetensors.torch import save_file

folder = pathlib.Path(__file__).parent.parent / "test" / "fixtures"
folder.mkdir(exist_ok=True)
numbers = torch.tensor([[0.0, -1.5, 65504.0], [0.1, 6e-8, float("inf")]])
save_file(
    {
        "float32": numbers,
        "float16": numbers.to(torch.float16),
        "bfloat16": numbers.to(torch.bfloat16),
        "int64": torch.tensor([1, -2, 3], dtype=torch.int64),
        "empty": torch.zeros((0, 4)),
    },
    str(folder / "python.safetensors"),
    metadata={"format": "pt"},
)
