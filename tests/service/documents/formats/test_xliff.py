"""XLIFF of both versions: empty targets are filled in, in place, and all else stays."""

import pytest

from service.documents.formats.document import ReadOptions, source_text
from service.documents.formats.xliff import read_xliff
from service.errors import InvalidDocument

VERSION_1 = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
  <file source-language="en" original="a" datatype="plaintext">
    <!-- kept -->
    <trans-unit id="1">
      <source>A <g id="1">big</g> dog &amp; <x id="2"/>a cat.</source>
      <note>Not translated</note>
    </trans-unit>
    <trans-unit id="2"><source>Done</source><target state="final">Fertig</target></trans-unit>
    <trans-unit id="3"><source>New</source><target state='new'>New</target><alt-trans><source>Old</source><target/>\
</alt-trans></trans-unit>
    <trans-unit id="4" translate="no"><source>Keep</source></trans-unit>
    <trans-unit id="5"><source>A <ph id="1">&lt;br/&gt;</ph> code</source><target/></trans-unit>
    <trans-unit id="6"><source>12 <ph id="1">px</ph></source></trans-unit>
  </file>
</xliff>
"""
VERSION_2 = (
    '<x:xliff xmlns:x="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="de-AT">'
    '<x:file id="f"><x:unit id="u"><x:segment state="initial"><x:source>Hi <x:pc id="1">you</x:pc></x:source>'
    "<x:target>Hi</x:target></x:segment><x:ignorable><x:source> and </x:source></x:ignorable>"
    "<x:segment><x:source>Bye</x:source></x:segment></x:unit>"
    '<x:group id="g" translate="no"><x:unit id="n"><x:segment><x:source>No</x:source></x:segment></x:unit>'
    '<x:unit id="y" translate="yes"><x:segment><x:source>Yes</x:source></x:segment></x:unit></x:group>'
    "</x:file></x:xliff>"
)


def texts(content: str) -> list[str]:
    return [source_text(unit) for unit in read_xliff(content.encode(), ReadOptions("de")).units]


def rendered(content: str, *translations: str) -> str:
    return read_xliff(content.encode(), ReadOptions("de")).render(translations).decode()


FILLED_1 = (
    VERSION_1.replace('datatype="plaintext">', 'datatype="plaintext" target-language="de">')
    .replace("a cat.</source>", "a cat.</source>\n      <target>EINS</target>")
    .replace("<target state='new'>New</target>", '<target state="translated">ZWEI</target>')
    .replace("code</source><target/>", "code</source><target>DREI</target>")
)
FILLED_2 = (
    VERSION_2.replace('state="initial"', 'state="translated"')
    .replace("<x:target>Hi<", "<x:target>EINS<")
    .replace("<x:source>Bye</x:source>", "<x:source>Bye</x:source><x:target>ZWEI</x:target>")
    .replace("<x:source>Yes</x:source>", "<x:source>Yes</x:source><x:target>DREI</x:target>")
)


@pytest.mark.parametrize(
    ("content", "sources", "filled"),
    [
        (
            VERSION_1,
            ['A <g id="1">big</g> dog &amp; <x id="2"/>a cat.', "New", 'A <ph id="1">&lt;br/&gt;</ph> code'],
            FILLED_1,
        ),
        (VERSION_2, ['Hi <x:pc id="1">you</x:pc>', "Bye", "Yes"], FILLED_2),
    ],
    ids=["version 1", "version 2, with a prefix"],
)
def test_units_without_a_translation_get_one_and_all_else_stays(content: str, sources: list[str], filled: str) -> None:
    assert texts(content) == sources
    assert rendered(content, "EINS", "ZWEI", "DREI") == filled


def test_target_language_of_another_language_is_replaced() -> None:
    assert 'trgLang="de"' in rendered(VERSION_2.replace("de-AT", "fr"), "a", "b", "c")


def test_file_without_anything_to_translate_stays_byte_for_byte() -> None:
    content = '<xliff version="1.2"><file><trans-unit id="1"><source>1</source></trans-unit></file></xliff>'
    assert texts(content) == []
    assert rendered(content) == content


def test_other_encodings_are_written_back() -> None:
    content = VERSION_1.replace("UTF-8", "ISO-8859-1").replace("kept", "behält").encode("latin-1")
    output = read_xliff(content, ReadOptions("de")).render(["für", "日", "x"])
    assert "behält" in output.decode("latin-1")
    assert "<target>für</target>" in output.decode("latin-1")
    assert b">&#26085;<" in output


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("<html/>", "no XLIFF: it begins with 'html'"),
        ("<xliff version='1.2'><file>", "the XML is broken at line 1"),
        ("<!DOCTYPE xliff><xliff/>", "document type declaration"),
    ],
)
def test_other_files_are_refused(content: str, error: str) -> None:
    with pytest.raises(InvalidDocument, match=error):
        read_xliff(content.encode(), ReadOptions("de"))
