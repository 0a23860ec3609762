"""Tests of service.documents.formats.container and xml_tokens: hostile files, and what is kept of good ones."""

import io
import tracemalloc
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.formats import container as container_module
from service.documents.formats import xml_text
from service.documents.formats.container import Container
from service.documents.formats.open_document import ODT
from service.documents.formats.xml_tokens import XmlToken, decode_xml, read_xml
from service.errors import InvalidDocument, TooLarge
from tests.service.documents.formats.office_files import members, open_document, packed
from tests.service.documents.helpers import OPTIONS, capitals, round_trip

LIMIT = 10_000_000


def test_a_replaced_member_changes_no_other() -> None:
    content = packed({"mimetype": "x", "a.xml": "one", "folder/": "", "image.png": b"\0" * 100})
    replaced = Container(content, "odt", LIMIT).replaced({"a.xml": b""})
    assert members(replaced) == {**members(content), "a.xml": b""}
    infos = [
        [
            (one.filename, one.compress_type, one.date_time, one.external_attr)
            for one in zipfile.ZipFile(io.BytesIO(file)).infolist()
        ]
        for file in (content, replaced)
    ]
    assert infos[0] == infos[1]
    assert Container(content, "odt", LIMIT).replaced({}) == content


def overlapping() -> bytes:
    """Return a container of two members with the same data."""
    content = bytearray(packed({"a": "x" * 1000, "b": "x" * 1000}))
    directory = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", directory + 4)
    content[second + 42 : second + 46] = content[directory + 42 : directory + 46]
    return bytes(content)


def declares(size: int) -> bytes:
    """Return a container whose member declares another size than it has."""
    content = bytearray(packed({"a": "x" * 100_000}))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = size.to_bytes(4, "little")
    return bytes(content)


def with_byte(offset: int, value: int) -> bytes:
    """Return a container with another byte in its directory."""
    content = bytearray(packed({"a": "x"}))
    content[content.index(b"PK\x01\x02") + offset] = value
    return bytes(content)


def read_all(content: bytes) -> None:
    opened = Container(content, "odt", LIMIT)
    for name in opened.names:
        opened.read(name)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (packed({"a": b"0" * (LIMIT + 1)}), TooLarge, f"unpacks to {LIMIT + 1} bytes; at most {LIMIT} are accepted"),
        (
            packed({"a": b"0" * 2_000_000}),
            TooLarge,
            "a in the file unpacks from 19.. to 2000000 bytes; at",
        ),
        (packed({str(k): "" for k in range(5001)}), TooLarge, "the file has 5001 members; at most 5000 are accepted"),
        (with_byte(8, 1), InvalidDocument, "the file is encrypted; save it without a password"),
        (declares(10), InvalidDocument, "a in the file is broken: Bad CRC"),
        (overlapping(), InvalidDocument, "b in the file is broken"),
        (packed({"a": "x"})[:-4], InvalidDocument, "the file is no odt file"),
        (with_byte(10, 12), InvalidDocument, "a in the file is not packed"),
    ],
    ids=["large", "ratio", "members", "encrypted", "declared size", "overlap", "truncated", "method"],
)
def test_a_hostile_container_is_refused(content: bytes, error: type[Exception], message: str) -> None:
    tracemalloc.start()
    with pytest.raises(error, match=message):
        read_all(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_two_members_of_one_name_are_refused() -> None:
    content = packed({"a": "x", "b": "x"}).replace(b"b", b"a")
    with pytest.raises(InvalidDocument, match="two members of one name"):
        Container(content, "odt", LIMIT)


@given(st.binary(max_size=300), st.integers(0, 600))
def test_no_damage_is_another_error(noise: bytes, position: int) -> None:
    content = open_document("<text:p>one</text:p>")
    damaged = content[:position] + noise + content[position + len(noise) :]
    with suppress(InvalidDocument, TooLarge):
        round_trip(ODT.read, damaged, capitals)


DTD = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (f"{DTD}<x>&b;</x>", "the XML has a document type declaration, which is not read"),
        ("<x>&b;</x>", "the XML is broken at line 1: undefined entity"),
        ("<x>" * 300, "the XML is nested more than 256 elements deep"),
        ("<x>\x01</x>", "not well-formed"),
        ("", "no element found"),
    ],
)
def test_hostile_xml_is_refused(xml: str, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        read_xml(xml.encode(), lambda token: None)


@given(
    st.recursive(
        st.sampled_from(
            ["a", "&amp;", "ü", "<b/>", "<!-- x -->", "<?x y?>", "<![CDATA[<]]>", "\r\n", "&#65;", "x" * 50]
        ),
        lambda inner: st.lists(inner, max_size=4).map(lambda inner: f"<y z='&lt;'>{''.join(inner)}</y>"),
    )
)
def test_tokens_are_all_of_the_document(inner: str) -> None:
    data = f'\ufeff<?xml version="1.0"?>\n<x>{inner}</x>\n<!-- end -->\n'.encode()
    tokens: list[XmlToken] = []
    read_xml(data, tokens.append)
    starts = [token.start for token in tokens]
    assert [token.end for token in tokens] == [*starts[1:], len(data)]
    assert data[: starts[0]].decode("utf-8-sig").strip() in ("", '<?xml version="1.0"?>')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_an_encoding_is_kept(encoding: str) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    content = f'<?xml version="1.0" encoding="{declared}"?><x>ü</x>'.encode(encoding)
    data, found = decode_xml(content)
    assert "<x>ü</x>" in data.decode()
    assert data.decode().encode(found) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<x>\xff</x>", "the XML is not in UTF-8, which it declares; save it in UTF-8"),
        (b'<?xml version="1.0" encoding="nonsense"?><x/>', "not in NONSENSE"),
        (b'<?xml version="1.0" encoding="utf-7"?><x>+AGE-</x>', "in UTF-7, which cannot be written back"),
    ],
)
def test_another_encoding_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        decode_xml(content)


def test_the_number_of_paragraphs_and_their_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_text, "MAX_PARAGRAPHS", 5)
    monkeypatch.setattr(xml_text, "MAX_PARAGRAPH_TOKENS", 100)
    assert len(ODT.read(open_document("<text:p>one</text:p>" * 5), OPTIONS).units) == 5
    with pytest.raises(TooLarge, match="more than 5 paragraphs with text; split it"):
        ODT.read(open_document("<text:p>one</text:p>" * 6), OPTIONS)
    with pytest.raises(TooLarge, match="a paragraph has more than 100 elements; split it"):
        ODT.read(open_document(f"<text:p>{'<text:s/>' * 101}</text:p>"), OPTIONS)
    assert container_module.MAX_MEMBERS > 100
