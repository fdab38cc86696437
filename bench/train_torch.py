"""The step of trainGraph.ts in PyTorch, eager, on two threads: the same shape, adapters and loss. Prints JSON.

Needs torch; run with: python bench/train_torch.py [steps]
"""

import json
import math
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(2)
torch.manual_seed(1)

VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, HEAD_DIM = 512, 256, 704, 4, 4, 64
ROWS, LENGTH, RANK = 4, 256, 16
SCALE = 32 / RANK


def frozen(*shape):
    return 0.1 * (torch.rand(*shape) - 0.5)


class Linear:
    """A frozen matrix with a trained low-rank addition."""

    def __init__(self, rows, columns):
        self.weight = frozen(rows, columns)
        self.a = frozen(RANK, columns).requires_grad_()
        self.b = frozen(rows, RANK).requires_grad_()

    def __call__(self, x):
        return F.linear(x, self.weight) + SCALE * F.linear(F.linear(x, self.a), self.b)


def norm(x, weight):
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


embedding, unembedding = frozen(VOCABULARY, HIDDEN), frozen(VOCABULARY, HIDDEN)
ones = torch.ones(HIDDEN)
layers = [
    {
        **{name: Linear(HIDDEN, HIDDEN) for name in "qkvo"},
        "gate": Linear(INNER, HIDDEN),
        "up": Linear(INNER, HIDDEN),
        "down": Linear(HIDDEN, INNER),
    }
    for _ in range(LAYERS)
]
trained = [tensor for layer in layers for module in layer.values() for tensor in (module.a, module.b)]
frequency = 10000 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
angle = torch.arange(LENGTH)[:, None] * frequency
cos, sin = torch.cat((angle.cos(),) * 2, -1), torch.cat((angle.sin(),) * 2, -1)


def heads(x):
    return x.view(ROWS, LENGTH, HEADS, HEAD_DIM).transpose(1, 2)


def logprobs(tokens, targets):
    x = embedding[tokens]
    for layer in layers:
        h = norm(x, ones)
        q, k, v = (heads(layer[name](h)) for name in "qkv")
        mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + layer["o"](mixed.transpose(1, 2).reshape(ROWS, LENGTH, HIDDEN))
        h = norm(x, ones)
        x = x + layer["down"](F.silu(layer["gate"](h)) * layer["up"](h))
    logits = F.linear(norm(x, ones), unembedding)
    return logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)


tokens = torch.randint(VOCABULARY, (ROWS, LENGTH))
targets = torch.randint(VOCABULARY, (ROWS, LENGTH))
seconds = []
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
for step in range(steps + 2):
    start = time.perf_counter()
    loss = -logprobs(tokens, targets).sum()
    gradients = torch.autograd.grad(loss, trained)
    if step >= 2:
        seconds.append(time.perf_counter() - start)
assert math.isfinite(loss.item()) and len(gradients) == len(trained)

print(
    json.dumps(
        {
            "tokensPerSecond": ROWS * LENGTH / min(seconds),
            "bestStepMilliseconds": 1000 * min(seconds),
            "medianStepMilliseconds": 1000 * statistics.median(seconds),
            "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
