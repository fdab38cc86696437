"""Decoding in PyTorch, eager, with a cache of keys and values: the shapes, adapters and sampling of engineDecode.ts.

Needs torch; run with: python bench/engine_decode_torch.py tiny|135m rows [new tokens] [rounds]. Prints JSON.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(2)
torch.manual_seed(1)
torch.set_grad_enabled(False)

SHAPES = {"tiny": (512, 256, 704, 4, 4, 4, 64), "135m": (49152, 576, 1536, 30, 9, 3, 64)}
VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, KEY_HEADS, HEAD_DIM = SHAPES[sys.argv[1]]
ROWS = int(sys.argv[2])
NEW = int(sys.argv[3]) if len(sys.argv) > 3 else 64
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 3
PROMPT, RANK = 32, 16
SCALE = 32 / RANK


def frozen(*shape):
    return 0.1 * (torch.rand(*shape) - 0.5)


class Linear:
    """A matrix with a low-rank addition."""

    def __init__(self, rows, columns):
        self.weight = frozen(rows, columns)
        self.a = frozen(RANK, columns)
        self.b = frozen(rows, RANK)

    def __call__(self, x):
        return F.linear(x, self.weight) + SCALE * F.linear(F.linear(x, self.a), self.b)


def norm(x, weight):
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


embedding = frozen(VOCABULARY, HIDDEN)
unembedding = frozen(VOCABULARY, HIDDEN) if sys.argv[1] == "tiny" else embedding
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
LENGTH = PROMPT + NEW
frequency = 10000 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
angle = torch.arange(LENGTH)[:, None] * frequency
cos, sin = torch.cat((angle.cos(),) * 2, -1), torch.cat((angle.sin(),) * 2, -1)


def forward(tokens, start, cache):
    """Logits of the last of the new tokens; the cache is written in place."""
    rows, length = tokens.shape
    end = start + length
    x = embedding[tokens]
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
    return F.linear(norm(x[:, -1], ones), unembedding)


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
