"""Translate lines: several groups of them at a time, so that the engine never waits; the results are in order."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from service.bulk.files import Failure, InputLine
from service.bulk.memory import TranslationMemory
from service.errors import EngineDown, NotReady, Overloaded, ServiceError
from service.models.request_scope import RequestScope
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

BLOCK = 1024  # lines that are read together, and translated in the order of their lengths
BLOCKS = 2  # at a time: the next one begins when the last groups of the one before run
GROUP = 256  # lines of a block that are translated together
GROUPS = 4  # at a time
WINDOW = 384  # segments of a group that are in the engine at once; all groups together stay within the queue's limit
MAX_TRIES = 30  # for a group whose models are not ready, a second apart: the engine process may be restarted
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class BlockResult:
    """The translations of consecutive lines, or why there is none; and how far the input has been read."""

    results: list[str | Failure]
    position: int


async def translate_lines(
    lines: Iterable[InputLine], translator: Translator, request: TranslationRequest, memory: TranslationMemory
) -> AsyncGenerator[BlockResult]:
    """Translate lines with the options of a request; yield the results of one block after the other, in order.

    `memory` has translations of the same translator with the same options, and gets those of the lines.

    Raises:
        BulkError: the input cannot be read.
        NotReady: the engine is dead.
    """
    source, turn = iter(lines), asyncio.Semaphore(GROUPS)
    running: deque[tuple[asyncio.Task[list[str | Failure]], int]] = deque()
    try:
        while True:
            while len(running) < BLOCKS and (block := await asyncio.to_thread(_next_block, source)):
                texts = [line.text for line in block]
                task = asyncio.create_task(_translate_block(texts, translator, request, turn, memory))
                running.append((task, block[-1].position))
            if not running:
                return
            task, position = running[0]
            yield BlockResult(await task, position)
            running.popleft()
    finally:
        for task, _ in running:
            task.cancel()


def _next_block(source: Iterator[InputLine]) -> list[InputLine]:
    return list(islice(source, BLOCK))


async def _translate_block(
    lines: list[str | Failure],
    translator: Translator,
    request: TranslationRequest,
    turn: asyncio.Semaphore,
    memory: TranslationMemory,
) -> list[str | Failure]:
    """Return the translation of each line, or why it has none; blank lines stay as they are.

    Lines of similar length are translated together, the longest first: rows of a batch then end together, too. A line
    that comes again is translated once.
    """

    async def translate(texts: list[str]) -> list[str | Failure]:
        async with turn:
            return await _translate(texts, translator, request)

    distinct = {line for line in lines if isinstance(line, str) and line.strip()}
    known: dict[str, str | Failure] = {}
    for line in distinct:
        if (translation := memory.get(line)) is not None:
            known[line] = translation
    texts = sorted(distinct - known.keys(), key=lambda line: (-len(line), line))
    groups = [texts[start : start + GROUP] for start in range(0, len(texts), GROUP)]
    for group, results in zip(groups, await asyncio.gather(*map(translate, groups)), strict=True):
        for line, result in zip(group, results, strict=True):
            known[line] = result
            if isinstance(result, str):
                memory.put(line, result)
    return [known.get(line, line) if isinstance(line, str) else line for line in lines]


async def _translate(texts: list[str], translator: Translator, request: TranslationRequest) -> list[str | Failure]:
    """Translate texts together; if that is an error, halve them until the one is found that causes it."""
    if not texts:
        return []
    try:
        return list(await _try(replace(request, texts=texts, window=WINDOW), translator))
    except NotReady:
        raise
    except ServiceError as error:
        if len(texts) == 1:
            return [Failure(error.code, str(error))]
    half = len(texts) // 2
    return [
        *await _translate(texts[:half], translator, request),
        *await _translate(texts[half:], translator, request),
    ]


async def _try(request: TranslationRequest, translator: Translator) -> list[str]:
    """Translate the texts of a request; again, if the engine is restarted meanwhile or its queue is full.

    Raises:
        ServiceError: it is not possible.
    """
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            with RequestScope(math.inf, _never, bulk=True) as scope:
                response = await translator.translate(request, scope)
                return [result.text for result in response.results]
        except (EngineDown, Overloaded):
            if not tries_left:
                raise
            await asyncio.sleep(RETRY_SECONDS)
    raise AssertionError("the last try returns or raises")


async def _never() -> None:
    """Wait for a disconnect that never comes."""
    await asyncio.Event().wait()
