"""Writes the tokenizers and samples that the tests compare with: run it with `tokenizers` and `transformers` installed.

    python packages/tokenizer/scripts/makeSamples.py
"""
import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

fixtures = pathlib.Path(__file__).parent.parent / "test" / "fixtures"

text = [
    "The keeper of the lighthouse lit the lamp at dusk, and the lamp shone over the sea.",
    "Mia put three red lamps in the cellar; Tom took them to the tower again.",
    "user: What does the keeper say?\n\nassistant: The keeper says that the light is lit.\n\n",
    "Der Wärter zündete die Lampe an. Café, naïve, señor, Ærø, Kraków.",
    "1 + 2 = 3, 12 - 7 = 5, 2024",
] * 4

samples = [
    "",
    " ",
    "\n",
    "a",
    " The lamp",
    "The lamp  in   the\tcellar\n\n\nis lit. ",
    "I'm here, you're there; THEY'LL come, we'd say.",
    "12345 and 6.75 make 12351.75",
    "Wärter, Ærø, Ελληνικά, עברית, 日本語, 🗼🔦",
    "e\u0301 is not é",
    "zero\u0000byte, bell\u0007, no-break\u00a0space",
    "<|endoftext|>",
    "one<|endoftext|>two",
    "user: Where is the lamp?\n\nassistant:",
    "https://example.org/?a=1&b=%20c#d",
    "def f(x):\n    return x ** 2\r\n",
]

gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
# The pattern of Llama 3 and Qwen: contractions of either case, digits one by one, line breaks kept with punctuation.
newer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(
        Regex(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
        "isolated",
    ),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
])



def write_samples(fast, folder):
    encoded = [
        {
            "text": sample,
            # Special tokens that a text spells out are parsed, as everywhere in Python, …
            "parsed": fast(sample, add_special_tokens=False).input_ids,
            # … or taken as plain text.
            "plain": fast(sample, add_special_tokens=False, split_special_tokens=True).input_ids,
        }
        for sample in samples
    ]
    folder.mkdir(exist_ok=True)
    (folder / "samples.json").write_text(json.dumps(encoded, indent=1) + "\n")


for name, pre_tokenizer in [("gpt2", gpt2), ("newer", newer)]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=["<|endoftext|>", "<|begin|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|endoftext|>")
    folder = fixtures / name
    fast.save_pretrained(folder)
    write_samples(fast, folder)

# The tokenizer of the model that ships, which the engine package keeps.
shipped = pathlib.Path(__file__).parents[2] / "engine" / "model"
write_samples(AutoTokenizer.from_pretrained(shipped), fixtures / "shipped")
