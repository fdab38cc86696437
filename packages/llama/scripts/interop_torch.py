"""Holds our files and numbers against PyTorch, transformers and PEFT: python interop_torch.py <folder>

Reads what exportForTorch.ts wrote. Each model's folder must give the same log-probabilities in transformers, the sampler
checkpoint and the external one the same in PEFT and merged, by PEFT and by `tinker checkpoint export --merged`; with hashed adapters and data, losses, gradients and five steps
of the optimizer must be those of PyTorch. `npm run interop:torch` runs all of it.
"""

import base64
import json
import pathlib
import sys

import numpy as np
import torch
from peft import PeftModel
from torch_reference import KINDS, adapt, measure, sequences
from transformers import AutoModelForCausalLM, AutoTokenizer

failures = 0


def check(what: str, difference: float, tolerance: float) -> None:
    global failures
    ok = difference <= tolerance
    print(f"{'ok    ' if ok else 'FAILED'} {what}: {difference:.2e}, at most {tolerance:.0e}", flush=True)
    failures += not ok


def floats(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy())


def distance(found, wanted) -> float:
    pairs = [(torch.as_tensor(a).flatten(), torch.as_tensor(b).flatten()) for a, b in zip(found, wanted, strict=True)]
    return max((a - b).abs().max().item() for a, b in pairs)


def relative(found, wanted) -> float:
    return ((found - wanted.flatten()).norm() / wanted.norm()).item()


def distributions(model, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0, :-1].float().log_softmax(-1)


def logprobs(model, tokens: list[int]) -> torch.Tensor:
    return distributions(model, tokens).gather(-1, torch.tensor(tokens)[1:, None])[:, 0]


def load(folder: str):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def check_files(folder: pathlib.Path, expected: dict) -> None:
    name, tokens = expected["name"], expected["tokens"]
    check(f"{name}: log-probabilities", distance([logprobs(load(expected["model"]), tokens)], [expected["base"]]), 2e-5)
    for kind, checkpoint in (("sampler_weights", "adapter"), ("external_weights", "exported")):
        adapter = next(folder.glob(f"checkpoints/*/{kind}/{checkpoint}"))
        adapted = PeftModel.from_pretrained(load(expected["model"]), adapter).eval()
        found = logprobs(adapted, tokens)
        check(f"{name}: {kind} in PEFT", distance([found], [expected["adapted"]]), 1e-4)
        check(f"{name}: {kind} that change nothing", float(distance([found], [expected["base"]]) < 1e-2), 0)
        if not adapted.config.tie_word_embeddings:
            # Merged into a tied projection, the adapter would change the embedding too.
            merged = adapted.merge_and_unload()
            check(f"{name}: {kind} merged", distance([logprobs(merged, tokens)], [expected["adapted"]]), 1e-4)


def check_merged(folder: pathlib.Path, expected: dict) -> None:
    """The merged folder, as transformers loads it, against the base model with the adapter in PEFT."""
    name, tokens = expected["name"], expected["tokens"]
    base = load(expected["model"])
    adapter = next(folder.glob("checkpoints/*/external_weights/exported"))
    adapted = PeftModel.from_pretrained(load(expected["model"]), adapter).eval()
    stored = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype="auto")
    found, wanted = distributions(load(folder / "merged"), tokens), distributions(adapted, tokens)
    if stored.dtype == torch.float32:
        check(f"{name}: merged folder", distance([found], [wanted]), 1e-4)
    else:
        # Weights of 16 bits are rounded once more than those that PEFT computes with here.
        check(f"{name}: merged folder, on average", (found - wanted).abs().mean().item(), 5e-2)
    weights = stored.state_dict()
    untouched = set(weights)
    for module, layer in adapted.base_model.model.named_modules():
        if not hasattr(layer, "get_delta_weight"):
            continue
        key = f"{module}.weight"
        untouched.discard(key)
        exact = (layer.base_layer.weight + layer.get_delta_weight("default")).detach()
        # Rounded once to the type that is stored, and before it in the sums, whose terms nearly cancel here and there.
        allowed = torch.finfo(stored.dtype).eps * exact.abs() + 1e-6
        check(f"{name}: merged {key}", ((weights[key].float() - exact).abs() / allowed).max().item(), 1)
    before = base.state_dict()
    check(f"{name}: other tensors", max(distance([weights[key]], [before[key]]) for key in untouched), 0)
    check(f"{name}: a last layer that is still tied", float(stored.config.tie_word_embeddings), 0)


def check_numbers(name: str, folder: str, engine: dict) -> None:
    model = load(folder)
    adapted = adapt(model, engine["rank"])
    data = list(sequences(engine["lengths"], model.config.vocab_size))
    wanted = distributions(model, data[0]["tokens"].tolist())
    check(f"{name}: whole distributions", distance([floats(engine["distributions"])], [wanted]), 2e-4)
    reference = measure(model, adapted, data)
    for kind in KINDS:
        found, loss = engine["losses"][kind], reference["losses"][kind]
        expected = reference["softLogprobs" if kind == "cross_entropy_2d" else "logprobs"]
        check(f"{name}: {kind}, log-probabilities", distance(map(floats, found["logprobs"]), expected), 2e-5)
        check(f"{name}: {kind}, losses", distance(map(floats, found["elementwise"]), loss["elementwise"]), 1e-4)
        worst = max(
            relative(floats(found["gradients"][key]), gradient) for key, gradient in loss["gradients"].items()
        )
        check(f"{name}: {kind}, gradients", worst, 1e-4)
    after = map(floats, engine["logprobsAfterFiveSteps"])
    check(f"{name}: log-probabilities after five steps", distance(after, reference["logprobsAfterFiveSteps"]), 1e-3)
    # Adam's first steps follow the sign of gradients near zero, so a tensor as a whole says more than one of its entries.
    weights = reference["weightsAfterFiveSteps"]
    found = engine["weightsAfterFiveSteps"]
    worst = max(relative(floats(found[key]), weight) for key, weight in weights.items())
    check(f"{name}: weights after five steps", worst, 1e-4)


def check_tokenizer(expected: dict) -> None:
    tokenizer = AutoTokenizer.from_pretrained(expected["model"])
    tokens = tokenizer.encode(expected["text"], add_special_tokens=False)
    check("tokens that differ from transformers", float(tokens != expected["tokens"]), 0)
    check("text that does not come back", float(tokenizer.decode(tokens) != expected["text"]), 0)


for folder in sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if (path / "engine.json").exists()):
    expected = json.loads((folder / "expected.json").read_text())
    check_files(folder, expected)
    check_merged(folder, expected)
    check_numbers(expected["name"], expected["model"], json.loads((folder / "engine.json").read_text()))
    if "text" in expected:
        check_tokenizer(expected)
raise SystemExit(1 if failures else 0)
