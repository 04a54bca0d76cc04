"""The texts that tokenizers are compared on: spaces, digits, accents, scripts, emoji, control
characters, code, long runs, and the texts of special tokens."""

FAMILY = "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466"

TEXTS = [
    # Plain text, spaces, ends.
    "", " ", "  ", "   ", "a", " a", "a ", "  a  ", "Hello, world!", " Hello, world! ",
    "The quick brown fox jumps over the lazy dog.",
    "word" + " " * 2 + "two", "word" + " " * 7 + "seven", " " * 40, "x" + " " * 100 + "y",
    "trailing spaces" + " " * 5, "a  b   c    d     e",
    # Newlines, tabs, other white space.
    "\n", "\n\n", "\n\n\n\n\n", "\r\n", "\r", "line one\nline two\r\nline three\rline four\n",
    " \n \n\n  \n", "\t", "\t\t\tindented", "a\tb\t\tc \t d", "\n\n  \t\n x", "end\n ", "end \n",
    "\x0b\x0c", "a\u00a0b\u00a0\u00a0c", "a\u2003b\u2009c\u3000d", "a\u2028b\u2029c",
    "\u1680x\u205fy",
    "\u0085next line", "zero\u200bwidth\u200bspace", "\ufeffbyte order mark",
    # Contractions, in the cases the regular expression does and does not know.
    "I'm you're he's we've they'll I'd can't", "I'M YOU'RE HE'S WE'VE THEY'LL I'D CAN'T",
    "I\u2019m don\u2019t it\u2019s", "'s 't 're ' s", "rock'n'roll 'tis ''quoted''",
    # Digits: each one is split off, in any script.
    "0", "1234567890", "3.14159", "1,234,567.89", "in 1897 and 2024", "v1.2.3-rc4", "0x1F600",
    "a1b2c3", " 42", "  42", "\u0661\u0662\u0663", "\u0967\u0968\u0969", "\uff11\uff12\uff13",
    "\u2160\u2161\u216b", "\u00bd\u00be\u00b2\u00b3", "\u2460\u2461", "x\u00b2+y\u00b2=z\u00b2",
    "\U0001D7CE\U0001D7CF",
    # Accents, composed and combining.
    "caf\u00e9 na\u00efve r\u00e9sum\u00e9", "cafe\u0301 nai\u0308ve", "A\u030angstro\u0308m",
    "e\u0301\u0302\u0303\u0304",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0308\u0348l\u0355g\u0321o\u035a",
    "\u0301starts with a mark", "\u0130stanbul \u0131\u015f\u0131k", "Stra\u00dfe STRASSE \u1e9e",
    "\ufb01nance \ufb02ow",
    # Scripts.
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01",
    "\u6771\u4eac\u90fd\u306b\u884c\u304d\u307e\u3057\u305f\u3002",
    "\u30ab\u30bf\u30ab\u30ca \uff76\uff80\uff76\uff85",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4",
    "\u1112\u1161\u11ab",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0627\u0644\u0633\u064e\u0651\u0644\u064e\u0627\u0645\u064f",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u202e\u05d0bc\u202c",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0", "\u0532\u0561\u0580\u0565\u0582",
    "\u1200\u120e \u12d3\u1208\u121d",
    "\u0f56\u0f7c\u0f51\u0f0b\u0f61\u0f72\u0f42", "\u1019\u103c\u1014\u103a\u1019\u102c",
    "\u178f\u17be", "\u13e3\u13b3\u13a9",
    "ti\u1ebfng Vi\u1ec7t", "mixed \u4e2d\u6587 and English \u6df7\u5408 text123\u6570\u5b57",
    # Emoji and the astral planes.
    "\U0001F600", "\U0001F600\U0001F601\U0001F602", "hi \U0001F44B\U0001F3FD there", FAMILY,
    FAMILY + " " + FAMILY, "\U0001F3F3\ufe0f\u200d\U0001F308",
    "\U0001F1EB\U0001F1F7\U0001F1EF\U0001F1F5",
    "1\ufe0f\u20e3 \u2764\ufe0f \u2764",
    "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F",
    "\U00010348\U00010330", "\U0001D4D7\U0001D4EE\U0001D4F5\U0001D4F5\U0001D4F8",
    "\U00020000\U0002A6DF",
    "\U00040000", "x\U000A0000y", "\U0010FFFF", "\U000F0000\ue000",
    # Replacement and other special characters.
    "\ufffd", "a\ufffdb", "\ufffd\ufffd\ufffd", "\uffff", "\u00ad soft\u00adhyphen",
    "\u2026\u2014\u2013\u201c\u201d\u2018\u2019",
    "\u20ac\u00a3\u00a5\u20bf \u00b1 \u2264 \u2260 \u221e \u2211 \u222b",
    "\u2192\u21d2\u2500\u2502\u250c\u2588\u2591",
    # Control characters, NUL included.
    "\x00", "a\x00b", "\x01\x02\x03", "\x1b[31mred\x1b[0m", "\x7f", "\x80\x9f", "\x08\x0e\x1f",
    "bell\x07", "\x04", "a\x16b",
    "a \x1c b\x1d \x1ec\x1f",
    "".join(map(chr, range(1, 128))), "".join(map(chr, range(0xa0, 0x180))),
    # Punctuation runs and code.
    "!!!???...---===", "....", "()[]{}<>", "a.b,c;d:e",
    "C++ C# F# .NET @user #tag $5 100% ~/x \\n \\t \\",
    "def f(x):\n    return x ** 2  # square\n\n\nprint(f(3))\n",
    "int main(void) {\n\tfor (int i = 0; i < 10; ++i) {\n\t\tprintf(\"%d\\n\", i);\n\t}\n}\n",
    "<html><body class=\"a\">&nbsp;&amp;</body></html>",
    "{\"key\": [1, 2.5e-3, null, true], \"k2\": \"v\\u00e9\"}",
    "SELECT * FROM t WHERE a='x' AND b>=3;", "https://example.org/a/b?c=d&e=f#g",
    "name@example.org",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case",
    "$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$",
    "- item\n  - nested\n    - deeper\n1. one\n2. two\n\n| a | b |\n|---|---|\n",
    # Very long words and runs.
    "a" * 300, "antidisestablishmentarianism" * 8, "ab" * 200, "=" * 257, "\u4e2d" * 90,
    "\U0001F600" * 40,
    "0" * 130, "\n" * 70, "\t" * 33, "Aa" * 65 + "1" + "!" * 65, "e\u0301" * 60,
    "=" * 79 + "\n" + "-" * 79,
    # The text of special tokens.
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|><|im_end|>",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", " <|im_start|> ", "a<|im_end|>b",
    "<|im_start", "<|im_start|", "|im_start|>", "<|IM_START|>", "<|im_start |>", "<<|im_start|>>",
    "<|im_<|im_end|>start|>", "  <|endoftext|>\n\n", "<repo_name>x<file_sep>y",
    "<jupyter_start><empty_output>",
    "<gh_stars>", "<s></s><unk><pad>", "caf\u00e9<|im_end|>\u4f60\u597d",
]
