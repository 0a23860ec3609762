"""Tests of service.documents.formats.po and plural_forms."""

import gettext
import re
import time
from collections.abc import Callable

import polib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.formats.document import DocumentUnit, ReadOptions, TranslatableDocument
from service.documents.formats.plural_forms import parse_header, plural_forms
from service.documents.formats.po import FORMAT, MAX_ENTRY_CHARACTERS
from service.errors import InvalidDocument, TooLarge
from tests.service.documents.helpers import OPTIONS, capitals, round_trip, unchanged
from tests.service.text.markup.helpers import upper

HEADER = (
    'msgid ""\nmsgstr ""\n"Project-Id-Version: x\\n"\n"Language: de\\n"\n'
    '"Content-Type: text/plain; charset=UTF-8\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
)
TEXTS = st.lists(
    st.sampled_from(["one", " ", "two three", '"', "\\", "\n", "\t", "%s", "ü", "x" * 60]), min_size=1, max_size=6
).map("".join)


def quoted(keyword: str, text: str, wrapped: bool) -> str:
    pieces = (
        [polib.escape(piece) for piece in re.findall(r"[^\n]*\n|[^\n]+", text)] if wrapped else [polib.escape(text)]
    )
    first = '""\n' if wrapped else ""
    return f"{keyword} {first}" + "".join(f'"{piece}"\n' for piece in pieces or [""])


@st.composite
def entries(draw: st.DrawFn) -> str:
    """Draw an entry with any of the parts that entries may have."""
    wrapped, plural = draw(st.booleans()), draw(st.booleans())
    comments = draw(st.lists(st.sampled_from(["# two\n", "#. three\n", "#: a.c:1\n", "#, fuzzy\n", '#| msgid "x"\n']),
                             unique=True, max_size=3))  # fmt: skip
    context = draw(st.sampled_from(["", 'msgctxt "menu"\n']))
    translation = st.one_of(st.just(""), st.just(""), TEXTS)
    entry = "".join(comments) + context + quoted("msgid", draw(TEXTS), wrapped)
    if plural:
        entry += quoted("msgid_plural", draw(TEXTS), wrapped)
        entry += quoted("msgstr[0]", draw(translation), wrapped) + quoted("msgstr[1]", draw(translation), wrapped)
    else:
        entry += quoted("msgstr", draw(translation), wrapped)
    return entry + "\n"


FILES = st.lists(st.one_of(entries(), st.just('#~ msgid "old"\n#~ msgstr ""\n\n')), max_size=5).map("".join)


def other_lines(text: str) -> list[str]:
    """Return the lines that belong to no translation."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = line.startswith("msgstr") or (inside and line.startswith('"'))
        lines += [] if inside else [line]
    return lines


@settings(max_examples=40, deadline=None)
@given(FILES)
def test_only_translations_are_filled_in(inner: str) -> None:
    assert_filled(HEADER + inner, str, unchanged)
    assert_filled(HEADER + inner, upper, capitals)


def assert_filled(text: str, change: Callable[[str], str], translate: Callable[[DocumentUnit], str]) -> None:
    """Check that a translation fills in what is missing, and changes nothing else."""
    before = polib.pofile(text)
    content = round_trip(FORMAT.read, text.encode(), translate).decode()
    assert other_lines(content) == other_lines(text)
    after = polib.pofile(content)
    assert after.metadata == before.metadata
    for old, new in zip(before, after, strict=True):
        for name in ("comment", "tcomment", "occurrences", "flags", "msgctxt", "msgid", "obsolete"):
            assert getattr(new, name) == getattr(old, name)
        if old.obsolete or not any(map(str.isalpha, old.msgid)):
            assert (new.msgstr, new.msgstr_plural) == (old.msgstr, old.msgstr_plural)
        elif old.msgid_plural:
            sources = {0: old.msgid, 1: old.msgid_plural}
            assert new.msgstr_plural == {
                form: translation or change(sources[form]) for form, translation in old.msgstr_plural.items()
            }
        else:
            assert new.msgstr == (old.msgstr or change(old.msgid))


def read(text: str, target: str = "de") -> TranslatableDocument:
    return FORMAT.read(text.encode(), ReadOptions(target))


def filled(text: str, target: str = "de") -> str:
    document = read(text, target)
    return document.render([capitals(unit) for unit in document.units]).decode()


PLURAL = 'msgid "one file"\nmsgid_plural "%n files"\nmsgstr[0] ""\nmsgstr[1] ""\n'


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("de", ["ONE FILE", "%N FILES"]),
        ("ja", ["%N FILES"]),
        ("pl", ["ONE FILE", "%N FILES", "%N FILES"]),
        ("ar", ["%N FILES", "ONE FILE", *["%N FILES"] * 4]),
    ],
)
def test_plural_forms_are_those_of_the_target_language(target: str, expected: list[str]) -> None:
    template = 'msgid ""\nmsgstr ""\n"Language: \\n"\n"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\\n"\n\n'
    parsed = polib.pofile(filled(template + PLURAL, target))
    assert [parsed[0].msgstr_plural[form] for form in sorted(parsed[0].msgstr_plural)] == expected
    assert parsed.metadata == {"Language": target, "Plural-Forms": plural_forms(target).header}


def test_the_forms_of_the_file_come_first() -> None:
    header = 'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=3; plural=n==1?2:n==2?0:1;\\n"\n\n'
    parsed = polib.pofile(filled(header + PLURAL))
    assert parsed[0].msgstr_plural == {0: "%N FILES", 1: "%N FILES", 2: "ONE FILE"}


def test_a_template_becomes_a_file_of_the_language() -> None:
    template = (
        '# SOME TITLE\n#, fuzzy\nmsgid ""\nmsgstr ""\n"Language: \\n"\n'
        '"Content-Type: text/plain; charset=CHARSET\\n"\n\nmsgid "one\\n"\nmsgstr ""\n'
    )
    expected = template.replace("Language: ", "Language: de").replace("CHARSET", "UTF-8").replace('one\\n"\nmsgstr ""',
        'one\\n"\nmsgstr "ONE\\n"')  # fmt: skip
    assert filled(template) == expected


def test_long_translations_are_wrapped_unless_the_file_is_not() -> None:
    message = f'msgid ""\n"{"one " * 15}"\n"{"two " * 10}"\nmsgstr ""\n'
    assert filled(HEADER + message)[len(HEADER) :] == message + f'"{"ONE " * 15}{"TWO " * 4}"\n"{"TWO " * 6}"\n'
    unwrapped = f'msgid "{"one " * 50}"\nmsgstr ""\n'
    assert filled(HEADER + unwrapped)[len(HEADER) :] == unwrapped.replace('msgstr ""', f'msgstr "{"ONE " * 50}"')


def test_an_encoding_is_kept_if_it_has_the_characters() -> None:
    text = HEADER.replace("UTF-8", "ISO-8859-1") + 'msgid "café"\nmsgstr ""\n'
    assert round_trip(FORMAT.read, text.encode("latin-1"), capitals).decode("latin-1").endswith('msgstr "CAFÉ"\n')
    document = FORMAT.read(text.encode("latin-1"), OPTIONS)
    found = document.render(["ł"]).decode()
    assert found.endswith('msgstr "ł"\n')
    assert "charset=UTF-8" in found


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"one two\n", InvalidDocument, "the po file is broken at line 1; check it with msgfmt"),
        (b'msgid "a" b"\nmsgstr ""\n', InvalidDocument, "the po file is broken"),
        (b'msgid "a"\n\nmsgid "b"\nmsgstr ""\n', InvalidDocument, "the po file is broken at line 3"),
        (
            b'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\n# x\nmsgstr[1] ""\n',
            InvalidDocument,
            "at line 1 does not have its",
        ),
        (b'msgid ""\nmsgstr "caf\xe9"\n', InvalidDocument, "the po file is not in utf-8, which it declares"),
        (b"/etc/passwd", InvalidDocument, "the po file is broken at line 1"),
        (b'msgid ""\n' + b'"aaaaaaaaa"\n' * (MAX_ENTRY_CHARACTERS // 10), TooLarge, "has more than 100000 characters"),
    ],
)
def test_a_broken_file_is_refused(content: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FORMAT.read(content, OPTIONS)


@given(st.text('msgid_plurtc[01]"\\n #~,|:\n', max_size=80))
def test_no_file_is_another_error(text: str) -> None:
    try:
        document = FORMAT.read(text.encode(), OPTIONS)
    except InvalidDocument:
        return
    document.render([capitals(unit) for unit in document.units])


def test_every_rule_is_valid() -> None:
    for language in ("de", "fr", "pt-BR", "ru", "pl", "cs", "lt", "lv", "ro", "sl", "cy", "mt", "ga", "ar", "is", "ja"):
        forms = plural_forms(language)
        assert parse_header(forms.header) == forms
        assert set(map(gettext.c2py(forms.rule), range(500))) == set(range(forms.number)), language


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nplurals=INTEGER; plural=EXPRESSION;",
        "nplurals=2; plural=(n",
        "nplurals=2;",
        "nplurals=1; plural=n==1;",
        "nplurals=99; plural=0",
        "nplurals=2; plural=n%0",
    ],
)
def test_an_invalid_rule_is_none(value: str) -> None:
    assert parse_header(value) is None


def test_time_is_linear() -> None:
    started = time.process_time()
    for text in (PLURAL * 2000, 'msgid "one"\nmsgstr ""\n' * 5_000, f'msgid "{"one " * 20_000}"\nmsgstr ""\n'):
        round_trip(FORMAT.read, text.encode(), capitals)
    assert time.process_time() - started < 20
