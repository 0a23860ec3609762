"""Everything that a GPU has to show, in one call of at most nine minutes.

    python -m benchmarks.gpu [--device cuda] [--rows 512] [--clients 256] [--json FILE]
    python -m benchmarks.gpu --device cpu --rows 8 --sentences 32 --rounds 1 --seconds 1 --clients 4   # a rehearsal

Rounds of greedy translation by the engine in fp16 and by CTranslate2 in float16 on the same weights take turns, offline
and with all rows busy; then the service answers HTTP clients for the rest of the time. Beside the rates: the share of
equal answers, latencies, power, and the GPU's memory at the beginning and at the end of the load. With `--device cpu`
the engine runs the GPU code path on the CPU, and CTranslate2 computes in float32.

The base shape's run folder and artifact are made if they are missing, which takes minutes: make them beforehand with
`--prepare`. Its weights are untrained, so its fp16 graphs are written without the checks of an export.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import ctranslate2
import onnx

from benchmarks.baselines.ctranslate2.system import BATCHES, vocabularies
from benchmarks.common.figures import write_figures
from benchmarks.common.processes import resident_bytes
from benchmarks.http.load_generator import HttpLoad, Traffic
from benchmarks.http.servers import RunningServer, attendant_server
from benchmarks.offline.cases import Case, base_case, export_missing
from export.checks.local_engine import run_requests
from export.graphs.onnx_writer import WEIGHTS, write_graphs
from export.quantization.half import to_half
from loadtest.client import Server
from service.artifact import Artifact, publish, read_artifact, sha256, write_manifest
from service.engine.cores import available_cores
from service.engine.device import Device
from service.engine.models.probe import find_device
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest

RUN, ARTIFACT = Path("runs/bench-base"), Path("artifacts/bench-base")
RESERVE = 45.0  # seconds of the time limit that the load leaves for stopping and writing
COUNTED = 32  # texts whose target tokens are counted


class System(Protocol):
    """Translates source ids to target ids, all of them at once."""

    name: str

    def translate(self, sources: list[list[int]]) -> list[list[int]]: ...


class Engine:
    """The service's engine on a device, with one worker."""

    def __init__(self, artifact: Artifact, device: Device, rows: int, limit: int) -> None:
        self.name = f"Attendant {artifact.manifest.precision}"
        self.rows, self.options = rows, DecodingOptions(max_length=limit)
        self.engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores(), device), rows)

    def translate(self, sources: list[list[int]]) -> list[list[int]]:
        requests = [EngineRequest(ids, self.options) for ids in sources]
        return [result.ids for result in run_requests([self.engine], requests, self.rows)]


class CTranslate2:
    """CTranslate2 on the same device, with batches of as many rows."""

    def __init__(self, folder: Path, device: Device, rows: int, limit: int) -> None:
        compute_type = "float16" if device.kind == "cuda" else "float32"
        self.translator = ctranslate2.Translator(
            str(folder), device=device.kind, device_index=device.number, compute_type=compute_type
        )
        self.name = f"CTranslate2 {ctranslate2.__version__} {compute_type}"
        self.source, self.target = vocabularies(folder)
        self.ids, self.rows, self.limit = {token: i for i, token in enumerate(self.target)}, rows, limit

    def translate(self, sources: list[list[int]]) -> list[list[int]]:
        tokens = [[self.source[i] for i in ids] for ids in sources]
        batch = {**BATCHES["64 examples"], "max_batch_size": self.rows}
        results = self.translator.translate_batch(
            tokens, beam_size=1, min_decoding_length=0, max_decoding_length=self.limit, **batch
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in results]


def half_artifact(fp32: Path, folder: Path) -> Path:
    """Write an artifact's graphs in fp16, unchecked, unless that was done before; return its folder."""
    if (folder / "manifest.json").is_file():
        return folder
    artifact = read_artifact(fp32)
    manifest = artifact.manifest
    states = {name for state in manifest.state for name in (state.input, state.output)}
    models = {name: onnx.load(artifact.graph(name)) for name in manifest.graphs}
    half = {name: model if name == "select" else to_half(model, states) for name, model in models.items()}
    with publish(folder) as unfinished:
        graphs = write_graphs(half, unfinished)
        shutil.copy(artifact.tokenizer, unfinished)
        files = {file.name: sha256(file) for file in unfinished.iterdir()}
        state = [one.model_copy(update={"dtype": "float16"}) for one in manifest.state]
        changes = {"graphs": graphs, "state": state, "files": files, "precision": "fp16", "name": folder.name}
        write_manifest(unfinished, manifest.model_copy(update=changes))
    assert (folder / WEIGHTS).is_file()
    return folder


def gpu_facts(device: Device) -> dict[str, float | str]:
    """Return name, driver, power and used memory of a GPU from nvidia-smi; nothing for a CPU."""
    if device.kind == "cpu":
        return {}
    fields = {"name": "gpu", "driver_version": "driver", "power.draw": "watts", "memory.used": "used_mib"}
    command = [
        "nvidia-smi",
        f"--id={device.number}",
        f"--query-gpu={','.join(fields)}",
        "--format=csv,noheader,nounits",
    ]
    values = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    return {
        name: float(value) if name in ("watts", "used_mib") else value
        for name, value in zip(fields.values(), values, strict=True)
    }


def offline(systems: list[System], sources: list[list[int]], rounds: int) -> list[dict[str, Any]]:
    """Return the target tokens a second of each system, round after round, and the share of equal answers."""
    answers = [system.translate(sources) for system in systems]  # warm-up: arrays grow, kernels are chosen
    rates: list[list[float]] = [[] for _ in systems]
    for number in range(rounds):
        for index in list(range(len(systems)))[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            found = systems[index].translate(sources)
            rates[index].append(sum(len(ids) + 1 for ids in found) / (time.perf_counter() - started))
    ratios = [one / other for one, other in zip(rates[0], rates[-1], strict=True)]
    equal = [sum(a == b for a, b in zip(answers[0], found, strict=True)) / len(sources) for found in answers]
    return [
        {"system": system.name, "tokens_per_second": statistics.median(rate), "equal_to_first": share,
         "ratio_to_last": statistics.median(ratios) if index == 0 else 1.0}
        for index, (system, rate, share) in enumerate(zip(systems, rates, equal, strict=True))
    ]  # fmt: skip


@contextmanager
def service(artifact: Path, device: Device, arguments: argparse.Namespace) -> Iterator[RunningServer]:
    """Run the service with the artifact on the device."""
    with attendant_server(
        [artifact], ATTENDANT_DEVICE=str(device), ATTENDANT_ROWS=str(arguments.rows), ATTENDANT_GUARD="false",
        ATTENDANT_MAX_REQUESTS=str(2 * arguments.clients),
    ) as running:  # fmt: skip
        yield running


def over_http(artifact: Path, device: Device, arguments: argparse.Namespace, deadline: float) -> dict[str, Any]:
    """Return target tokens a second, latencies, power and the growth of memory under load until the deadline."""
    direction = read_artifact(artifact).manifest.directions[0]
    texts = [line.split("\t")[0] for line in arguments.texts.read_text("utf-8").splitlines()]
    wanted = {"source": direction.source, "target": direction.target}
    requests = [("/v1/translate", json.dumps({"text": text, **wanted})) for text in texts]
    with service(artifact, device, arguments) as running, Traffic() as traffic:
        server = Server(f"http://127.0.0.1:{running.port}")
        usage = [json.loads(server.request(path, json.loads(body), timeout=60)[1])["usage"] for path, body in
                 requests[:COUNTED]]  # fmt: skip
        tokens = statistics.mean(one["target_tokens"] for one in usage)
        parts: list[dict[str, Any]] = []
        while not parts or time.monotonic() + arguments.seconds + RESERVE < deadline:
            found = traffic.send(HttpLoad(running.port, requests, arguments.clients, 0.5, arguments.seconds))
            facts = gpu_facts(device)
            memory = facts.get("used_mib", resident_bytes(running.pid) / 2**20)
            part: dict[str, Any] = {"per_second": found.per_second, "p50_ms": found.p50_ms, "p95_ms": found.p95_ms}
            part |= {"errors": sum(found.errors.values()), "memory_mib": memory, "watts": facts.get("watts")}
            parts.append(part)
            if len(parts) >= arguments.parts:
                break
    middle = {name: statistics.median(part[name] for part in parts) for name in ("per_second", "p50_ms", "p95_ms")}
    return {
        "system": "Attendant over HTTP", "clients": arguments.clients, **middle,
        "tokens_per_second": tokens * middle["per_second"], "errors": sum(part["errors"] for part in parts),
        "memory_mib": [parts[0]["memory_mib"], parts[-1]["memory_mib"]], "watts": [part["watts"] for part in parts],
        "minutes": len(parts) * arguments.seconds / 60,
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal")
    top.add_argument("--run", type=Path, default=RUN, help="run folder with the weights (default: the base shape's)")
    top.add_argument("--artifact", type=Path, default=ARTIFACT, help="its artifact in fp32")
    top.add_argument("--texts", type=Path, help="TSV whose first column is sent (default: RUN/data/valid.tsv)")
    top.add_argument("--prepare", action="store_true", help="only make what is missing of these")
    top.add_argument("--rows", type=int, default=512)
    top.add_argument("--sentences", type=int, default=8192)
    top.add_argument("--rounds", type=int, default=5)
    top.add_argument("--clients", type=int, default=256)
    top.add_argument("--seconds", type=float, default=20.0, help="of each part of the load over HTTP")
    top.add_argument("--parts", type=int, default=1000, help="of the load at most")
    top.add_argument("--minutes", type=float, default=9.0, help="time limit of the whole call")
    top.add_argument("--json", type=Path, help="also write the results to this file")
    return top


def prepare(arguments: argparse.Namespace) -> tuple[Case, Path, Path]:
    """Return weights and sentences, the artifact in fp16 and CTranslate2's folder, made if they are missing."""
    case = base_case(arguments.run, "news", arguments.sentences)
    export_missing(arguments.run, arguments.artifact)
    limit = read_artifact(arguments.artifact).manifest.limits.source_length
    case = replace(case, sources=[ids for ids in case.sources if len(ids) <= limit])
    arguments.texts = arguments.texts or arguments.run / "data" / "valid.tsv"
    fp16 = half_artifact(arguments.artifact, arguments.artifact.with_name(f"{arguments.artifact.name}-fp16"))
    return case, fp16, case.converted("ctranslate2")


def main() -> int:
    arguments = parser().parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    case, fp16, folder = prepare(arguments)
    if arguments.prepare:
        return 0
    device = find_device(arguments.device)
    before = gpu_facts(device)
    on_device = Device(device.kind, device.number, resident=True, row_buckets=True)
    engine = Engine(read_artifact(fp16), on_device, arguments.rows, case.limit)
    rows = offline([engine, CTranslate2(folder, device, arguments.rows, case.limit)], case.sources, arguments.rounds)
    del engine
    rows.append(over_http(fp16, device, arguments, deadline))
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    if arguments.json:
        notes = f"{arguments.rounds} rounds of {arguments.sentences} sentences, {arguments.rows} rows, on {device}"
        write_figures(arguments.json, "Greedy translation of the base shape on a GPU", rows, notes=notes, gpu=before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
