"""Translation of a whole document: read it, translate its units in batches, write it with the translations."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TypeVar

from service.documents.formats import (
    html,
    markdown,
    office_open,
    open_document,
    plain_text,
    po,
    spreadsheet,
    subtitles,
    xliff,
)
from service.documents.formats.document import (
    DocumentFormat,
    DocumentUnit,
    ReadOptions,
    TranslatableDocument,
    character_count,
    source_text,
    text_of,
)
from service.errors import DeadlineExceeded, InvalidDocument, Overloaded, TooLarge, UnsupportedDocument
from service.glossaries.terms import GlossaryTerms
from service.models.open_requests import OpenRequests
from service.models.request_scope import RequestScope
from service.settings import Settings
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

T = TypeVar("T")
FORMATS = (
    plain_text.FORMAT, html.FORMAT, markdown.FORMAT, subtitles.SRT, subtitles.VTT,
    office_open.DOCX, office_open.PPTX, spreadsheet.XLSX,
    open_document.ODT, open_document.ODP, open_document.ODS, po.FORMAT, xliff.FORMAT,
)  # fmt: skip
BY_EXTENSION = {extension: one for one in FORMATS for extension in one.extensions}
EXTENSIONS = tuple(sorted(BY_EXTENSION))
# A zip container may unpack to this many times the limit of the document's size.
MAX_UNPACKING_FACTOR = 10
# Units are translated in batches of about this many characters. Of each batch, as many segments as the window are in
# the engine at once: enough to fill its rows, and few enough that other requests are not held up.
BATCH_CHARACTERS = 8000
WINDOW = 64
SAMPLE_CHARACTERS = 2000  # of the text whose language is detected
MAX_FILENAME = 200
UNSAFE_IN_FILENAME = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')


class SameLanguage(InvalidDocument):
    """The document is in the target language already."""

    example = "Source and target language are equal."

    def __init__(self, detail: str = example) -> None:
        super().__init__(detail)


@dataclass(frozen=True)
class DocumentRequest:
    """A document to translate."""

    filename: str
    content: bytes
    target: str
    source: str | None = None  # None: detect it
    same_language_is_error: bool = False  # False: a document in the target language stays as it is
    terms: GlossaryTerms | None = None  # of a glossary

    @property
    def format(self) -> DocumentFormat:
        """The format that the file name says.

        Raises:
            UnsupportedDocument: it is not supported.
        """
        return format_of(self.filename)


@dataclass
class DocumentProgress:
    """How far the translation of a document is."""

    characters: int = 0  # to translate
    done: int = 0


def format_of(filename: str) -> DocumentFormat:
    """Return the format of a file by the extension of its name.

    Raises:
        UnsupportedDocument: there is none with this extension.
    """
    extension = PurePath(filename).suffix.removeprefix(".").lower()
    found = BY_EXTENSION.get(extension)
    if found is None:
        name = ascii(filename[-60:])[1:-1]
        raise UnsupportedDocument(
            f"{name}: the file extension {ascii(extension[:20])} is not supported; send one of {', '.join(EXTENSIONS)}"
        )
    return found


def safe_filename(filename: str) -> str:
    """Return the last part of a path without characters that some system does not allow in names."""
    name = UNSAFE_IN_FILENAME.sub("_", re.split(r"[/\\]", filename)[-1]).strip(". ")
    stem, dot, extension = name.rpartition(".")
    return stem[: MAX_FILENAME - len(extension)] + dot + extension[:20]


class DocumentTranslator:
    """Translates documents."""

    def __init__(self, translator: Translator, settings: Settings) -> None:
        self._translator, self._settings = translator, settings

    def check(self, request: DocumentRequest) -> None:
        """Check what can be checked without reading the document.

        Raises:
            UnsupportedDocument: the format is not supported.
            InvalidDocument: the file is empty, or the languages are equal where that is an error.
            TooLarge: the file exceeds the limit.
            UnknownModel, ModelRequired: no model translates between the languages, or several do.
        """
        size, limit = len(request.content), self._settings.max_document_bytes
        assert request.format
        if size > limit:
            raise TooLarge(f"the document has {size} bytes; at most {limit} are accepted: split it")
        if not size:
            raise InvalidDocument(f"{request.filename} is empty; send a document with text")
        if request.source == request.target and request.same_language_is_error:
            raise SameLanguage()
        if request.source != request.target:
            self._translator.check_languages(request.source, request.target)

    async def translate(self, request: DocumentRequest, caller: str, progress: DocumentProgress) -> bytes:
        """Return the translated document.

        Raises:
            InvalidDocument, TooLarge: the document cannot be read, or unpacks to too many bytes.
            DeadlineExceeded: the time for a document is over.
            UnknownModel, ModelRequired, NotReady, InternalError: see `Translator.translate`.
        """
        seconds = self._settings.document_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._translate(request, caller, progress)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the document was not translated within {seconds:g} s; split it, or raise "
                "ATTENDANT_DOCUMENT_TIMEOUT_SECONDS"
            ) from None

    async def _translate(self, request: DocumentRequest, caller: str, progress: DocumentProgress) -> bytes:
        options = ReadOptions(request.target, MAX_UNPACKING_FACTOR * self._settings.max_document_bytes)

        def read() -> tuple[TranslatableDocument, int]:
            document = request.format.read(request.content, options)
            return document, sum(map(character_count, document.units))

        document, progress.characters = await asyncio.to_thread(read)
        units = document.units
        if not units:
            return request.content
        with OpenRequests.of(asyncio.get_running_loop()).hold():
            of_now = DocumentTranslator(self._translator.snapshot, self._settings)
            return await of_now._translate_units(document, request, caller, progress)

    async def _translate_units(
        self, document: TranslatableDocument, request: DocumentRequest, caller: str, progress: DocumentProgress
    ) -> bytes:
        """Return the document with its units translated, all of them by the same models."""
        units = document.units
        source = request.source or await self._detect(units, request.target, caller)
        if source == request.target:
            if request.same_language_is_error:
                raise SameLanguage()
            return request.content
        translations: list[str] = []
        groups = batches(units)
        while batch := await asyncio.to_thread(next, groups, ()):
            translations += await self._translate_batch(batch, source, request, caller)
            progress.done += sum(map(character_count, batch))
        return await asyncio.to_thread(document.render, translations)

    async def _detect(self, units: Sequence[DocumentUnit], target: str, caller: str) -> str | None:
        """Return the language of the beginning of a document."""
        text = await asyncio.to_thread(_sample, units)

        async def detect(scope: RequestScope) -> str | None:
            return await self._translator.detect_source(text, target, scope)

        return await self._in_scope(detect, caller)

    async def _translate_batch(
        self, batch: Sequence[DocumentUnit], source: str | None, document: DocumentRequest, caller: str
    ) -> list[str]:
        parsed = [None if isinstance(unit, str) else unit for unit in batch]
        texts, terms = list(map(source_text, batch)), document.terms
        request = TranslationRequest(texts, document.target, source=source, parsed=parsed, window=WINDOW)

        async def translate(scope: RequestScope) -> list[str]:
            glossary = {} if terms is None else await scope.run(lambda: terms.find(texts, scope.check), in_thread=True)
            response = await self._translator.translate(replace(request, glossary=glossary), scope)
            return [result.text for result in response.results]

        return await self._in_scope(translate, caller)

    async def _in_scope(self, work: Callable[[RequestScope], Awaitable[T]], caller: str) -> T:
        """Do work in the engine as a bulk request of the caller; while its queue is full, try again."""
        while True:
            try:
                with RequestScope(self._settings.document_timeout_seconds, _never, caller, bulk=True) as scope:
                    return await work(scope)
            except Overloaded as overloaded:
                await asyncio.sleep(overloaded.retry_after or 1)


def _sample(units: Sequence[DocumentUnit]) -> str:
    """Return the beginning of a document's text."""
    sample, length = list[str](), 0
    for text in map(text_of, units):
        sample.append(text[:SAMPLE_CHARACTERS])
        length += len(text)
        if length > SAMPLE_CHARACTERS:
            break
    return "\n".join(sample)


async def _never() -> None:
    """Wait for a disconnect that never comes: a document is translated when its client has gone."""
    await asyncio.Event().wait()


def batches(units: Sequence[DocumentUnit]) -> Iterator[Sequence[DocumentUnit]]:
    """Yield the units in groups of about `BATCH_CHARACTERS` characters; each unit is asked for once."""
    batch: list[DocumentUnit] = []
    length = 0
    for unit in units:
        batch.append(unit)
        length += character_count(unit)
        if length >= BATCH_CHARACTERS or len(batch) >= BATCH_CHARACTERS // 10:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch
