#!/usr/bin/env python3
"""Write tests/golden/tokens_1000.jsonl: 1,000 texts with the token ids llama.cpp gives them.

The first line is a header {model_sha256, producer, lines}; then one {text, special, ids} per line.
`special` false: <|im_start|> and the like in the text are plain characters; true: they are parsed.
The texts are written here (prose in many scripts, code, digits, odd whitespace, control characters,
combining marks, look-alikes of special tokens, seeded mixtures) or are lines of prompts.jsonl.
No text is empty or holds U+0000; code points drawn at random were assigned in Unicode 3.2 and have
kept their category since, so that the answer does not hang on a table's version.
"""

from __future__ import annotations

import argparse
import random
import unicodedata
from pathlib import Path

from common import GOLDEN, MODEL, PROMPTS, read_jsonl, require_model, write_jsonl
from llama_peer import Llama, version

PROSE = """\
The quick brown fox jumps over the lazy dog.
It was raining when she left; by noon the streets had dried, and nobody remembered the storm.
I'd say they've won, but we're not sure it's over. He'll ask; you'd better know. I'm done.
"Don't," she said. "It isn't yours, and it wasn't theirs either."
DON'T SHOUT, IT'S RUDE AND WE'VE HEARD YOU; THEY'RE ASLEEP. I'LL GO, I'D RATHER. I'M OFF.
rock 'n' roll, the '90s, o'clock, 'twas, y'all'd've, dogs' tails, 'S 'T 'RE 'VE 'M 'LL 'D
Curly quotes: it’s, don’t, we’ll, ‘single’ “double” „low“ «guillemets» ‹single›
'ſ 'ſt it'ſ 'K (long s and Kelvin sign)
naïve café résumé coöperate façade Ångström jalapeño Škoda Łódź Dvořák Þór Ægir œuvre
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.
Portez ce vieux whisky au juge blond qui fume, n'est-ce pas ? L'été, j'ai lu d'un trait.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia. ¿Qué? ¡Ay!
Gazeta prawna: zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul ılık ışık. DİYARBAKIR
Съешь же ещё этих мягких французских булок, да выпей чаю. Её объём — 5 л.
Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п’яне знаємо.
Ξεσκεπάζω την ψυχοφθόρα σας βδελυγμία. Οδός ΟΔΟΣ, ἀρχὴ καὶ τέλος.
דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر. السَّلامُ عَلَيْكُم ٠١٢٣٤٥
یک روز صبح، او به بازار رفت؛ «می‌خواهم» نوشت. ۱۲۳۴
सब लोग हिंदी में क्षत्रिय लिखते हैं। १२३ नमस्ते दुनिया
আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। ১২৩৪
யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம்
ภาษาไทยไม่เว้นวรรคระหว่างคำ กรุงเทพมหานคร ๑๒๓
ប្រទេសកម្ពុជា ជាប្រទេស ១២៣
ქართული ენა და ანბანი. Հայոց լեզուն եւ գրերը։
አማርኛ ቋንቋ፣ ኢትዮጵያ። ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᚠᚢᚦᚨᚱᚲ
いろはにほへと ちりぬるを。カタカナ、ｶﾀｶﾅ、漢字かな交じり文。
我能吞下玻璃而不伤身体。１２３４，二〇二四年三月十七日。
我能吞下玻璃而不傷身體。「你好」，他說：『再見』！
키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ㅋㅋㅋ
Tiếng Việt có sáu thanh điệu: ngang, huyền, sắc, hỏi, ngã, nặng.
བོད་སྐད་ཀྱི་ཡི་གེ། မြန်မာဘာသာ ລາວ සිංහල ಕನ್ನಡ తెలుగు മലയാളം ગુજરાતી ਪੰਜਾਬੀ
Mixed: hello мир 世界 🌍 العالم שלום 안녕 γειά, all in one line with 3.14 and 42%.
Emoji: 😀😃😄 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 1️⃣ ☕️ ❤ ❤️ 🤷🏿‍♀️ ✈︎ ☺︎
Math: ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β, ∑ᵢ₌₁ⁿ i² ≤ n³, x² + y² = z², ½ ⅓ Ⅷ ⓬ ㉓
Currency: $5 €6 £7 ¥8 ₹9 ₿10 and 5 ¢; 20 °C, 5′ 6″, 30 µm, 7 ‰, № 5, § 12, ¶ 3
Arrows → ← ↔ ⇒ boxes ┌─┐│└┘ blocks ░▒▓█ braille ⠓⠑⠇⠇⠕ stars ★☆ dingbats ✔✘
Combining: é é ô x̂ ñ Z̸̡͎a̷l̶g̴o̷ ◌́ ȧ̲ (decomposed and composed)
Ligatures ﬁ ﬂ ﬃ, full width ＡＢＣ１２３！, half ﾊﾝｶｸ, sub H₂O, super mc²
𝐁𝐨𝐥𝐝 𝑖𝑡𝑎𝑙𝑖𝑐 𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝕕𝕠𝕦𝕓𝕝𝕖 𝟘𝟙𝟚𝟛 𐍈𐌰 𒀀𒁀 𓀀𓁐 𠜎𠜱 🀄🂡
Hyphens: well-known, non‑breaking, en–dash, em—dash, minus −5, soft­hyphen, zero​width, word⁠joiner
Dates 2024-02-29T23:59:59.999Z, 1/2/03, 12:30, ISBN 978-3-16-148410-0, +49 (30) 123 45 67
Numbers 0 00 007 1234567890 1,234,567.89 1e-10 0xDEADBEEF 0b1010 1_000_000 -17 +5 3.1415926535
mail someone@example.org, see https://example.org/a/b?c=d&e=%20#frag or www.example.net
CamelCaseIdentifier snake_case_identifier SCREAMING_SNAKE kebab-case-name mixedUP123abc4D
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
!!!!!!!!!!?????.....,,,,,;;;;:::::------____====++++****////\\\\\\\\||||~~~~^^^^&&&&
(((((((((([[[[[[{{{{{{<<<<<<>>>>>>}}}}}}]]]]]]))))))))))
# Heading\t## not a heading\t* item\t- item\t> quote\t`code`\t**bold** __bold__ ~~gone~~ [a](b)
| a | b |\t|---|:-:|\t| 1 | 2 |
The end.Next without a space,and,commas;semicolons:colons!bang?what"""

CODE = [
    "def f(x, *args, **kwargs) -> int:\n    return x if x is not None else -1\n",
    "for (size_t i = 0; i < n; i++) { a[i] += b[i] * 0.5f; } /* axpy */",
    '#include <stdio.h>\n\nint main(void)\n{\n\tprintf("%d\\n", 42);\n\treturn 0;\n}\n',
    "SELECT name, COUNT(*) AS n FROM t WHERE x >= 10 AND y <> 'a''b' GROUP BY 1;",
    "const f = async ({a, b = 2, ...rest}) => `${a}-${b}` ?? rest?.[0]!;",
    "fn main() -> Result<(), Box<dyn Error>> { let v: Vec<u8> = vec![0; 10]; Ok(()) }",
    'if [ -f "$HOME/.rc" ]; then . "$HOME/.rc" || exit 1; fi  # shell\n',
    '{"a": [1, 2.5e-3, null, true], "b": {"c": "\\u00e9\\n"}, "d": -0}',
    "<div class=\"x\" id='y'>&amp;&nbsp;&#169;<br/></div><!-- no -->",
    "\\begin{equation} \\frac{a}{b} = \\sqrt[3]{x^2_{i}} \\end{equation}",
    "class A(B):\n\n    def __init__(self):\n        self._x = {}\n        self.y: int = []\n",
    "x = [i**2 for i in range(10) if i % 2 == 0 and i != 4]  # squares",
    "template<typename T> auto g(T&& t) -> decltype(t->x) { return std::move(t)->x; }",
    "main = mapM_ (putStrLn . show) $ takeWhile (<100) [x*x | x <- [1..], odd x]",
    "key: value\nlist:\n  - one\n  - two: {three: 3}\n...\n",
    "mov eax, [rbp-0x10]\nxor\tecx, ecx\njne .L2\n.L2:\n\tret\n",
    "diff --git a/x b/x\n@@ -1,3 +1,3 @@\n-old line\n+new line\n context\n",
    "^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+)@(?:\\d{1,3}\\.){3}\\d+$",
]

SPACES = [
    " ",
    "  ",
    "   ",
    "    ",
    "\t",
    "\t\t",
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    "\r",
    " \n",
    "\n ",
    "\t\n",
]
ODD_SPACES = ["\x0b", "\x0c", "\x85", "\u00a0", "\u1680", "\u180e", "\u2002", "\u2009", "\u200a"]
ODD_SPACES += ["\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\x1c", "\x1f"]
WORDS = "the a of sluice Table x Rename function 7 42 2024 don't it's café мир 世界".split()
WORDS += "return ( ) . , : -".split()
LOOKALIKES = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|im_start|",
    "|im_end|>",
    "<|im_end|",
]
LOOKALIKES += ["<|IM_START|>", "<|im_start |>", "< |im_end|>", "<s>", "</s>", "<unk>", "[INST]"]
LOOKALIKES += ["<|fim_prefix|>", "<|im_start|><|im_end|>", "<<|im_end|>>", "<|eot_id|>", "<pad>"]


def stable_points(rng: random.Random, count: int) -> str:
    """Random code points that Unicode 3.2 knew and whose category never changed."""
    blocks = [(0xA1, 0x24F), (0x250, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x900, 0xDFF)]
    blocks += [(0xE00, 0x10FF), (0x1100, 0x16FF), (0x1E00, 0x1FFF), (0x2000, 0x27BF)]
    blocks += [(0x3000, 0x33FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xFFEF)]
    blocks += [(0x10300, 0x1034A), (0x1D400, 0x1D7FF), (0x20000, 0x2A6D6), (0xE000, 0xE0FF)]
    out = ""
    old = unicodedata.ucd_3_2_0
    low, high = rng.choice(blocks)
    while len(out) < count:
        if rng.random() < 0.1:
            low, high = rng.choice(blocks)
        char = chr(rng.randint(low, high))
        category = old.category(char)
        if category != "Cn" and category == unicodedata.category(char):
            out += char
    return out


def mixture(rng: random.Random) -> str:
    """Words, spaces of all kinds, digits, punctuation and random code points, run together."""
    parts = []
    for _ in range(rng.randint(2, 14)):
        parts.append(
            rng.choice(
                [
                    lambda: rng.choice(WORDS),
                    lambda: rng.choice(SPACES),
                    lambda: rng.choice(SPACES) + rng.choice(WORDS),
                    lambda: rng.choice(ODD_SPACES),
                    lambda: str(rng.randrange(10 ** rng.randint(1, 12))),
                    lambda: "".join(
                        rng.choices("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", k=rng.randint(1, 4))
                    ),
                    lambda: stable_points(rng, rng.randint(1, 4)),
                    lambda: rng.choice("aeo")
                    + "".join(rng.choices("\u0301\u0300\u0308\u0323\u20d7", k=2)),
                    lambda: rng.choice(
                        ["'s", "'S", "'t", "'re", "'VE", "'m", "'Ll", "'d", "'", "’s"]
                    ),
                ]
            )()
        )
    return "".join(parts)


def texts() -> list[tuple[str, bool]]:
    """(text, parse special tokens) of every line, 1,000 in all, each text once."""
    rng = random.Random(1000)
    prose = PROSE.replace("\\t", "\t").split("\n")
    out: list[tuple[str, bool]] = [(line, False) for line in [*prose, *CODE, *SPACES, *ODD_SPACES]]
    out += [(" " + line, False) for line in prose[::5]] + [
        (line + " \n", False) for line in prose[1::5]
    ]
    # the ASCII and Latin characters one by one, controls in words
    out += [("".join(map(chr, range(at, at + 16))), False) for at in range(32, 0x250, 16)]
    out += [(f"a{chr(c)}b {chr(c)}{chr(c)}1", False) for c in [*range(1, 32), 127, 0x80, 0x9F]]
    out += [
        (digits, False)
        for digits in ("1", "12", "123", "1234", "12345 678 9", "٣٤٥ ४५६ ５６７ Ⅳ ²³")
    ]
    out += [(" " * n + "x", False) for n in range(1, 20)] + [
        ("\n" * n + "x", False) for n in range(1, 6)
    ]
    out += [(mark, flag) for mark in LOOKALIKES for flag in (False, True)]
    for _ in range(60):
        pieces = [
            rng.choice([rng.choice(LOOKALIKES), rng.choice(WORDS), rng.choice(SPACES)])
            for _ in range(8)
        ]
        out += [("".join(pieces), flag) for flag in (False, True)]
    lines = [
        line
        for row in read_jsonl(PROMPTS)
        for line in row["text"].split("\n")
        if 20 < len(line) < 240
    ]
    out += [(line, False) for line in rng.sample(sorted(set(lines)), 170)]
    out += [
        (row["text"], False) for row in list(read_jsonl(PROMPTS))[:60] if len(row["text"]) < 500
    ]
    out += [(stable_points(rng, rng.randint(1, 24)), False) for _ in range(120)]
    out = list(dict.fromkeys(out))
    while len(out) < 1000:
        item = (mixture(rng), False)
        if item not in out:
            out.append(item)
    return out[:1000]


def main() -> None:
    """Write the golden."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=GOLDEN / "tokens_1000.jsonl")
    args = parser.parse_args()
    sha256 = require_model(args.model)
    vocab = Llama(args.model, vocab_only=True)
    rows = [
        {"text": text, "special": special, "ids": vocab.tokenize(text, special=special)}
        for text, special in texts()
    ]
    assert all(row["text"] and "\0" not in row["text"] for row in rows)
    header = {"model_sha256": sha256, "producer": version(), "lines": len(rows)}
    write_jsonl(args.out, [header, *rows])


if __name__ == "__main__":
    main()
