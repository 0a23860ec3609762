"""Translate a file line by line on the workers of a Ray cluster: `python -m deploy.ray.bulk IN OUT --target de`.

Options, files and answers are those of `python -m service.bulk`; either goes on where the other was interrupted. Every
worker has an engine process of its own, and reads the models where the settings of this process say. Only this process
reads and writes the files. A worker that dies is replaced, and what it had is translated again.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from itertools import islice
from typing import Any

import numpy as np
import ray
import ray.data

from deploy.ray.replica import CPUS, replica_settings
from service.bulk.__main__ import identity, loaded_translator, main, parser, read_head, request_of
from service.bulk.files import BulkError, BulkOutput, Failure, InputLine, read_lines
from service.bulk.lines import translate_lines
from service.bulk.memory import TranslationMemory
from service.bulk.progress import Progress
from service.settings import Settings

LINES = 2048  # that a worker translates at a time
TASKS = 500  # of these that the cluster holds at once: a million lines


class Worker:
    """An engine process and a translator, in a process of Ray's."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._stack = ExitStack()  # ends with the worker's process
        self._translator, _ = self._stack.enter_context(loaded_translator(replica_settings()))
        self._request = request_of(options, self._translator)
        self._memory = TranslationMemory()
        self._loop = self._stack.enter_context(asyncio.Runner())  # one for all calls: the engine process answers in it

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Translate the lines of each row."""
        return {
            "first": list(batch["first"]),
            "results": [json.dumps(self._loop.run(self._translate(json.loads(lines)))) for lines in batch["lines"]],
        }

    async def _translate(self, lines: list[Any]) -> list[str | Failure]:
        source = [InputLine(_result(line), 0) for line in lines]
        results: list[str | Failure] = []
        async with aclosing(translate_lines(source, self._translator, self._request, self._memory)) as blocks:
            async for block in blocks:
                results += block.results
        return results


def _result(value: Any) -> str | Failure:
    """Return a line or its failure from JSON."""
    return value if isinstance(value, str) else Failure(*value)


def translate_on_cluster(options: argparse.Namespace, settings: Settings) -> int:
    """Translate the input of a command, or what is left of it; return how many of its lines failed.

    Raises:
        BulkError: a file cannot be used, or the cluster cannot translate.
        ArtifactError, EngineFailure: the models cannot be loaded.
        ServiceError: no model translates between the languages.
    """
    if options.workers < 1:
        raise BulkError(f"--workers is {options.workers}; give at least 1")
    head = read_head(options.input)
    with loaded_translator(settings) as (translator, registry):  # here, so that errors come before the cluster's start
        request_of(options, translator)
        identified = identity(head, options, registry, settings)
    with BulkOutput(options.output, identified) as output:
        progress = Progress(options.input.stat().st_size)
        source = read_lines(options.input, output.done)
        with _cluster():
            try:
                while tasks := list(islice(_tasks(source, output.done), TASKS)):
                    _run(tasks, options, output, progress)
            except ray.exceptions.RayError as error:
                reason = str(error).partition("\n\nThe above exception")[0].strip().splitlines()[-1]
                raise BulkError(f"the cluster failed; run the same command again to go on: {reason}") from error
        progress.update(output.done, options.input.stat().st_size, output.failed, final=True)
        output.finish()
        return output.failed


def _tasks(lines: Iterable[InputLine], done: int) -> Iterator[dict[str, Any]]:
    """Yield rows of `LINES` lines: the number of the first one, how far the input has been read, and the lines."""
    source = iter(lines)
    while group := list(islice(source, LINES)):
        texts = json.dumps([line.text for line in group])
        yield {"first": done, "position": group[-1].position, "lines": texts}
        done += len(group)


def _run(tasks: list[dict[str, Any]], options: argparse.Namespace, output: BulkOutput, progress: Progress) -> None:
    """Translate rows on the cluster and write their results in order."""
    positions = {row["first"]: row.pop("position") for row in tasks}
    rows = ray.data.from_items(tasks, override_num_blocks=len(tasks))
    translated = rows.map_batches(
        Worker, fn_constructor_args=(options,), compute=ray.data.ActorPoolStrategy(size=options.workers), batch_size=1,
        num_cpus=CPUS,
    )  # fmt: skip
    for row in translated.iter_rows():
        assert row["first"] == output.done, "the results are in another order than the lines"
        output.write([_result(result) for result in json.loads(row["results"])])
        progress.update(output.done, positions[row["first"]], output.failed)


@contextmanager
def _cluster() -> Iterator[None]:
    """Connect to the cluster that `RAY_ADDRESS` names or that runs here, or else start one of this machine.

    Raises:
        BulkError: there is none at that address.
    """
    settings = {name: value for name, value in os.environ.items() if name.startswith(("ATTENDANT_", "RAY_ATTENDANT_"))}
    environment = {"env_vars": settings}
    try:
        ray.init(runtime_env=environment, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except ConnectionError as error:
        address = os.environ.get("RAY_ADDRESS", "this machine")
        raise BulkError(f"no Ray cluster at {address}, see RAY_ADDRESS: {error}") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # not a line for each dataset among the progress
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    try:
        yield
    finally:
        ray.shutdown()


def command() -> argparse.ArgumentParser:
    """Return the command line."""
    top = parser("python -m deploy.ray.bulk", __doc__)
    top.add_argument("--workers", type=int, default=2, help=f"workers, each with {CPUS} CPUs (RAY_ATTENDANT_CPUS)")
    return top


if __name__ == "__main__":
    # Ray copies the functions of a module that runs as a program; those of an imported one it imports.
    from deploy.ray import bulk

    sys.exit(main(command=bulk.command(), translate=bulk.translate_on_cluster))
