"""Prints how long one tokenizer of the library `tokenizers` takes for each kind of text. The first text of a kind does not count."""

import json
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

folder = pathlib.Path(sys.argv[1])
tokenizer = Tokenizer.from_file(str(folder / sys.argv[2] / "tokenizer.json"))
results = {}
for kind, texts in json.loads((folder / "texts.json").read_text()).items():
    figures = []
    for text in texts:
        start = time.perf_counter()
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        figures.append((len(ids), 1000 * (time.perf_counter() - start)))
    results[kind] = {
        "tokens": sum(tokens for tokens, _ in figures[1:]),
        "milliseconds": sum(milliseconds for _, milliseconds in figures[1:]),
    }
print(json.dumps(results))
