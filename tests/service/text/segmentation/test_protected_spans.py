"""Tests of service.text.segmentation.protected_spans and of message_format."""

import time

import pytest

from service.text.segmentation import protected_spans
from service.text.segmentation.message_format import split_argument
from service.text.segmentation.protected_spans import SEARCHED, find_protected_spans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://example.org/a_(b)?c=1&d=e#f.", ["https://example.org/a_(b)?c=1&d=e#f"]),
        ("See http://x.org/a_(b)", ["http://x.org/a_(b)"]),
        ("(see http://x.org/a) or www.x.org, HTTP://X.ORG!", ["http://x.org/a", "www.x.org", "HTTP://X.ORG"]),
        ("at example.com/path. Or bbc.co.uk?", ["example.com/path", "bbc.co.uk"]),
        ("Mail joe.b+c@mail.example.org.", ["joe.b+c@mail.example.org"]),
        ("'a@b.org' or bob.o'neil@example.co.uk", ["a@b.org", "bob.o'neil@example.co.uk"]),
        ("Example.com, GitHub.com/Me. Gut.Das", ["Example.com", "GitHub.com/Me"]),
        ("{name} {{ user.name }} ${var} {0:.2f}", ["{name}", "{{ user.name }}", "${var}", "{0:.2f}"]),
        ("%s %(name)s %1$s %.2f %d", ["%s", "%(name)s", "%1$s", "%.2f", "%d"]),
        ("%s%d<b>", ["%s%d<b>"]),
        ("<2de> </s> <|end|> <b> <a href='x'> <br/>", ["<2de>", "</s>", "<|end|>", "<b>", "<a href='x'>", "<br/>"]),
        ("run `a b` or ```c```", ["`a b`", "```c```"]),
        ("a&nbsp;b &#233; \ufffc", ["&nbsp;", "&#233;", "\ufffc"]),
        ("见https://x.org/路。好", ["见https://x.org/路", "好"]),
        ("He said: no. 5,000 e.g. this", []),
        ("end.Then it@, well-known, Mr. Smith's U.S. friends", []),
        ("100% sure, 50 % de, a < b", ["100%", "50 %", "a < b"]),
        (
            "%{name} #{n} %d%% __n__ :name $name %name%",
            ["%{name}", "#{n}", "%d%%", "__n__", ":name", "$name", "%name%"],
        ),
        ("[first_name] [[a b]] ##A## *|B|* <%= c %>", ["[first_name]", "[[a b]]", "##A##", "*|B|*", "<%= c %>"]),
        ("a {n, plural, one {x} other {{y} z}} b {c", ["{n, plural, one {x} other {{y} z}}"]),
        ("/usr/bin/python, C:\\x\\y.txt or src/main.rs", ["/usr/bin/python", "C:\\x\\y.txt", "src/main.rs"]),
        ("my_var getName() MAX_SIZE file.py v2.0-b", ["my_var", "getName()", "MAX_SIZE", "file.py", "v2.0-b"]),
        ("-5 °C, 30 g, 20%, $5, 3.500,50 €, 5 in a", ["-5 °C", "30 g", "20%", "$5", "3.500,50 €"]),
        ("AT&T and Q&A in C++ or C#, a&b", ["AT&T", "Q&A", "C++", "C#"]),
        ("#Tag @name N/A 555-0123 2 + 2 = 4", ["#Tag", "@name", "N/A", "555-0123", "2 + 2 = 4"]),
        ("Run:\n```sh\nls -l\n```\nGo.\n~~~\nx\n", ["```sh\nls -l\n```", "~~~\nx\n"]),
        ("Tom & Anna love 東京 and Анна", ["&", "東京", "Анна"]),
        ("(555) 123-4567, 01 23 45 67 89 or 089/123456", ["(555) 123-4567", "01 23 45 67 89", "089/123456"]),
        ("IBAN DE89 3704 0044 0532 0130 00, 12-18, 20–25 kg", ["DE89 3704 0044 0532 0130 00", "12-18", "20–25 kg"]),
        ("A-10023 XK-47/B COVID-19 7f3a-99bc a 16-year-old", ["A-10023", "XK-47/B", "COVID-19", "7f3a-99bc"]),
        ("–3% 3½ ½ 1/2 12.999,- €", ["–3%", "3½", "½", "1/2", "12.999,- €"]),
        ("foo(x, y) a.b(c) x == null file(s) e.g. this", ["foo(x, y)", "a.b(c)", "x == null"]),
        ("user.email com.example.Name the house.The", ["user.email", "com.example.Name"]),
        ("PORT=80 Ctrl+C node@18.2 .env !name %site", ["PORT=80", "Ctrl+C", "node@18.2", ".env", "!name", "%site"]),
        ("@@name@@ ~name~ [%= n %] ``a `b` c``", ["@@name@@", "~name~", "[%= n %]", "``a `b` c``"]),
        ("I like कविता and ok!now", ["कविता"]),
        ("10x, 5G, 1080p, 1..10, a 5th time", ["10x", "5G", "1080p", "1..10"]),
        ("Louis XIV, IV and II, but I. V. and MIX", ["XIV", "IV", "II"]),
        ("+49 (0)30 12-34, +1 (555) 123-4567", ["+49 (0)30 12-34", "+1 (555) 123-4567"]),
        ("at 5 p.m., 5:30 a.m. or 11am", ["5 p.m", "5:30 a.m", "11am"]),
        ("EUR 1.5m, £5m, €2 Mio. but 5 m", ["EUR 1.5m", "£5m", "€2 Mio.", "5 m"]),
        ("self.x and this.y, the cat.i saw", ["self.x", "this.y"]),
        ("99¢, 5 zł, kr 500, $10–$20, R$ 10", ["99¢", "5 zł", "kr 500", "$10–$20", "R$ 10"]),
        ("1.2 em, 1 gal, 12 V DC, 2 x 3 m, 4×4", ["1.2 em", "1 gal", "12 V DC", "2 x 3 m", "4×4"]),
        ("+33 1 23 45, AA:BB:CC:DD:EE:FF, 2001:db8::1", ["+33 1 23 45", "AA:BB:CC:DD:EE:FF", "2001:db8::1"]),
        ("localhost:3000 user@host at 10:30", ["localhost:3000", "user@host"]),
        ("git@github.com:a/b.git mailto:me@x.com", ["git@github.com:a/b.git", "mailto:me@x.com"]),
        ("ISBN 978-3-16 or HTTP 404, THE 4 HOUSES", ["ISBN 978-3-16", "HTTP 404"]),
        ("H₂O, CO₂, x², 10⁻³, C₆H₁₂O₆, a note¹", ["H₂O", "CO₂", "x²", "10⁻³", "C₆H₁₂O₆"]),
        ("√2 № 5 ∞ ℃ † ① Ⅳ ⌘C §§ 1–3", ["√2", "№ 5", "∞", "℃", "†", "①", "Ⅳ", "⌘C", "§§ 1–3"]),
        ("$t(key) @:a.b @:{'k'} ${{ s.X }} #[x]", ["$t(key)", "@:a.b", "@:{'k'}", "${{ s.X }}", "#[x]"]),
        ("###1### %%NAME%% %% %<n>s &brandName;", ["###1###", "%%NAME%%", "%%", "%<n>s", "&brandName;"]),
        ("text/html POST /login <!-- c --> /* c */", ["text/html", "POST /login", "<!-- c -->", "/* c */"]),
        ("SELECT * FROM users; select one", ["SELECT * FROM users"]),
        ("**bold** words, then **kwargs", ["**kwargs"]),
        ('#!/bin/sh #include <a.h> KEY="a b" x += 1', ["#!/bin/sh", "#include <a.h>", 'KEY="a b"', "x += 1"]),
        ("a[0] arr[i] List<String> a|b a\\b A-B", ["a[0]", "arr[i]", "List<String>", "a|b", "a\\b", "A-B"]),
        ("$x^2$ costs $5 or $6 = ok, \\frac{1}{2}", ["$x^2$", "$5", "$6", "\\frac{1}{2}"]),
        ("Łódź, Đà Nẵng and Škoda, café, Müller", ["Łódź", "Đà Nẵng", "Škoda"]),
        (">=3.8 ==1.0 ^1.2.0 \\u00e9 5 - 3", [">=3.8", "==1.0", "^1.2.0", "\\u00e9", "5 - 3"]),
        ("src/**/*.ts %*d %.*f **not** this", ["src/**/*.ts", "%*d", "%.*f"]),
        ("the end[1], well-known, A-level, Room:12", ["[1]"]),
    ],
)
def test_protected_spans_are_found_and_nothing_else(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in find_protected_spans(text, "en")] == expected


@pytest.mark.parametrize(
    ("argument", "messages"),
    [
        ("{n, plural, =0 {No dogs} one {One {a}} other {# dogs}}", ["No dogs", "One {a}", "# dogs"]),
        ("{n, plural, offset:1 one{a}other{b}}", ["a", "b"]),
        ("{x, select, male {He} other {}}", ["He", ""]),
        ("{x, select, male}", []),
    ],
)
def test_messages_of_an_argument(argument: str, messages: list[str]) -> None:
    pieces = list(split_argument(argument))
    assert "".join(piece for piece, _ in pieces) == argument
    assert [piece for piece, is_message in pieces if is_message] == messages


@pytest.mark.parametrize(
    "unit",
    [
        "`a",
        "```\n",
        "~~~",
        "[",
        "[[",
        "<%",
        "*|",
        "#a",
        "$a",
        "%a",
        "/a",
        "a/",
        "a_",
        "aB",
        "1 ",
        "1,",
        "-1",
        "1-",
        "0 1",
        "00 ",
        "(11) ",
        "A-",
        "a.b",
        "a(",
        "a(,",
        "a@1.",
        "a=",
        "A+",
        "DE11 ",
        "``",
        "~a",
        "@@",
        "[%",
        "½",
        "'a",
        "1.1.",
        "я ",
        "{a,plural,",
        "{a,plural,b{",
        "<a ",
        "<a =",
        "@a",
        "a@",
        "a@a.",
        "http://",
        "{",
        "%(",
        "a.com ",
        "a.",
        "&a",
        "1a",
        "1.",
        "<a <",
    ],
)
def test_time_is_linear_for_unfinished_spans(unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    started = time.process_time()
    find_protected_spans(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("piece", [".", "word ", "5 kg, ", "`x` {y} ", "/a", "http://x.org/", "```\n", "$x$ "])
def test_long_texts_have_the_spans_of_one_search(piece: str) -> None:
    text = piece * (3 * SEARCHED // len(piece)) + " {name} `code`\n```\nfence\n" + piece * 2000
    found = [match.span() for match in protected_spans._PROTECTED.finditer(text)]
    assert list(protected_spans._search_protected(text)) == found
