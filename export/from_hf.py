"""Import a checkpoint of Hugging Face transformers, or a translator of CTranslate2 (an Argos package):
`python -m export from-hf CHECKPOINT ARTIFACT`.

The weights flow into the same graphs as those of a trained run, and the artifact is published only if it gives the
answers of the system that it comes from.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnx import ModelProto

from export.checks.imported_quality import LOSS_BOUND, built_in_data, calibrate_import, check_import, read_gate_data
from export.checks.parity import ParityError
from export.checks.quality_gate import QUALITY_BOUND, QualityError
from export.checks.sample_texts import SAMPLE_TEXTS
from export.ctranslate2.imports import CTranslate2Import
from export.ctranslate2.package import is_ctranslate2
from export.graphs.onnx_writer import WEIGHTS, to_onnx, write_graphs
from export.graphs.spec import GraphSpec
from export.graphs.topk import select_graph
from export.hf.encoder_decoder import FAMILIES as TRANSLATORS
from export.hf.imports import ClassifierImport, Import, TranslatorImport
from export.model_card import imported_card
from export.publish import complete, write_int8
from export.target import choose_target
from service.artifact import (
    FORMAT,
    Artifact,
    ArtifactError,
    Graph,
    Manifest,
    Parity,
    Provenance,
    State,
    publish,
    sha256,
)
from training.data.corpus import CorpusError
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused, open_checkpoint
from training.pretrained.encoder import FAMILIES

TOLERANCE = 1e-4
SYSTEMS = {"transformers": "Hugging Face transformers", "CTranslate2": "CTranslate2"}  # by the reference of an import
IMPORTERS: dict[str, Callable[[HfCheckpoint, list[tuple[str, str]]], Import]] = {
    **dict.fromkeys(TRANSLATORS, TranslatorImport),
    **dict.fromkeys([*FAMILIES, "modernbert"], ClassifierImport),
}

_T5 = (
    "it would need relative position biases, RMSNorm, unscaled attention and gated feed-forward layers, which our "
    "graphs do not have"
)
_DEBERTA = "it would need disentangled attention, two more products of contents and distances in each layer"
MISSING = {  # what known architectures would need
    "t5": _T5, "mt5": _T5, "umt5": _T5, "deberta": _DEBERTA, "deberta-v2": _DEBERTA,
}  # fmt: skip


@dataclass(frozen=True)
class ImportOptions:
    """How to import a checkpoint."""

    name: str
    languages: list[tuple[str, str]] = field(default_factory=list)  # (source, target) of a translator
    licence: str = "unknown; see where the checkpoint comes from"
    version: str = "1"
    tolerance: float = TOLERANCE
    texts: tuple[str, ...] = SAMPLE_TEXTS  # for the parity check
    int8: bool = False
    data: Path | None = None  # rows with references, to calibrate int8 on and to check it with
    bound: float = QUALITY_BOUND  # how much int8 may lose on them, in BLEU or points of accuracy


def import_checkpoint(path: Path, artifact: Path, options: ImportOptions) -> Manifest:
    """Write the artifact of a checkpoint; nothing is published if a check fails.

    Raises:
        ImportRefused: the checkpoint cannot be imported.
        CorpusError: the rows for int8 cannot be used.
        ArtifactError: the artifact cannot be written there.
        ParityError: the graphs differ from transformers.
        QualityError: int8 loses more than the bound.
    """
    found, config = _read(path, options.languages)
    data = built_in_data(options.texts, found.directions)
    if options.data:
        data = read_gate_data(options.data, found.directions, found.labels)
    specs = found.graphs()
    writer = ImportWriter(path.resolve().name, config, found, specs, options)
    with publish(artifact) as folder, TemporaryDirectory() as scratch:
        models = {name: to_onnx(spec) for name, spec in specs.items()}
        if "step" in models:
            models["select"] = select_graph(int(models["step"].graph.output[0].type.tensor_type.shape.dim[1].dim_value))
        fp32_folder = Path(scratch) if options.int8 else folder
        manifest = writer.write(models, fp32_folder)
        fp32 = Artifact(fp32_folder, manifest)
        parity = found.verify(fp32, options.texts, options.tolerance)
        if options.int8:
            plan = calibrate_import(found.model, fp32, data)
            manifest = write_int8(
                models, plan, writer, folder, lambda int8: check_import(fp32, int8, data, options.bound)
            )
        manifest = manifest.model_copy(update={"parity": parity})
        return complete(
            folder, manifest, lambda size: imported_card(manifest, size, found.reference, found.generation.left_out)
        )


def _read(path: Path, languages: list[tuple[str, str]]) -> tuple[Import, dict[str, Any]]:
    """Read a checkpoint, and its configuration for the manifest."""
    if is_ctranslate2(path):
        package = CTranslate2Import(path, languages)
        return package, package.package.config
    checkpoint = open_checkpoint(path)
    if checkpoint.model_type not in IMPORTERS:
        missing = f" ({MISSING[checkpoint.model_type]})" if checkpoint.model_type in MISSING else ""
        raise ImportRefused(
            f"{path}: model_type is {checkpoint.model_type!r}{missing}; {', '.join(IMPORTERS)} can be imported so far"
        )
    return IMPORTERS[checkpoint.model_type](checkpoint, languages), dict(checkpoint.config)


@dataclass(frozen=True)
class ImportWriter:
    """Writes the files of an imported artifact except model card and manifest, and returns the manifest."""

    checkpoint: str  # name
    config: dict[str, Any]
    found: Import
    specs: dict[str, GraphSpec]
    options: ImportOptions

    def write(self, models: dict[str, ModelProto], folder: Path) -> Manifest:
        found, options = self.found, self.options
        graphs = write_graphs(models, folder)
        found.save_tokenizer(folder / "tokenizer.json")
        names = ["tokenizer.json", WEIGHTS, *(graph.file for graph in graphs.values())]
        return Manifest(
            format=FORMAT,
            name=options.name,
            version=options.version,
            task=found.task,
            directions=found.directions,
            labels=found.labels,
            multi_label=found.multi_label,
            append_eos=found.append_eos,
            source_eos=found.source_eos,
            pair_separator=found.pair_separator,
            files={name: sha256(folder / name) for name in names},
            special_tokens=found.special_tokens,
            limits=found.limits,
            generation=found.generation.defaults,
            graphs=graphs,
            state=_states(graphs["step"], self.specs["step"].state_kinds) if "step" in graphs else [],
            precision="fp32",
            parity=Parity(sentences=0, cached=0.0, onnx=0.0, tolerance=0.0),
            provenance=Provenance(
                description=f"Imported from {self.checkpoint}, a model of {SYSTEMS[found.reference]}.",
                recipe={"checkpoint": self.checkpoint, "config": self.config},
                licence=options.licence,
            ),
        )


def _states(step: Graph, kinds: dict[str, str]) -> list[State]:
    inputs = {tensor.name: tensor for tensor in step.inputs}
    return [
        State(input=name, output=f"{name}_out", dtype=inputs[name].dtype, shape=inputs[name].shape, kind=kind)  # type: ignore[arg-type]
        for name, kind in kinds.items()
    ]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m export from-hf",
        description="Import a checkpoint of Hugging Face transformers, or a translator of CTranslate2, such as an "
        "Argos package. It is published only if its answers are equal.",
    )
    top.add_argument("checkpoint", type=Path, help="folder with config.json, model.safetensors and tokenizer files, "
                     "or with model.bin, vocabulary and SentencePiece model")  # fmt: skip
    top.add_argument("artifact", type=Path, help="folder to write the artifact to")
    top.add_argument(
        "--languages",
        nargs="+",
        metavar="LANGUAGE",
        help="of a translator: directions such as en-de, or languages such as en de fr for all directions between them "
        "(default: from tokenizer_config.json or the checkpoint's name)",
    )
    top.add_argument("--name", help="of the model (default: the artifact folder's name)")
    top.add_argument("--version", help="version written to the manifest (default: 1, or one more than it replaces)")
    top.add_argument("--force", action="store_true", help="replace an artifact without asking")
    top.add_argument("--licence", default=ImportOptions.licence, help="licence of the weights, for the model card")
    top.add_argument("--texts", type=Path, help="file of texts, one a line, for the parity check (default: built in)")
    top.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"of the parity check (default: {TOLERANCE:g})")
    top.add_argument(
        "--int8",
        action="store_true",
        help="quantise to int8; fails if it loses more than --bound on rows of --data, or, without these, if it finds "
        f"the answers of fp32 less probable by more than {LOSS_BOUND:g}",
    )
    top.add_argument(
        "--data",
        type=Path,
        metavar="ROWS",
        help="file of rows to calibrate and check int8 with, as a recipe names it: of a translator 'FILE as en, de', "
        "of a classifier with label and text (default: the texts of the parity check)",
    )
    top.add_argument(
        "--bound",
        type=float,
        default=QUALITY_BOUND,
        help=f"BLEU or points of accuracy that int8 may lose (default: {QUALITY_BOUND})",
    )
    return top


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        manifest = import_checkpoint(options.checkpoint, options.artifact, _import_options(options))
    except (
        ArtifactError,
        CorpusError,
        ImportRefused,
        ParityError,
        QualityError,
        OSError,
        UnicodeDecodeError,
    ) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    parity = manifest.parity
    sys.stdout.write(
        f"{options.artifact}: {manifest.name} {manifest.version}; parity with the original on {parity.sentences} "
        f"texts: {parity.onnx:.1e} (allowed {parity.tolerance:.0e}), answers identical\n"
    )
    for found in manifest.evaluation:
        sys.stdout.write(f"{found.precision}: {found.data}: {found.split}: {found.metric} {found.value:.3f}\n")
    return 0


def _import_options(options: argparse.Namespace) -> ImportOptions:
    name = options.name or re.sub(r"[^a-z0-9._-]+", "-", options.artifact.resolve().name.lower())
    target = choose_target(options.artifact, name, options.version, options.force)
    texts = SAMPLE_TEXTS
    if options.texts is not None:
        texts = tuple(line for line in options.texts.read_text("utf-8").splitlines() if line.strip())
    return ImportOptions(
        name=target.name,
        languages=parse_directions(options.languages or []),
        licence=options.licence,
        version=target.version,
        tolerance=options.tolerance,
        texts=texts,
        int8=options.int8,
        data=options.data,
        bound=options.bound,
    )


def parse_directions(given: Sequence[str]) -> list[tuple[str, str]]:
    """Return the directions that the command line names: pairs such as en-de, and all between single languages.

    Raises:
        ImportRefused: a pair lacks a side, or a language stands alone.
    """
    pairs = [(source, target) for source, dash, target in (text.partition("-") for text in given) if dash]
    single = [text for text in given if "-" not in text]
    wrong = ["-".join(pair) for pair in pairs if not all(pair)] + (single if len(single) == 1 else [])
    if wrong:
        raise ImportRefused(
            f"--languages {wrong[0]}: give directions, such as en-de, or two or more languages, such as en de"
        )
    return list(dict.fromkeys([*pairs, *permutations(single, 2)]))
