"""The manifest of an artifact: what an export writes about a run and its graphs."""

import json
from pathlib import Path

from export.checks.quality_gate import validation_data
from export.graphs.onnx_writer import WEIGHTS
from service.artifact import (
    FORMAT,
    GRAPHS,
    Direction,
    Evaluation,
    Graph,
    Limits,
    Manifest,
    Parity,
    Provenance,
    SpecialTokens,
    State,
    sha256,
)
from training.config import Recipe, RecipeError, recipe_table
from training.data.placeholders import placeholders
from training.data.tokenizer import BOS, EOS, PAD, UNK
from training.pretrained.tokenizer import frame
from training.runs.run import RunFolder
from training.tasks import ClassifyTask, Task, TranslateTask


def build_manifest(
    task: Task,
    run: RunFolder,
    folder: Path,
    graphs: dict[str, Graph],
    state_kinds: dict[str, str],
    name: str,
    version: str,
) -> Manifest:
    """Describe the files in `folder` as an fp32 artifact whose parity has not been checked yet.

    Raises:
        RecipeError: the run has no report yet.
    """
    recipe = task.recipe
    assert set(graphs) == set(GRAPHS[recipe.task])
    names = ["tokenizer.json", WEIGHTS, *(graph.file for graph in graphs.values())]
    step = {tensor.name: tensor for tensor in graphs["step"].inputs} if state_kinds else {}
    return Manifest(
        format=FORMAT,
        name=name,
        version=version,
        task=recipe.task,
        directions=_directions(task) if isinstance(task, TranslateTask) else [],
        labels=task.labels if isinstance(task, ClassifyTask) else [],
        multi_label=isinstance(task, ClassifyTask) and task.multi_label,
        files={name: sha256(folder / name) for name in names},
        special_tokens=_special_tokens(task),
        append_eos=recipe.tokenizer.kind == "pretrained",
        placeholder_tokens=placeholders(recipe.tokenizer.placeholders),
        limits=Limits(source_length=recipe.model.max_source_length, target_length=recipe.model.max_target_length),
        graphs=graphs,
        state=[
            State(input=name, output=f"{name}_out", dtype=step[name].dtype, shape=step[name].shape, kind=kind)  # type: ignore[arg-type]
            for name, kind in state_kinds.items()
        ],
        precision="fp32",
        evaluation=run_evaluations(recipe, run),
        parity=Parity(sentences=0, cached=0.0, onnx=0.0, tolerance=0.0),
        provenance=Provenance(description=recipe.description, recipe=recipe_table(recipe), licence=recipe.licence),
    )


def _special_tokens(task: Task) -> SpecialTokens:
    if task.recipe.tokenizer.kind != "pretrained":
        return SpecialTokens(pad=PAD, unk=UNK, bos=BOS, eos=EOS)
    found = frame(task.codec.source)
    return SpecialTokens(pad=found.pad, unk=found.unk, bos=found.begin, eos=found.end)


def _directions(task: TranslateTask) -> list[Direction]:
    return [
        Direction(source=source, target=target, prefix=task.source_ids([""], target)[0][: int(task.recipe.tagged)])
        for source, target in task.recipe.pairs
    ]


def run_evaluations(recipe: Recipe, run: RunFolder) -> list[Evaluation]:
    """Return the metrics in the run's report; they are the fp32 artifact's too, because greedy answers are identical.

    Raises:
        RecipeError: the run has no report yet.
    """
    if not run.report.is_file():
        raise RecipeError(f"{run.path}: the run has not ended (no {run.report.name}); continue it with fit --resume")
    report = json.loads(run.report.read_text("utf-8"))
    found = []
    for split in ("valid", "test"):
        files = recipe.data.test if split == "test" else validation_data(recipe)
        for part, metrics in report.get(split, {}).items():
            signature = str(metrics.get("signature", ""))
            found += [
                Evaluation(
                    data=" ".join(files),
                    split=f"{split} {part}",
                    metric=metric,
                    value=value,
                    signature=signature if metric == "bleu" else "",
                )
                for metric, value in metrics.items()
                if metric != "signature"
            ]
    return found
