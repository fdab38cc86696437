"""Holds our files and numbers against PyTorch, transformers and PEFT.

Reads what exportForTorch.ts wrote: the shipped folder must load in transformers with the same tokens and log-probabilities,
the sampler checkpoint in PEFT with the same log-probabilities. `npm run interop:torch` runs both.
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = pathlib.Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
adapter = next(folder.glob("checkpoints/*/sampler_weights/adapter"))


def check(what: str, difference: float, tolerance: float) -> None:
    ok = difference <= tolerance
    print(f"{'ok    ' if ok else 'FAILED'} {what}: {difference:.2e}, at most {tolerance:.0e}", flush=True)
    if not ok:
        raise SystemExit(1)


def logprobs(model) -> list[float]:
    tokens = torch.tensor([expected["tokens"]])
    with torch.no_grad():
        scores = model(tokens).logits[0, :-1].log_softmax(-1)
    return scores.gather(-1, tokens[0, 1:, None])[:, 0].tolist()


def largest(found: list[float], wanted: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True))


tokenizer = AutoTokenizer.from_pretrained(expected["model"])
tokens = tokenizer.encode(expected["text"], add_special_tokens=False)
check("tokens that differ from transformers", float(tokens != expected["tokens"]), 0)
check("text that does not come back", float(tokenizer.decode(tokens) != expected["text"]), 0)

model = AutoModelForCausalLM.from_pretrained(expected["model"], dtype=torch.float32).eval()
check("log-probabilities of the shipped model", largest(logprobs(model), expected["base"]), 2e-5)

adapted = PeftModel.from_pretrained(model, adapter).eval()
found = logprobs(adapted)
check("log-probabilities with the adapter in PEFT", largest(found, expected["adapted"]), 1e-4)
check("an adapter that changes nothing", float(largest(found, expected["base"]) < 1e-2), 0)
