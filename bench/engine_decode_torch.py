"""Decoding in PyTorch, eager, with a cache of keys and values: the shapes, adapters and sampling of engineDecode.ts.

Needs torch; run with: python bench/engine_decode_torch.py tiny|135m rows [new tokens] [rounds]. Prints JSON.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

from torch_model import make, norm, rotate

torch.set_grad_enabled(False)

ROWS = int(sys.argv[2])
NEW = int(sys.argv[3]) if len(sys.argv) > 3 else 64
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 3
PROMPT = 32
LENGTH = PROMPT + NEW
model = make(sys.argv[1], LENGTH)
HEADS, KEY_HEADS, HEAD_DIM, VOCABULARY = model.heads, model.key_heads, model.head_dim, model.vocabulary
layers, ones, cos, sin = model.layers, model.ones, model.cos, model.sin


def forward(tokens, start, cache):
    """Logits of the last of the new tokens; the cache is written in place."""
    rows, length = tokens.shape
    end = start + length
    x = model.embedding[tokens]
    for layer, (keys, values) in zip(layers, cache):
        h = norm(x, ones)
        q, k, v = (layer[name](h).view(rows, length, -1, HEAD_DIM).transpose(1, 2) for name in "qkv")
        keys[:rows, :, start:end] = rotate(k, cos[start:end], sin[start:end])
        values[:rows, :, start:end] = v
        mixed = F.scaled_dot_product_attention(
            rotate(q, cos[start:end], sin[start:end]),
            keys[:rows, :, :end],
            values[:rows, :, :end],
            is_causal=length > 1,
            enable_gqa=HEADS != KEY_HEADS,
        )
        x = x + layer["o"](mixed.transpose(1, 2).reshape(rows, length, HEADS * HEAD_DIM))
        h = norm(x, ones)
        x = x + layer["down"](F.silu(layer["gate"](h)) * layer["up"](h))
    return F.linear(norm(x[:, -1], ones), model.unembedding)


def choose(logits):
    distribution = logits.log_softmax(-1)
    token = torch.multinomial(distribution.exp(), 1)
    return token, distribution.gather(-1, token)


def generate():
    cache = [(torch.zeros(ROWS, KEY_HEADS, LENGTH, HEAD_DIM), torch.zeros(ROWS, KEY_HEADS, LENGTH, HEAD_DIM)) for _ in layers]
    prompt = torch.randint(VOCABULARY, (1, PROMPT))
    logits = forward(prompt, 0, cache).repeat(ROWS, 1)
    for pair in cache:
        for tensor in pair:
            tensor[1:] = tensor[:1]
    token, logprob = choose(logits)
    answer = [(token, logprob)]
    for position in range(PROMPT, LENGTH - 1):
        token, logprob = choose(forward(token, position, cache))
        answer.append((token, logprob))
    return torch.cat([token for token, _ in answer], 1).tolist(), torch.cat([logprob for _, logprob in answer], 1).tolist()


seconds, cpu = [], []
for round in range(ROUNDS + 1):
    start, started = time.perf_counter(), time.process_time()
    tokens, logprobs = generate()
    if round > 0:
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - started)
assert len(tokens) == ROWS and all(len(row) == NEW for row in tokens)

print(
    json.dumps(
        {
            "seconds": seconds,
            "cpuSeconds": cpu,
            "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
