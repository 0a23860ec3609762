"""The model card of an artifact, MODEL_CARD.md."""

from collections.abc import Sequence

from service.artifact import Evaluation, Manifest

TEMPLATE = """\
# {name}

{description}

- Task: {task}. {outputs}
- Version {version}, {precision}, {size:.1f} MB; at most {source} source tokens{target} a segment.
- Licence of the weights: {licence}.

## Evaluation

{evaluation}

The export compared the graphs with the trained model on {sentences} sentences: largest difference {difference:.1e}
(allowed {tolerance:.0e}); answers identical.

## Intended use and limits

The model is meant for text like its training data: {data}.

Answers to other kinds of text are worse, and nothing in the answer says so. A text above the limit is rejected, never
truncated. manifest.json holds the recipe, so the model can be trained again.
{notes}"""

IMPORTED_TEMPLATE = """\
# {name}

{description}

- Task: {task}. {outputs}
- Version {version}, {precision}, {size:.1f} MB; at most {source} source tokens{target} a segment.
- Licence of the weights: {licence}.

## Checks

The import compared the graphs{of_fp32} with {reference} on {sentences} texts: largest difference {difference:.1e}
(allowed {tolerance:.0e}); answers identical. {quality}
{generation}"""
UNMEASURED = "The quality of the answers was not measured: see the model card of the checkpoint."


def imported_card(manifest: Manifest, size: int, reference: str, left_out: Sequence[str] = ()) -> str:
    """Return the Markdown for an imported model of `size` bytes.

    `reference` is the system that its answers were compared with; `left_out` are its generation options that are not
    taken over.
    """
    defaults = manifest.generation.model_dump(exclude_defaults=True)
    lines = [f"- {key}: {value:g}" for key, value in defaults.items()] + [f"- not taken over: {x}" for x in left_out]
    quality = UNMEASURED
    if manifest.evaluation:
        same = any("without references" in e.data for e in manifest.evaluation)
        quality = f"int8 was calibrated on {'the same texts' if same else 'other rows of the same data'}."
        quality += f"\n\n{_evaluation(manifest.evaluation)}"
    return IMPORTED_TEMPLATE.format(
        name=manifest.name,
        description=manifest.provenance.description,
        task=manifest.task,
        outputs=_outputs(manifest),
        version=manifest.version,
        precision=manifest.precision,
        size=size / 1e6,
        source=manifest.limits.source_length,
        target=f" and {manifest.limits.target_length} target tokens" if manifest.task == "translate" else "",
        licence=manifest.provenance.licence,
        sentences=manifest.parity.sentences,
        difference=manifest.parity.onnx,
        tolerance=manifest.parity.tolerance,
        reference=reference,
        of_fp32=" in fp32" if manifest.precision != "fp32" else "",
        quality=quality,
        generation="\n## Decoding, unless a request says otherwise\n\n" + "\n".join(lines) + "\n" if lines else "",
    )


def _outputs(manifest: Manifest) -> str:
    if manifest.task == "translate":
        return "Directions: " + ", ".join(f"{d.source} to {d.target}" for d in manifest.directions) + "."
    several = ", of which a text can have several or none" if manifest.multi_label else ""
    return f"{len(manifest.labels)} labels{several}: " + ", ".join(manifest.labels) + "."


def model_card(manifest: Manifest, size: int, notes: str) -> str:
    """Return the Markdown for an artifact of `size` bytes, with `notes` at the end."""
    translate = manifest.task == "translate"
    data = manifest.provenance.recipe["data"]
    assert isinstance(data, dict)
    return TEMPLATE.format(
        name=manifest.name,
        description=manifest.provenance.description,
        task=manifest.task,
        outputs=_outputs(manifest),
        version=manifest.version,
        precision=manifest.precision,
        size=size / 1e6,
        source=manifest.limits.source_length,
        target=f" and {manifest.limits.target_length} target tokens" if translate else "",
        licence=manifest.provenance.licence,
        evaluation=_evaluation(manifest.evaluation),
        sentences=manifest.parity.sentences,
        difference=max(manifest.parity.onnx, manifest.parity.cached),
        tolerance=manifest.parity.tolerance,
        data=", ".join([*data["train"], *data["negatives"]["files"]]),
        notes=f"\n{notes.strip()}\n" if notes.strip() else "",
    )


def _evaluation(evaluation: list[Evaluation]) -> str:
    """Return a table with a row for every split and part, then the files of the splits and the metrics' signatures."""
    if not evaluation:
        return "No test set in the recipe."
    values = {(e.split, e.metric, e.precision): f"{e.value:.2f}" for e in evaluation}
    columns = list(dict.fromkeys((e.metric, e.precision) for e in evaluation))
    lines = [["split", *(f"{metric}, {precision}" for metric, precision in columns)], ["---"] * (1 + len(columns))]
    for split in dict.fromkeys(e.split for e in evaluation):
        lines.append([split, *(values.get((split, *column), "") for column in columns)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    files = {e.split.partition(" ")[0]: e.data for e in evaluation}
    signatures = dict.fromkeys(f"{e.metric}: `{e.signature}`" for e in evaluation if e.signature)
    notes = [f"- {split}: {name}" for split, name in files.items()] + [f"- {signature}" for signature in signatures]
    return table + "\n\n" + "\n".join(notes)
