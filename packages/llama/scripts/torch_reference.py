"""The reference values of test/PyTorch.test.ts: models of transformers with LoRA added by hand, run in PyTorch.

Weights and data are hashes of their place (see test/internal/numbers.ts), so only results are stored; the weights of
`shipped` are those of the folder that ships. Needs torch and transformers. Compares what is stored with what comes out
now, or stores it: python packages/llama/scripts/torch_reference.py [--write]
"""

import base64
import json
import math
import pathlib
import sys

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
    rope = {"rope_theta": shape["ropeTheta"], "rope_type": "default"}
    if "ropeScaling" in shape:
        scaling = shape["ropeScaling"]
        rope |= {
            "rope_type": "llama3",
            "factor": scaling["factor"],
            "low_freq_factor": scaling["lowFrequencyFactor"],
            "high_freq_factor": scaling["highFrequencyFactor"],
            "original_max_position_embeddings": scaling["originalContextLength"],
        }
    config = make_config(
        vocab_size=shape["vocabularySize"],
        hidden_size=shape["hiddenSize"],
        intermediate_size=shape["intermediateSize"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["keyValueHeads"],
        rms_norm_eps=shape["normEpsilon"],
        rope_parameters=rope,
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
    if folder is not None:
        model.load_state_dict(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict())
    return model, adapt(model, rank)


def adapt(model, rank):
    """Adds a hashed adapter to every linear map; its tensors by their PEFT names."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    adapted = {}
    for k, name in enumerate(modules(model.config.num_hidden_layers)):
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent) if parent else model
        base = getattr(owner, child)
        a = torch.from_numpy(array(1000 + 2 * k, rank * base.in_features, 1 / math.sqrt(base.in_features)))
        b = torch.from_numpy(array(1001 + 2 * k, base.out_features * rank, 0.02))
        module = LoraLinear(base, a.view(rank, -1), b.view(-1, rank), 32 / rank)
        setattr(owner, child, module)
        adapted[f"base_model.model.{name}.lora_A.weight"] = module.lora_A
        adapted[f"base_model.model.{name}.lora_B.weight"] = module.lora_B
    return adapted


def sequences(lengths, vocabulary):
    for k, length in enumerate(lengths):
        row = tokens(2000 + k, length + 1, vocabulary)
        yield {
            "tokens": torch.from_numpy(row[:-1]),
            "targets": torch.from_numpy(row[1:]),
            "weights": torch.from_numpy(array(3000 + k, length)),
            "sampling": torch.from_numpy(array(4000 + k, length, 0.4, -math.log(vocabulary))),
            "advantages": torch.from_numpy(array(5000 + k, length)),
            "soft_targets": torch.from_numpy(tokens(6000 + k, 2 * length, vocabulary)).view(-1, 2),
            "soft_weights": torch.from_numpy(array(7000 + k, 2 * length)).view(-1, 2),
        }


def logprobs(model, sequence, name="targets"):
    logits = model(sequence["tokens"][None]).logits[0]
    targets = sequence[name]
    found = logits.log_softmax(-1).gather(-1, targets.view(len(targets), -1))
    return found.view(targets.shape)


KINDS = ("cross_entropy", "cross_entropy_2d", "importance_sampling", "ppo", "cispo", "dro")
BETA = 0.3


def token_losses(kind, model, sequence):
    if kind == "cross_entropy_2d":
        return -sequence["soft_weights"] * logprobs(model, sequence, "soft_targets")
    lp, q, w, a = logprobs(model, sequence), sequence["sampling"], sequence["weights"], sequence["advantages"]
    ratio = (lp - q).exp()
    if kind == "cross_entropy":
        return -w * lp
    if kind == "importance_sampling":
        return -w * ratio * a
    if kind == "ppo":
        return -w * torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)
    if kind == "cispo":
        return -w * ratio.clamp(0, 4).detach() * lp * a
    return -w * (lp * a - 0.5 * BETA * (lp - q) ** 2)


def measure(model, adapted, data):
    """Log-probabilities, losses and gradients of every kind of loss, and what five steps of AdamW make of the model."""
    with torch.no_grad():
        result = {
            "logprobs": [logprobs(model, sequence) for sequence in data],
            "softLogprobs": [logprobs(model, sequence, "soft_targets") for sequence in data],
            "losses": {},
        }
    for kind in KINDS:
        losses = [token_losses(kind, model, sequence) for sequence in data]
        gradients = torch.autograd.grad(sum(each.sum() for each in losses), list(adapted.values()))
        result["losses"][kind] = {
            "elementwise": [each.detach() for each in losses],
            "gradients": dict(zip(adapted, gradients, strict=True)),
        }

    optimizer = torch.optim.AdamW(
        list(adapted.values()), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01
    )
    for _ in range(5):
        optimizer.zero_grad()
        sum(token_losses("cross_entropy", model, sequence).sum() for sequence in data).backward()
        optimizer.step()
    with torch.no_grad():
        result["logprobsAfterFiveSteps"] = [logprobs(model, sequence) for sequence in data]
    result["weightsAfterFiveSteps"] = {key: tensor.detach() for key, tensor in adapted.items()}
    return result


def reference(name, flavour, shape, rank, lengths, stored, folder=None):
    model, adapted = build(flavour, shape, rank, folder)
    measured = measure(model, adapted, list(sequences(lengths, shape["vocabularySize"])))
    result = {
        "logprobs": [text(each) for each in measured["logprobs"]],
        "softLogprobs": [text(each) for each in measured["softLogprobs"]],
        "losses": {
            kind: {
                "elementwise": [text(each) for each in loss["elementwise"]],
                "norms": {key: gradient.norm().item() for key, gradient in loss["gradients"].items()},
                "gradients": {
                    key: text(gradient) for key, gradient in loss["gradients"].items() if stored(kind, key)
                },
            }
            for kind, loss in measured["losses"].items()
        },
        "logprobsAfterFiveSteps": [text(each) for each in measured["logprobsAfterFiveSteps"]],
    }
    made_by = f"torch {torch.__version__}"
    content = {"madeBy": made_by, "flavour": flavour, "shape": shape, "rank": rank, "lengths": lengths, **result}
    file = FIXTURES / f"{name}.json"
    if "--write" in sys.argv:
        file.write_text(json.dumps(content, indent=1) + "\n")
        print("wrote", file.name)
    else:
        stored_values = json.loads(file.read_text())
        # Five steps of Adam, which divides by small numbers, multiply how processors round differently.
        after_steps = "logprobsAfterFiveSteps"
        groups = {"": (set(content) - {after_steps}, 1e-5), " after five steps": ({after_steps}, 1e-4)}
        for which, (keys, most) in groups.items():
            difference = max(largest(stored_values[key], content[key]) for key in keys if key != "madeBy")
            print(f"{'ok    ' if difference < most else 'FAILED'} stored values of {name}{which}: {difference:.2e}")
            if difference >= most:
                raise SystemExit(1)


def largest(stored, found):
    """The largest difference between two results, relative where they are above one."""
    if isinstance(found, dict):
        keys = [key for key in found if key != "madeBy"]
        return max((largest(stored[key], found[key]) for key in keys), default=0.0)
    if isinstance(found, list):
        if len(stored) != len(found):
            return math.inf
        return max((largest(a, b) for a, b in zip(stored, found)), default=0.0)
    if isinstance(found, str) and stored != found:
        a, b = (np.frombuffer(base64.b64decode(each), "<f4") for each in (stored, found))
        return float(np.max(np.abs(a - b) / np.maximum(1, np.abs(a)))) if len(a) == len(b) else math.inf
    if isinstance(found, float):
        return abs(stored - found) / max(1, abs(found))
    return 0.0 if stored == found else math.inf


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
    # The gradients of the other losses are held to their norms, and to a few tensors of the smallest models.
    first = ("cross_entropy", "importance_sampling", "ppo")
    everything = lambda kind, key: kind in first or "layers.0.self_attn.k_proj" in key or "lm_head" in key
    reference("qwen2", "qwen2", {**SMALL, "attentionBias": True, "tiedEmbeddings": True}, 3, [5, 9, 2], everything)
    reference("qwen3", "qwen3", {**SMALL, "queryKeyNorm": True, "headDim": 16}, 4, [7, 12, 1], everything)
    scaling = {"factor": 8, "lowFrequencyFactor": 1, "highFrequencyFactor": 4, "originalContextLength": 16}
    llama3 = {**SMALL, "ropeTheta": 10000, "tiedEmbeddings": True, "ropeScaling": scaling}
    reference("llama3", "llama", llama3, 4, [40, 21], lambda kind, key: kind in first[:1] or "layers.0" in key)
    parts = ("layers.0.self_attn.q_proj", "layers.3.mlp.down_proj")
    some = lambda kind, key: kind in first and any(part in key for part in parts)
    reference("tiny", "llama", TINY, 4, [24, 17, 40], some)

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
    reference("shipped", "qwen3", shape, 4, [24, 17, 40], some, PACKAGE / "model")
