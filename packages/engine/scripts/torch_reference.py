"""Writes the reference values of test/PyTorch.test.ts: models of transformers with LoRA added by hand, run in PyTorch.

Weights and data are hashes of their place (see test/internal/numbers.ts), so only results are stored; the weights of
`shipped` are those of the folder that ships. Needs torch and
transformers; run with: python packages/engine/scripts/torch_reference.py
"""

import base64
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

PACKAGE = pathlib.Path(__file__).parent.parent
FIXTURES = PACKAGE / "test" / "fixtures"


def hashed(stream, size):
    x = np.arange(size, dtype=np.uint32) + np.uint32(((stream + 1) * 0x9E3779B9) & 0xFFFFFFFF)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return (x ^ (x >> 16)).astype(np.float64) / 2**31 - 1


def array(stream, size, bound=1.0, center=0.0):
    return (center + bound * hashed(stream, size)).astype(np.float32)


def tokens(stream, size, vocabulary):
    return np.floor((hashed(stream, size) + 1) / 2 * vocabulary).astype(np.int64)


def text(tensor):
    data = tensor.detach().cpu().numpy().astype("<f4")
    return base64.b64encode(data.tobytes()).decode()


class LoraLinear(torch.nn.Module):
    def __init__(self, base, a, b, scale):
        super().__init__()
        self.base, self.scale = base, scale
        self.lora_A, self.lora_B = torch.nn.Parameter(a), torch.nn.Parameter(b)

    def forward(self, x):
        return self.base(x) + self.scale * F.linear(F.linear(x, self.lora_A), self.lora_B)


def weight_names(layers, attention_bias, query_key_norm, tied):
    """In the order of Llama.weightShapes, which numbers the streams."""
    yield "model.embed_tokens.weight"
    for i in range(layers):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight"
        for name in "qkv":
            yield f"{layer}.self_attn.{name}_proj.weight"
            if attention_bias:
                yield f"{layer}.self_attn.{name}_proj.bias"
        if query_key_norm:
            yield f"{layer}.self_attn.q_norm.weight"
            yield f"{layer}.self_attn.k_norm.weight"
        yield f"{layer}.self_attn.o_proj.weight"
        yield f"{layer}.post_attention_layernorm.weight"
        for name in ("gate", "up", "down"):
            yield f"{layer}.mlp.{name}_proj.weight"
    yield "model.norm.weight"
    if not tied:
        yield "lm_head.weight"


def modules(layers):
    for i in range(layers):
        for name in "qkvo":
            yield f"model.layers.{i}.self_attn.{name}_proj"
        for name in ("gate", "up", "down"):
            yield f"model.layers.{i}.mlp.{name}_proj"
    yield "lm_head"


def build(flavour, shape, rank, folder):
    kinds = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }
    make_config, make_model = kinds[flavour]
    extra = {} if flavour == "qwen2" else {"head_dim": shape["headDim"]}
    config = make_config(
        vocab_size=shape["vocabularySize"],
        hidden_size=shape["hiddenSize"],
        intermediate_size=shape["intermediateSize"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["keyValueHeads"],
        rms_norm_eps=shape["normEpsilon"],
        rope_theta=shape["ropeTheta"],
        tie_word_embeddings=shape["tiedEmbeddings"],
        max_position_embeddings=512,
        attn_implementation="eager",
        **extra,
    )
    model = make_model(config).float()
    parameters = dict(model.named_parameters())
    names = list(
        weight_names(shape["layers"], shape["attentionBias"], shape["queryKeyNorm"], shape["tiedEmbeddings"])
    )
    assert set(names) == set(parameters), set(names) ^ set(parameters)
    for stream, name in enumerate(names):
        parameter = parameters[name]
        bound = math.sqrt(3 / parameter.shape[1]) if parameter.dim() == 2 else 0.1
        center = 1 if parameter.dim() == 1 and not name.endswith("bias") else 0
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(array(stream, parameter.numel(), bound, center)).view_as(parameter))
        parameter.requires_grad_(False)
    if folder is not None:
        model.load_state_dict(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict())
    adapted = {}
    for k, name in enumerate(modules(shape["layers"])):
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent) if parent else model
        base = getattr(owner, child)
        a = torch.from_numpy(array(1000 + 2 * k, rank * base.in_features, 1 / math.sqrt(base.in_features)))
        b = torch.from_numpy(array(1001 + 2 * k, base.out_features * rank, 0.02))
        module = LoraLinear(base, a.view(rank, -1), b.view(-1, rank), 32 / rank)
        setattr(owner, child, module)
        adapted[f"base_model.model.{name}.lora_A.weight"] = module.lora_A
        adapted[f"base_model.model.{name}.lora_B.weight"] = module.lora_B
    return model, adapted


def sequences(lengths, vocabulary):
    for k, length in enumerate(lengths):
        row = tokens(2000 + k, length + 1, vocabulary)
        yield {
            "tokens": torch.from_numpy(row[:-1]),
            "targets": torch.from_numpy(row[1:]),
            "weights": torch.from_numpy(array(3000 + k, length)),
            "sampling": torch.from_numpy(array(4000 + k, length, 0.4, -math.log(vocabulary))),
            "advantages": torch.from_numpy(array(5000 + k, length)),
        }


def logprobs(model, sequence):
    logits = model(sequence["tokens"][None]).logits[0]
    return logits.log_softmax(-1).gather(-1, sequence["targets"][:, None])[:, 0]


def token_losses(kind, lp, sequence):
    w, a = sequence["weights"], sequence["advantages"]
    if kind == "cross_entropy":
        return -w * lp
    ratio = (lp - sequence["sampling"]).exp()
    if kind == "importance_sampling":
        return -w * ratio * a
    return -w * torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)


def reference(name, flavour, shape, rank, lengths, stored, folder=None):
    model, adapted = build(flavour, shape, rank, folder)
    data = list(sequences(lengths, shape["vocabularySize"]))
    with torch.no_grad():
        result = {"logprobs": [text(logprobs(model, sequence)) for sequence in data], "losses": {}}
    for kind in ("cross_entropy", "importance_sampling", "ppo"):
        losses = [token_losses(kind, logprobs(model, sequence), sequence) for sequence in data]
        gradients = torch.autograd.grad(torch.cat(losses).sum(), list(adapted.values()))
        result["losses"][kind] = {
            "elementwise": [text(each) for each in losses],
            "norms": {key: gradient.norm().item() for key, gradient in zip(adapted, gradients)},
            "gradients": {key: text(gradient) for key, gradient in zip(adapted, gradients) if stored(key)},
        }

    optimizer = torch.optim.AdamW(
        list(adapted.values()), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01
    )
    for _ in range(5):
        optimizer.zero_grad()
        losses = [token_losses("cross_entropy", logprobs(model, sequence), sequence) for sequence in data]
        torch.cat(losses).sum().backward()
        optimizer.step()
    with torch.no_grad():
        result["logprobsAfterFiveSteps"] = [text(logprobs(model, sequence)) for sequence in data]
    made_by = f"torch {torch.__version__}"
    content = {"madeBy": made_by, "flavour": flavour, "shape": shape, "rank": rank, "lengths": lengths, **result}
    (FIXTURES / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    print(name, sum(tensor.numel() for tensor in adapted.values()))


SMALL = {
    "vocabularySize": 48,
    "hiddenSize": 32,
    "intermediateSize": 56,
    "layers": 2,
    "heads": 4,
    "keyValueHeads": 2,
    "headDim": 8,
    "normEpsilon": 1e-6,
    "ropeTheta": 1000000,
    "tiedEmbeddings": False,
    "attentionBias": False,
    "queryKeyNorm": False,
}
TINY = {
    **SMALL,
    "vocabularySize": 512,
    "hiddenSize": 256,
    "intermediateSize": 704,
    "layers": 4,
    "keyValueHeads": 4,
    "headDim": 64,
    "normEpsilon": 1e-5,
    "ropeTheta": 10000,
}

if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    everything = lambda _: True
    reference("qwen2", "qwen2", {**SMALL, "attentionBias": True, "tiedEmbeddings": True}, 3, [5, 9, 2], everything)
    reference("qwen3", "qwen3", {**SMALL, "queryKeyNorm": True, "headDim": 16}, 4, [7, 12, 1], everything)
    some = ("layers.0.self_attn.q_proj", "layers.3.mlp.down_proj")
    reference("tiny", "llama", TINY, 4, [24, 17, 40], lambda key: any(part in key for part in some))

    shipped = json.loads((PACKAGE / "model" / "config.json").read_text())
    shape = {
        "vocabularySize": shipped["vocab_size"],
        "hiddenSize": shipped["hidden_size"],
        "intermediateSize": shipped["intermediate_size"],
        "layers": shipped["num_hidden_layers"],
        "heads": shipped["num_attention_heads"],
        "keyValueHeads": shipped["num_key_value_heads"],
        "headDim": shipped["head_dim"],
        "normEpsilon": shipped["rms_norm_eps"],
        "ropeTheta": shipped["rope_theta"],
        "tiedEmbeddings": shipped["tie_word_embeddings"],
        "attentionBias": shipped["attention_bias"],
        "queryKeyNorm": True,
    }
    reference("shipped", "qwen3", shape, 4, [24, 17, 40], lambda key: any(part in key for part in some), PACKAGE / "model")
