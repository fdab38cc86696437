"""Writes the tokenizers and the texts of the benchmark into a folder: four of those that `tml-renderers` ships, and one in the layout of
Llama 2, trained on the texts of this repository, whose model has whole texts to join."""

import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

root = pathlib.Path(__file__).parents[1]
sys.path.append(str(root / "packages" / "tokenizer" / "scripts"))
import shipped_tokenizers  # noqa: E402

SHARE = 100_000
SHARES = 4


def of_repository(pattern):
    files = sorted(file for file in root.glob(pattern) if "node_modules" not in file.parts)
    return "".join(file.read_text() for file in files)


def shares(text):
    """Four texts of one kind, cut one behind the other."""
    text = text * (SHARE * SHARES // len(text) + 1)
    return [text[i * SHARE : (i + 1) * SHARE] for i in range(SHARES)]


def chinese(chance):
    characters = [chr(0x4E00 + int(2000 * chance.random() ** 2)) for _ in range(SHARE * SHARES)]
    for i in range(0, len(characters), 12):
        characters[min(i + chance.randrange(12), len(characters) - 1)] = chance.choice("，。、！？：")
    return "".join(characters)


def numbers(chance):
    rows = [{"id": chance.randrange(10**9), "x": chance.random(), "name": f"row-{i}", "ok": i % 3 == 0} for i in range(6000)]
    return json.dumps(rows, indent=1)


def llama(texts):
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=32_000, special_tokens=special, show_progress=False))
    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = file["added_tokens"][:3]
    file["model"]["fuse_unk"] = True
    file["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special[:3]])
    return tokenizer


folder = pathlib.Path(sys.argv[1])
chance = random.Random(7)
texts = {
    "prose": shares(of_repository("packages/*/README.md") + of_repository("packages/*/docs/*.md")),
    "code": shares(of_repository("packages/tinker/src/**/*.ts")),
    "Chinese": shares(chinese(chance)),
    "JSON": shares(numbers(chance)),
    "spaces": [" " * 80_000] * SHARES,
}
for name in ["Qwen3", "Harmony", "DeepSeekV3", "KimiK26"]:
    shipped_tokenizers.write_shipped(name, folder / name)
(folder / "Llama2").mkdir(parents=True, exist_ok=True)
llama([share for kind in texts.values() for share in kind]).save(str(folder / "Llama2" / "tokenizer.json"))
(folder / "texts.json").write_text(json.dumps(texts))
