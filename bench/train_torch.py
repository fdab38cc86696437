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

from torch_model import make, norm, rotate

ROWS, LENGTH = 4, 256
model = make(sys.argv[2] if len(sys.argv) > 2 else "tiny", LENGTH)
HEADS, KEY_HEADS, HEAD_DIM, VOCABULARY = model.heads, model.key_heads, model.head_dim, model.vocabulary
layers, ones, cos, sin = model.layers, model.ones, model.cos, model.sin
trained = [tensor for layer in layers for module in layer.values() for tensor in (module.a, module.b)]
for tensor in trained:
    tensor.requires_grad_()


def heads(x):
    return x.view(ROWS, LENGTH, -1, HEAD_DIM).transpose(1, 2)


def logprobs(tokens, targets):
    x = model.embedding[tokens]
    for layer in layers:
        h = norm(x, ones)
        q, k, v = (heads(layer[name](h)) for name in "qkv")
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=HEADS != KEY_HEADS)
        x = x + layer["o"](mixed.transpose(1, 2).reshape(ROWS, LENGTH, HEADS * HEAD_DIM))
        h = norm(x, ones)
        x = x + layer["down"](F.silu(layer["gate"](h)) * layer["up"](h))
    logits = F.linear(norm(x, ones), model.unembedding)
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
