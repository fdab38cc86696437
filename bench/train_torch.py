"""The step of trainGraph.ts in PyTorch, eager, on two threads: the same shape, adapters and loss. Prints JSON.

Needs torch; run with: python bench/train_torch.py [steps] [tiny|135m]
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

SHAPES = {"tiny": (512, 256, 704, 4, 4, 4, 64), "135m": (49152, 576, 1536, 30, 9, 3, 64)}
name = sys.argv[2] if len(sys.argv) > 2 else "tiny"
VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, KEY_HEADS, HEAD_DIM = SHAPES[name]
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


embedding = frozen(VOCABULARY, HIDDEN)
unembedding = frozen(VOCABULARY, HIDDEN) if name == "tiny" else embedding
ones = torch.ones(HIDDEN)
layers = [
    {
        "q": Linear(HEADS * HEAD_DIM, HIDDEN),
        "k": Linear(KEY_HEADS * HEAD_DIM, HIDDEN),
        "v": Linear(KEY_HEADS * HEAD_DIM, HIDDEN),
        "o": Linear(HIDDEN, HEADS * HEAD_DIM),
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
    return x.view(ROWS, LENGTH, -1, HEAD_DIM).transpose(1, 2)


def logprobs(tokens, targets):
    x = embedding[tokens]
    for layer in layers:
        h = norm(x, ones)
        q, k, v = (heads(layer[name](h)) for name in "qkv")
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=HEADS != KEY_HEADS)
        x = x + layer["o"](mixed.transpose(1, 2).reshape(ROWS, LENGTH, HEADS * HEAD_DIM))
        h = norm(x, ones)
        x = x + layer["down"](F.silu(layer["gate"](h)) * layer["up"](h))
    logits = F.linear(norm(x, ones), unembedding)
    return logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)


tokens = torch.randint(VOCABULARY, (ROWS, LENGTH))
targets = torch.randint(VOCABULARY, (ROWS, LENGTH))
seconds, cpu = [], []
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
for step in range(steps + 2):
    start, busy = time.perf_counter(), time.process_time()
    loss = -logprobs(tokens, targets).sum()
    gradients = torch.autograd.grad(loss, trained)
    if step >= 2:
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
assert math.isfinite(loss.item()) and len(gradients) == len(trained)

print(
    json.dumps(
        {
            "tokensPerSecond": ROWS * LENGTH / min(seconds),
            "bestStepMilliseconds": 1000 * min(seconds),
            "medianStepMilliseconds": 1000 * statistics.median(seconds),
            "cpuMilliseconds": 1000 * min(cpu),
            "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
