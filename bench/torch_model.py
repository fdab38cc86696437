"""Random models in PyTorch for the benchmarks: the shapes of trainGraph.ts with a low-rank addition to each linear map.

On two threads, the same numbers every time.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

torch.set_num_threads(2)
torch.manual_seed(1)

SHAPES = {"tiny": (512, 256, 704, 4, 4, 4, 64), "135m": (49152, 576, 1536, 30, 9, 3, 64)}
RANK = 16
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


def make(name, length):
    """A model of this shape, with rotations for positions up to a length."""
    vocabulary, hidden, inner, count, heads, key_heads, head_dim = SHAPES[name]
    embedding = frozen(vocabulary, hidden)
    unembedding = frozen(vocabulary, hidden) if name == "tiny" else embedding
    layers = [
        {
            "q": Linear(heads * head_dim, hidden),
            "k": Linear(key_heads * head_dim, hidden),
            "v": Linear(key_heads * head_dim, hidden),
            "o": Linear(hidden, heads * head_dim),
            "gate": Linear(inner, hidden),
            "up": Linear(inner, hidden),
            "down": Linear(hidden, inner),
        }
        for _ in range(count)
    ]
    frequency = 10000 ** (-torch.arange(0, head_dim, 2) / head_dim)
    angle = torch.arange(length)[:, None] * frequency
    return SimpleNamespace(
        vocabulary=vocabulary,
        heads=heads,
        key_heads=key_heads,
        head_dim=head_dim,
        embedding=embedding,
        unembedding=unembedding,
        ones=torch.ones(hidden),
        layers=layers,
        cos=torch.cat((angle.cos(),) * 2, -1),
        sin=torch.cat((angle.sin(),) * 2, -1),
    )
