"""A run folder from an artifact, where the one that it was exported from is not at hand.

    python -m export.import_artifact ARTIFACT RUN

Training can start from it, and other engines can be given its weights. int8 weights become the numbers that they stand
for, so exporting them to int8 again finds the same ones.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from export.graphs.recurrent import taken_apart
from service.artifact import Artifact, ArtifactError, read_artifact
from training.config import RecipeError, parse_saved_recipe
from training.models.recurrent import RecurrentClassifier, RecurrentTranslator
from training.runs.checkpoint import save_weights
from training.runs.run import RunFolder
from training.tasks import load_task

# The graph that has all weights as they were trained comes last: encode's are rescaled where they write int8 caches.
LAST = ("encode", "step", "score", "classify")


def run_of(artifact: Path, run: Path) -> Path:
    """`run`, made from the artifact if it is not there.

    Raises:
        ArtifactError: the artifact cannot be read.
        ValueError: it holds no weights for a part of its recipe's model.
    """
    if not RunFolder(run).weights.is_file():
        rebuild(read_artifact(artifact), RunFolder(run))
    return run


def rebuild(artifact: Artifact, run: RunFolder) -> None:
    """Write recipe, tokeniser, labels, weights, and a report without figures."""
    run.save_recipe(parse_saved_recipe(artifact.manifest.provenance.recipe, str(artifact.path)))
    shutil.copy(artifact.tokenizer, run.path / "tokenizer.json")
    if artifact.manifest.labels:
        (run.path / "labels.json").write_text(json.dumps(artifact.manifest.labels), "utf-8")
    model = load_task(run.recipe(), run.path).build()
    tensors, filled = initialisers(artifact), set[torch.nn.Parameter]()
    if isinstance(model, RecurrentTranslator | RecurrentClassifier):
        layers = taken_apart(tensors, model.encoder, model.config.architecture)
        tensors |= {f"model.encoder.{name}": array for name, array in layers.items()}
    with torch.no_grad():
        # A shared parameter has several names, and the graphs know it by one of them.
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if (array := trained(tensors, f"model.{name}")) is not None:
                parameter.copy_(torch.from_numpy(array))
                filled.add(parameter)
    if missing := [name for name, parameter in model.named_parameters() if parameter not in filled]:
        raise ValueError(f"{artifact.path}: no weights for {', '.join(missing)}")
    run.report.write_text("{}", "utf-8")
    save_weights(model, run.weights)


def initialisers(artifact: Artifact) -> dict[str, np.ndarray]:
    """Every constant of the graphs."""
    found: dict[str, np.ndarray] = {}
    for name in (name for name in LAST if name in artifact.manifest.graphs):
        graph = onnx.load(str(artifact.graph(name))).graph
        found |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return found


def trained(tensors: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """A parameter by its name in the graphs, (O, I) where it is a linear map's weight; None if it is not in them."""
    if name in tensors:
        return np.array(tensors[name])
    if f"{name}_i8" in tensors:
        scale = tensors[f"{name}_scale"]
        values = np.asarray(tensors[f"{name}_i8"].astype(np.float32) * scale)
        return np.ascontiguousarray(values.T if scale.ndim else values)  # a table has one scale, and stands as it was
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m export.import_artifact", description="A run folder from an artifact."
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("run", type=Path, help="folder to write; it must not hold a run yet")
    arguments = parser.parse_args()
    run = RunFolder(arguments.run)
    if run.weights.is_file():
        sys.stderr.write(f"error: {run.path} already holds a run; choose another folder\n")
        return 1
    try:
        rebuild(read_artifact(arguments.artifact), run)
    except (ArtifactError, RecipeError, ValueError) as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return 1
    sys.stdout.write(f"{run.path}: train from it with --initialise-from {run.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
