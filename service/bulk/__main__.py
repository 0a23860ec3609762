"""Translate a file line by line, with the engine alone: `python -m service.bulk IN OUT --target de`.

The settings are the service's environment variables. A translation that was interrupted goes on where it was when the
same command is run again.
"""

import argparse
import asyncio
import hashlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

from service.artifact import MAX_BEAM, ArtifactError
from service.bulk.files import BulkError, BulkOutput, read_lines
from service.bulk.lines import translate_lines
from service.bulk.memory import LINES, TranslationMemory
from service.bulk.progress import Progress
from service.engine.options import DecodingOptions
from service.engine.process.client import EngineProcess
from service.engine.process.runtime import configure_interpreter, flush_log, freeze_gc
from service.engine.types import EngineFailure
from service.errors import ServiceError
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.options import TranslationOptions
from service.models.registry import Registry
from service.settings import Settings, SettingsError, read_settings
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

ROWS = 256  # in a batch, without ATTENDANT_ROWS: more than where answers must be quick
HEAD = 1 << 20  # bytes of the input that identify it, with its size
DRAIN_SECONDS = 10.0
INTERRUPTED = 130  # the shell's exit status after SIGINT

Translate = Callable[[argparse.Namespace, Settings], int]


def parser(program: str = "python -m service.bulk", description: str | None = __doc__) -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog=program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("input", type=Path, metavar="IN", help="file with a text a line, in UTF-8; .gz is decompressed")
    top.add_argument("output", type=Path, metavar="OUT", help="file to write: a translation a line, in the same order")
    top.add_argument("--target", required=True, help="language to translate to")
    top.add_argument("--source", help="language of the lines; detected line by line if it is left out")
    top.add_argument("--model", help="name of a model, or NAME@VERSION")
    top.add_argument("--format", choices=("text", "html", "markdown"), default="text")
    top.add_argument("--beam-size", type=int, default=None, help="width of the beam search; 1 is greedy search")
    return top


def main(
    arguments: Sequence[str] | None = None,
    command: argparse.ArgumentParser | None = None,
    translate: Translate | None = None,
) -> int:
    """Run the command; return the exit status: 0 if every line has a translation, 2 if some failed.

    Another command with these options, and more, has its own way to translate a file.
    """
    command = command or parser()
    options = command.parse_args(arguments)
    if options.beam_size is not None and not 1 <= options.beam_size <= MAX_BEAM:
        command.error(f"--beam-size is {options.beam_size}; give 1 to {MAX_BEAM}")
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = read_settings()
        configure_interpreter(settings.log_format)
        failed = (translate or translate_file)(options, settings)
    except (SettingsError, BulkError, ArtifactError, EngineFailure, ServiceError) as error:
        flush_log()
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        flush_log()
        sys.stderr.write("\ninterrupted; run the same command again to go on\n")
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, terminate)
    flush_log()
    if failed:
        sys.stderr.write(f"{failed:,} lines could not be translated: see {options.output}.errors\n")
    return 2 if failed else 0


def translate_file(options: argparse.Namespace, settings: Settings) -> int:
    """Translate the input of a command, or what is left of it; return how many of its lines failed.

    Raises:
        BulkError: a file cannot be used.
        ArtifactError, EngineFailure: the models cannot be loaded.
        ServiceError: no model translates between the languages, or the engine is dead.
    """
    head = read_head(options.input)
    with loaded_translator(settings) as (translator, registry):
        request = request_of(options, translator)
        with BulkOutput(options.output, identity(head, options, registry, settings)) as output:
            with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
                runner.run(_run(options.input, output, translator, request, registry))
            output.finish()
            return output.failed


@contextmanager
def loaded_translator(settings: Settings) -> Iterator[tuple[Translator, Registry]]:
    """Start the engine, for large batches, and load the models, until the context ends.

    Raises:
        ArtifactError, EngineFailure: the models cannot be loaded.
    """
    if "rows" not in settings.model_fields_set:
        settings = settings.model_copy(update={"rows": ROWS})
    with EngineProcess() as engine:
        registry = load_models(settings, Metrics(), engine.start_pools)
        freeze_gc()
        yield Translator(registry, settings), registry


def request_of(options: argparse.Namespace, translator: Translator) -> TranslationRequest:
    """Return the request with which all lines of a command are translated, without its texts.

    Raises:
        ServiceError: no model translates between the languages.
    """
    given = {"beam_size": options.beam_size} if options.beam_size is not None else {}
    decoding = TranslationOptions(DecodingOptions(**given), given=frozenset(given))
    translator.check_languages(options.source, options.target)
    return TranslationRequest(
        [], options.target, options.source, options.model, options=decoding, format=options.format
    )


async def _run(
    path: Path, output: BulkOutput, translator: Translator, request: TranslationRequest, registry: Registry
) -> None:
    progress, memory = Progress(path.stat().st_size), TranslationMemory()
    memory.fill(output.translations(path, LINES))
    try:
        async with aclosing(translate_lines(read_lines(path, output.done), translator, request, memory)) as blocks:
            async for block in blocks:
                output.write(block.results)
                progress.update(output.done, block.position, output.failed)
        progress.update(output.done, path.stat().st_size, output.failed, final=True)
    finally:
        await asyncio.to_thread(registry.drain, DRAIN_SECONDS)


def read_head(path: Path) -> dict[str, Any]:
    """Return what identifies an input.

    Raises:
        BulkError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return {"bytes": path.stat().st_size, "beginning": hashlib.sha256(file.read(HEAD)).hexdigest()}
    except OSError as error:
        raise BulkError(f"{path} cannot be read: {error.strerror}") from None


def identity(
    head: dict[str, Any], options: argparse.Namespace, registry: Registry, settings: Settings
) -> dict[str, Any]:
    """Return what all lines of an output must be translations of, and by."""
    return {
        "input": head,
        "options": {name: getattr(options, name) for name in ("source", "target", "model", "format", "beam_size")}
        | {"guard": settings.guard, "translator": settings.translator},
        "models": {model.pinned_name: model.manifest.files for model in registry},
    }


if __name__ == "__main__":
    sys.exit(main())
