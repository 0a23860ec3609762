"""Office documents: zip containers with texts in XML members (docx, pptx, odt, odp, ods)."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import overload

from service.documents.formats.container import Container
from service.documents.formats.document import check_count
from service.documents.formats.xml_text import XmlSchema, XmlText
from service.documents.formats.xml_tokens import XmlToken, decode_xml, read_xml
from service.errors import InvalidDocument
from service.text.markup.document import Document


class OfficeDocument:
    """A container whose members with text are translated; all others stay as they are."""

    def __init__(self, container: Container, schemas: Mapping[str, XmlSchema]) -> None:
        """`schemas` has the members with text.

        Raises:
            InvalidDocument, TooLarge: see `XmlText`.
        """
        self._container = container
        self._texts: dict[str, XmlText] = {}
        self._encodings: dict[str, str] = {}
        for name, schema in schemas.items():
            data, self._encodings[name] = decode_xml(container.read(name))
            with _located(name):
                text = XmlText(data, schema)
            if len(text):
                self._texts[name] = text
        self.units = _Paragraphs(list(self._texts.values()))

    def render(self, translations: Sequence[str]) -> bytes:
        check_count(self.units, translations)
        members: dict[str, bytes] = {}
        start = 0
        for name, text in self._texts.items():
            rendered = text.render(translations[start : start + len(text)])
            encoding = self._encodings[name]
            members[name] = rendered if encoding == "utf-8" else rendered.decode().encode(encoding, "xmlcharrefreplace")
            start += len(text)
        return self._container.replaced(members)


class _Paragraphs(Sequence[Document]):
    """The paragraphs of several texts, each parsed when it is asked for."""

    def __init__(self, texts: Sequence[XmlText]) -> None:
        self._texts = texts
        self._ends = list(accumulate(map(len, texts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        k = bisect_right(self._ends, index)
        return self._texts[k].paragraph(index - (self._ends[k - 1] if k else 0))


def read_member(container: Container, name: str, on_token: Callable[[XmlToken], None]) -> None:
    """Read an XML member that says how a container is made.

    Raises:
        InvalidDocument: it is missing or broken.
    """
    data, _ = decode_xml(container.read(name))
    with _located(name):
        read_xml(data, on_token)


@contextmanager
def _located(name: str) -> Iterator[None]:
    """Name a member in the error of reading it."""
    try:
        yield
    except InvalidDocument as error:
        raise InvalidDocument(f"{name[:100]}: {error}") from None
