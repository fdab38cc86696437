"""Writes small tokenizers of every public layout, and random combinations of parts, with what the reference library makes of texts and tokens.
Run it with `tokenizers` 0.23.3 installed; the tests read what it writes and do not need it.

    python packages/tokenizer/scripts/makeLayouts.py                         the stored ones
    python packages/tokenizer/scripts/makeLayouts.py SEED COUNT FILE         so many random ones, to look for more that differ

A line is one tokenizer: its `file`, the `texts` as [text, tokens, tokens with the names of special tokens left plain], and the `decoded` as
[tokens, text, text without special tokens].
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models as M, normalizers as N, pre_tokenizers as P, trainers as T

fixtures = pathlib.Path(__file__).parent.parent / "test" / "fixtures"

words = (
    "the keeper lit lamp lamps sea Hello hello WORLD it's we'll THEY'RE don't 12 345 6789 1/2 ½ ² Ⅷ x_y foo.bar a-b café cafe\u0301 Straße "
    "İstanbul ſin h'ſ ΣΟΦΟΣ n\u0303 日本語 你好 한국어 \u1100\u1161 नमस्ते สวัสดี שלום مرحبا ١٢٣ 😀 👨‍👩‍👧 🇩🇪 e\u0301\u0327 ǅ € ™ ﬁ Å"
).split(" ")
spaces = [
    " ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", " \n", "\n ", "\u00a0", "\u0085", "\u2028", "\ufeff", "\u200b",
    "\u200d", "\u3000", "\u000b", "\x00", "", "▁", "_", "Ġ",
]
signs = list(".,!?;:'\"()[]{}-_/\\@#$%^&*+=<>|~`«»…—¿、。")
names = ["<unk>", "<s>", "</s>", "<|end|>", "<0x0A>", "<0xE2>", "##a", "</w>"]
fixed = ["", " ", "  ", "\n", "\r", "\t", " ½", "\ufeff", "\ufeffa\ufeff", "a\u0085b", "<s>", "<s></s><|end|>", " <|end|> x", "👨‍👩‍👧 ok", "e\u0301"]

gpt4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
qwen = gpt4.replace(r"\p{N}{1,3}", r"\p{N}")
possessive = r"[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
o200k = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
bloom = r" ?[^(\s|[.,!?…。，、।۔،])]+"
deepseek = [
    r"[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯ]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+",
]
patterns = [
    gpt4, qwen, possessive, o200k, bloom, *deepseek, r"\d", r"\d+", r"\s+", r"\s", r"\w+", r"\W", r"^\s+", r"$", r"^", r"\b", r"\B", r"a*", r"l+?",
    r"l{2}+", r"l{,2}", r"[\p{Han}]+|[\p{L}&&[^\p{Han}]]+", r"[[:punct:]]+", r"[[:alpha:][:digit:]]+", r"\h+", r"(?>l+o?)o", r"l++", r".",
    r"(?m:.)+", r"(?<=l)o", r"(?<!l)o", r"\p{^L}+", r"[^\w\s]", r"[\W]", r"(?i)the|l", r"(?i:[a-k])+", r"\x{41}|\u0042|\x43|\t", r"[]a]", r"[^]a]+",
    r"[a\-z]", r"[+--]", r"(e)(r)", r"(?<x>e)", r"\A.|.\z|.\Z", r"x{2", r"(?#a comment)l", r"|l", r"[^\S\n]+", r"\p{Cc}|\p{Cf}", r"(?i:k|s)",
    r"[^aeiou\s]*+[aeiou]",
]


def text(pick):
    result = pick.choice(spaces) if pick.random() < 0.4 else ""
    for _ in range(pick.choice([1, 2, 3, 4, 6, 9])):
        result += pick.choice([
            pick.choice(words), pick.choice(words), pick.choice(signs), pick.choice(names) if pick.random() < 0.3 else pick.choice(words),
            chr(pick.choice([pick.randrange(1, 0x250), pick.randrange(0x250, 0x600), pick.randrange(0x3000, 0x3100)])),
        ]) + pick.choice(spaces)
    return result


corpus_of = random.Random(7)
corpus = [text(corpus_of) for _ in range(120)] + words * 4 + ["the lamp the lamp hello hello it's " * 6]


def line(tokenizer, pick, count, **more):
    texts, decoded = [], []
    for sample in fixed + [text(pick) for _ in range(count)]:
        tokenizer.encode_special_tokens = False
        parsed = tokenizer.encode(sample, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = True
        texts.append([sample, parsed, tokenizer.encode(sample, add_special_tokens=False).ids])
        # Cut anywhere, so that characters are halved.
        start = pick.randrange(len(parsed) + 1)
        decoded += [parsed, parsed[start:start + pick.randrange(1, 9)]]
    size = tokenizer.get_vocab_size()
    decoded += [[pick.randrange(size) for _ in range(pick.choice([1, 2, 5]))] for _ in range(count)]
    both = [
        [tokens, tokenizer.decode(tokens, skip_special_tokens=False), tokenizer.decode(tokens, skip_special_tokens=True)]
        for tokens in decoded if tokens
    ]
    return json.dumps({**more, "file": json.loads(tokenizer.to_str()), "texts": texts, "decoded": both}, ensure_ascii=True, separators=(",", ":"))


def trained(model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, added=True, change=lambda file: None):
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(corpus, trainer)
    if added:
        tokenizer.add_special_tokens(["<|end|>"])
        tokenizer.add_tokens([AddedToken("lamps", single_word=True), AddedToken("  ", rstrip=True, normalized=False)])
    file = json.loads(tokenizer.to_str())
    change(file)
    return Tokenizer.from_str(json.dumps(file))


def bpe(vocab=420, special=("<unk>", "<s>", "</s>"), bytes=False, **options):
    letters = P.ByteLevel.alphabet() if bytes else []
    shared = {key: value for key, value in options.items() if key in ("continuing_subword_prefix", "end_of_word_suffix")}
    special = list(special) + (["<0x%02X>" % byte for byte in range(256)] if options.get("byte_fallback") else [])
    return M.BPE(**options), T.BpeTrainer(
        vocab_size=vocab, special_tokens=special, initial_alphabet=letters, limit_alphabet=90, show_progress=False, **shared
    )


def unigram(bytes=False):
    special = ["<unk>", "<s>", "</s>"] + (["<0x%02X>" % byte for byte in range(256)] if bytes else [])
    return M.Unigram(), T.UnigramTrainer(vocab_size=640 if bytes else 400, special_tokens=special, unk_token="<unk>", show_progress=False)


def word_piece():
    return M.WordPiece(unk_token="[UNK]"), T.WordPieceTrainer(
        vocab_size=260, special_tokens=["[UNK]", "[CLS]", "[SEP]"], limit_alphabet=90, show_progress=False
    )


bytes_only = lambda: P.ByteLevel(add_prefix_space=False, use_regex=False)
split = lambda pattern, behavior="isolated", invert=False: P.Split(Regex(pattern), behavior, invert)
llama = lambda: D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
sentencepiece = dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True)


def set_model(**fields):
    return lambda file: file["model"].update(fields)


layouts = {
    "gpt2": lambda: trained(*bpe(bytes=True), None, P.ByteLevel(add_prefix_space=False), D.ByteLevel()),
    "gpt2 with a space before": lambda: trained(*bpe(bytes=True), None, P.ByteLevel(add_prefix_space=True), D.ByteLevel()),
    "llama 3": lambda: trained(*bpe(bytes=True), None, P.Sequence([split(gpt4), bytes_only()]), D.ByteLevel(), change=set_model(ignore_merges=True)),
    "qwen": lambda: trained(*bpe(bytes=True), N.NFC(), P.Sequence([split(qwen), bytes_only()]), D.ByteLevel()),
    "o200k": lambda: trained(*bpe(bytes=True), None, P.Sequence([split(o200k), bytes_only()]), D.ByteLevel()),
    "possessive": lambda: trained(*bpe(bytes=True), None, P.Sequence([split(possessive), bytes_only()]), D.ByteLevel()),
    "split the other way": lambda: trained(*bpe(bytes=True), None, P.Sequence([split(gpt4, "removed", True), bytes_only()]), D.ByteLevel()),
    "deepseek": lambda: trained(
        *bpe(bytes=True), None,
        P.Sequence([*[split(pattern) for pattern in deepseek], P.Digits(individual_digits=True), bytes_only()]), D.ByteLevel(),
    ),
    "deepseek 3": lambda: trained(
        *bpe(bytes=True), None,
        P.Sequence([
            split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"),
            split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
            bytes_only(),
        ]), D.ByteLevel(),
    ),
    "smollm": lambda: trained(
        *bpe(bytes=True), None, P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]), D.ByteLevel()
    ),
    "falcon": lambda: trained(
        *bpe(bytes=True), None,
        P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(individual_digits=False)]), D.ByteLevel(),
    ),
    "bloom": lambda: trained(*bpe(bytes=True), None, P.Sequence([split(bloom), bytes_only()]), D.ByteLevel()),
    "digits together": lambda: trained(*bpe(bytes=True), None, P.Sequence([split(r"\d", "contiguous"), bytes_only()]), D.ByteLevel()),
    "llama 2": lambda: trained(*bpe(500, **sentencepiece), N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, llama()),
    "llama 2 with metaspace": lambda: trained(
        *bpe(500, **sentencepiece), None, P.Metaspace("▁", "first", False),
        D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]),
    ),
    "gemma": lambda: trained(
        *bpe(500, **sentencepiece), N.Replace(" ", "▁"), P.Split(" ", "merged_with_previous"),
        D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
    ),
    "metaspace always": lambda: trained(*bpe(), None, P.Metaspace("▁", "always", False), D.Metaspace("▁", "always", False)),
    "metaspace always, split": lambda: trained(*bpe(), None, P.Metaspace("▁", "always", True), D.Metaspace("▁", "always", True)),
    "metaspace never": lambda: trained(*bpe(), None, P.Metaspace("_", "never"), D.Metaspace("_", "never")),
    "bert": lambda: trained(*word_piece(), N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece()),
    "bert cased": lambda: trained(*word_piece(), N.BertNormalizer(lowercase=False), P.BertPreTokenizer(), D.WordPiece(cleanup=False)),
    "t5": lambda: trained(*unigram(), N.NFKC(), P.Sequence([P.WhitespaceSplit(), P.Metaspace("▁", "always")]), D.Metaspace("▁", "always")),
    "unigram of bytes": lambda: trained(
        *unigram(True), None, P.Metaspace("▁", "always"), D.Sequence([D.ByteFallback(), D.Metaspace("▁", "always")]),
        change=set_model(byte_fallback=True),
    ),
    "whisper": lambda: trained(*bpe(bytes=True, special=[]), None, P.ByteLevel(add_prefix_space=False), D.ByteLevel()),
    "words that go on": lambda: trained(
        *bpe(unk_token="<unk>", continuing_subword_prefix="##"), None, P.Whitespace(), D.WordPiece("##")
    ),
    "words that end": lambda: trained(
        *bpe(unk_token="<unk>", end_of_word_suffix="</w>"), N.Sequence([N.NFC(), N.Lowercase()]), P.BertPreTokenizer(), D.BPEDecoder("</w>")
    ),
    "clip": lambda: trained(
        *bpe(bytes=True, unk_token="<unk>", end_of_word_suffix="</w>"),
        N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]),
        P.Sequence([split(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "removed", True), P.ByteLevel(add_prefix_space=False)]),
        D.ByteLevel(),
    ),
}


def combination(pick):
    some = lambda value: pick.random() < value
    behavior = lambda: pick.choice(["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"])

    def normalizer(depth=0):
        kinds = [
            *[lambda: None] * 6, N.NFC, N.NFD, N.NFKC, N.NFKD, N.Lowercase, N.StripAccents, lambda: N.Strip(some(0.5), some(0.5)),
            lambda: N.Replace(pick.choice([" ", "  ", "a", "l", "é"]), pick.choice(["▁", "", "-", "$&"])),
            lambda: N.Replace(Regex(pick.choice(patterns)), pick.choice([" ", "", "_"])),
            lambda: N.Prepend(pick.choice(["▁", " "])),
            lambda: N.BertNormalizer(some(0.7), some(0.7), pick.choice([None, True, False]), some(0.5)),
            N.ByteLevel, N.Nmt,
        ]
        if depth == 0 and some(0.2):
            return N.Sequence([part for part in (normalizer(1) for _ in range(pick.choice([2, 3]))) if part is not None])
        return pick.choice(kinds)()

    def pre_tokenizer(depth=0):
        kinds = [
            lambda: None, lambda: P.ByteLevel(some(0.4), True, some(0.6)), bytes_only, P.Whitespace, P.WhitespaceSplit, P.BertPreTokenizer,
            *[lambda: P.Split(pick.choice([Regex(pick.choice(patterns)), pick.choice([" ", "l", "▁", "."])]), behavior(), some(0.25))] * 4,
            *[lambda: P.Metaspace(pick.choice("▁▁_"), pick.choice(["always", "never", "first"]), some(0.5))] * 2,
            lambda: P.Digits(some(0.5)), lambda: P.Punctuation(behavior()), lambda: P.CharDelimiterSplit(pick.choice(" l-")),
            lambda: P.FixedLength(pick.choice([1, 3, 5])), P.UnicodeScripts,
        ]
        if depth == 0 and some(0.3):
            return P.Sequence([part for part in (pre_tokenizer(1) for _ in range(pick.choice([2, 3]))) if part is not None])
        return pick.choice(kinds)()

    def decoder(depth=0):
        kinds = [
            lambda: None, D.ByteLevel, lambda: D.Metaspace(pick.choice("▁_"), pick.choice(["always", "never", "first"]), some(0.5)),
            lambda: D.WordPiece(pick.choice(["##", "@@"]), some(0.5)), lambda: D.BPEDecoder("</w>"), D.ByteFallback, D.Fuse, D.CTC,
            lambda: D.Replace(pick.choice(["▁", "##", Regex(r"\s+")]), pick.choice([" ", ""])),
            lambda: D.Strip(pick.choice(" ▁"), pick.choice([0, 1, 2]), 0),
        ]
        if depth == 0 and some(0.3):
            return D.Sequence([decoder(1) or D.Fuse() for _ in range(pick.choice([2, 3, 4]))])
        return pick.choice(kinds)()

    parts = [normalizer(), pre_tokenizer(), decoder()]
    options = {}
    if some(0.25):
        options["continuing_subword_prefix"] = "##"
    if some(0.25):
        options["end_of_word_suffix"] = "</w>"
    if some(0.7):
        options["unk_token"] = "<unk>"
    bytes = "ByteLevel" in str(parts[:2])
    kind = pick.choice(["bpe", "bpe", "bpe", "word piece", "unigram"])
    model = (
        bpe(pick.choice([330, 600]), bytes=bytes, byte_fallback=not bytes and some(0.3), fuse_unk=some(0.4), **options) if kind == "bpe"
        else word_piece() if kind == "word piece" else unigram(some(0.3))
    )
    tokenizer = trained(*model, *parts, added=False, change=set_model(ignore_merges=True) if kind == "bpe" and some(0.3) else lambda file: None)
    if some(0.6):
        tokenizer.add_special_tokens([AddedToken("<|end|>", lstrip=some(0.3), rstrip=some(0.3), normalized=some(0.3))])
    if some(0.5):
        tokenizer.add_tokens([
            AddedToken(name, single_word=some(0.5), lstrip=some(0.3), rstrip=some(0.3), normalized=some(0.5))
            for name in pick.sample(["hello", "lamp", "<x>", "café", "it's", "  ", "the", "lam"], 3)
        ])
    return Tokenizer.from_str(tokenizer.to_str())


def combinations(seed, count, texts):
    pick = random.Random(seed)
    done = 0
    while done < count:
        # What the reference itself does not take, or stumbles over, is left away.
        try:
            made = line(combination(pick), pick, texts)
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            continue
        done += 1
        yield made


if len(sys.argv) > 1:
    seed, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with open(path, "w") as out:
        for made in combinations(seed, count, 60):
            out.write(made + "\n")
else:
    pick = random.Random(1)
    with open(fixtures / "layouts.jsonl", "w") as out:
        for name, make in layouts.items():
            out.write(line(make(), pick, 12, name=name) + "\n")
    with open(fixtures / "combinations.jsonl", "w") as out:
        for made in combinations(2, 28, 6):
            out.write(made + "\n")
