"""Make a run folder from an artifact, for when the original run folder is not available.

    python -m export.import_artifact ARTIFACT RUN

Training can start from the run, and its weights can be converted for other engines. int8 weights are dequantised, so a
second export to int8 gives the same int8 weights.
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

from export.graphs.recurrent import encoder_parameters
from service.artifact import Artifact, ArtifactError, read_artifact
from training.config import RecipeError, parse_saved_recipe
from training.models.recurrent import RecurrentClassifier, RecurrentTranslator
from training.runs.checkpoint import save_weights
from training.runs.run import RunFolder
from training.tasks import load_task
from training.tools.interpreter import interpreter

# Later graphs override earlier ones. `encode` comes first: where it writes int8 caches, its weights are rescaled.
GRAPH_ORDER = ("encode", "step", "score", "classify")


def ensure_run(artifact: Path, run: Path) -> Path:
    """Return `run`, and make it from the artifact if it does not exist.

    Raises:
        ArtifactError: the artifact cannot be read.
        ValueError: it lacks weights of its recipe's model.
    """
    if not RunFolder(run).weights.is_file():
        import_artifact(read_artifact(artifact), RunFolder(run))
    return run


def import_artifact(artifact: Artifact, run: RunFolder) -> None:
    """Write recipe, tokeniser, labels, weights and an empty report.

    Raises:
        ValueError: the artifact lacks weights of its recipe's model.
    """
    run.save_recipe(parse_saved_recipe(artifact.manifest.provenance.recipe, str(artifact.path)))
    shutil.copy(artifact.tokenizer, run.path / "tokenizer.json")
    if artifact.manifest.labels:
        (run.path / "labels.json").write_text(json.dumps(artifact.manifest.labels), "utf-8")
    model = load_task(run.recipe(), run.path).build()
    tensors, filled = initialisers(artifact), set[torch.nn.Parameter]()
    if isinstance(model, RecurrentTranslator | RecurrentClassifier):
        layers = encoder_parameters(tensors, model.encoder, model.config.architecture)
        tensors |= {f"model.encoder.{name}": array for name, array in layers.items()}
    with torch.no_grad():
        # A shared parameter has several names, and the graphs use one of them.
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if (array := find_parameter(tensors, f"model.{name}")) is not None:
                parameter.copy_(torch.from_numpy(array))
                filled.add(parameter)
    if missing := [name for name, parameter in model.named_parameters() if parameter not in filled]:
        raise ValueError(f"{artifact.path}: no weights for {', '.join(missing)}")
    run.report.write_text("{}", "utf-8")
    save_weights(model, run.weights)


def initialisers(artifact: Artifact) -> dict[str, np.ndarray]:
    """Return all constants of the graphs by name."""
    found: dict[str, np.ndarray] = {}
    for name in (name for name in GRAPH_ORDER if name in artifact.manifest.graphs):
        graph = onnx.load(str(artifact.graph(name))).graph
        found |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return found


def find_parameter(tensors: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """Return a parameter by its name in the graphs, dequantised, or None if it is not there.

    A linear layer's weight is returned as (O, I).
    """
    if name in tensors:
        return np.array(tensors[name])
    if f"{name}_i8" in tensors:
        scale = tensors[f"{name}_scale"]
        values = np.asarray(tensors[f"{name}_i8"].astype(np.float32) * scale)
        # A table has one scale and is stored as trained; a linear layer's weight is stored transposed.
        return np.ascontiguousarray(values.T if scale.ndim else values)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m export.import_artifact", description="Make a run folder from an artifact."
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("run", type=Path, help="folder to write; must not contain a run")
    arguments = parser.parse_args()
    run = RunFolder(arguments.run)
    if run.weights.is_file():
        sys.stderr.write(f"error: {run.path} already contains a run; choose another folder\n")
        return 1
    try:
        import_artifact(read_artifact(arguments.artifact), run)
    except (ArtifactError, RecipeError, ValueError) as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return 1
    sys.stdout.write(
        f"{run.path}: train it further on your rows:\n"
        f"{interpreter()} -m training fit ROWS.csv --initialise-from {run.path} --run-folder runs/NEW\n"
        f"or with a copy of {run.path}/recipe.toml, changed, instead of ROWS.csv\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
