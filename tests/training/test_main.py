"""The command line: results on standard output, errors in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import COLOURS, write_rows
from tests.training.toys import REVERSE, changed
from training.__main__ import main
from training.config import parse_recipe
from training.runs.run import RunFolder
from training.tools.interpreter import interpreter
from training.trainer import fit

Command = Callable[..., tuple[int, str, str]]  # words -> exit status, standard output, standard error
RECIPE = """
task = "classify"
data = {train = ["train.tsv"], hold_out = 2, columns = ["label", "text"], max_length = 8}
tokenizer = {kind = "word", vocabulary = 6, min_frequency = 1}
model = {width = 8, heads = 1, kv_heads = 1, feed_forward = 8, encoder_layers = 1, max_source_length = 8}
training = {epochs = 1, batch_tokens = 16, warmup = 1}
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line and return exit status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["training", *map(str, words)])
        status = main()
        return status, *capsys.readouterr()

    return run


def test_fit_then_classify(command: Command, tmp_path: Path) -> None:
    rows = [("good", "fine " * n) for n in range(1, 7)] + [("bad", "poor " * n) for n in range(1, 7)]
    write_rows(tmp_path / "train.tsv", rows)
    (tmp_path / "toy.toml").write_text(RECIPE)
    fitting = "fit", tmp_path / "toy.toml", "--data", tmp_path, "--run-folder", tmp_path / "run"
    status, output, errors = command(*fitting)
    assert status == 0
    assert json.loads(output)["epochs"] == 1  # only the report: progress goes to standard error
    assert "10 examples" in errors
    assert command(*fitting)[2].startswith(f"error: {tmp_path / 'toy.toml'}: {tmp_path / 'run'} already holds a run")
    assert json.loads(command(*fitting, "--resume")[1]) == json.loads(output)
    status, output, _ = command("classify", tmp_path / "run", "fine", "poor poor")
    assert status == 0
    texts, scores = zip(*(line.split("\t") for line in output.splitlines()), strict=True)
    assert texts == ("fine", "poor poor")
    for score in scores:
        best, other = (float(label.split()[1]) for label in score.split(", "))
        assert best >= other
        assert best + other == pytest.approx(1, abs=0.002)


def test_run_on_a_table_is_resumed_by_the_same_command(command: Command, tmp_path: Path) -> None:
    table, run = tmp_path / "rows.csv", tmp_path / "run"
    rows = [f"good,fine {n}\nbad,poor {n}\n" for n in range(30)]
    table.write_text("label,text\n" + "".join(rows))
    fitting = "fit", table, "--minutes", 0.05, "--run-folder", run
    assert command(*fitting, "--resume")[2] == f"error: {run}: nothing to resume; train without --resume\n"
    status, report, errors = command(*fitting)
    assert status == 0
    assert f"{run} is done; next: " in errors
    assert f" -m export {run}\n" in errors
    assert "already holds a run; choose another folder" in command(*fitting)[2]
    (run / "model.safetensors").unlink()
    assert "holds a run that was stopped; add --resume (with make: RESUME=1)" in command(*fitting)[2]
    status, resumed, _ = command(*fitting, "--resume")
    assert (status, json.loads(resumed)) == (0, json.loads(report))
    other = table.rename(tmp_path / "other.csv")
    errors = command("fit", other, "--run-folder", run, "--resume")[2]
    assert errors == f"error: {run} was trained on rows.csv, not on other.csv\n"
    assert "--data is for recipes" in command("fit", other, "--data", tmp_path)[2]


def test_fine_tuning_is_resumed_by_the_same_command(
    command: Command, toy_classification_run: RunFolder, tmp_path: Path
) -> None:
    table, run = tmp_path / "rows.csv", tmp_path / "run"
    rows = [f"{label},{word} {n}\n" for n in range(30) for label, words in COLOURS.items() for word in words[:2]]
    table.write_text("label,text\n" + "".join(rows))
    fitting = "fit", table, "--initialise-from", toy_classification_run.path, "--run-folder", run
    status, report, errors = command(*fitting)
    assert status == 0, errors
    assert json.loads(command(*fitting, "--resume")[1]) == json.loads(report)


def test_next_command_names_the_interpreter_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv train" / "bin" / "python"))
    assert interpreter() == f"'{tmp_path}/.venv train/bin/python'"
    monkeypatch.chdir(tmp_path)
    assert interpreter() == "'.venv train/bin/python'"


def test_evaluate_prints_metrics(
    command: Command, toy_translation_run: RunFolder, toy_classification_run: RunFolder
) -> None:
    for run, held in ((toy_translation_run, "valid.tsv"), (toy_classification_run, "train.tsv")):
        status, output, errors = command("evaluate", run.path, held, "--data", run.path.parent)
        assert (status, errors) == (0, "")
        metrics = json.loads(output)
        assert metrics.keys() == json.loads(run.report.read_text())["valid"].keys()
    assert metrics["labels"]["accuracy"] > 95


def test_translate_in_both_directions(command: Command, toy_translation_run: RunFolder) -> None:
    run = toy_translation_run.path
    assert command("translate", run, "red house", "one") == (0, "rot Haus\neins\n", "")  # the recipe's first direction
    assert command("translate", run, "rot Haus", "--target", "a") == (0, "red house\n", "")


def test_beam_options_are_used(command: Command, toy_translation_run: RunFolder) -> None:
    run = toy_translation_run.path
    assert command("translate", run, "red house", "--beam", 3, "--length-penalty", 0.5)[:2] == (0, "rot Haus\n")
    status, output, _ = command("evaluate", run, "valid.tsv", "--data", run.parent, "--beam", 3)
    assert status == 0
    assert min(metrics["bleu"] for metrics in json.loads(output).values()) > 80


@pytest.mark.parametrize(
    "words", [("--beam", "0"), ("--beam", "2.5"), ("--length-penalty", "-1"), ("--length-penalty", "nan")]
)
def test_invalid_beam_options_are_rejected(command: Command, words: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        command("translate", "run", "text", *words)


def test_distil_writes_a_corpus(command: Command, toy_translation_run: RunFolder, tmp_path: Path) -> None:
    run, output = toy_translation_run.path, tmp_path / "distilled.tsv"
    write_rows(tmp_path / "some.tsv", [("red dog", "-"), ("one", "-")])
    words = "distil", run, output, "some.tsv", "--data", tmp_path
    assert command(*words, "--beam", 2)[:2] == (0, f"{output}: 2 rows, a-b, from 2\n")
    assert output.read_text("utf-8") == "red dog\trot Hund\none\teins\n"
    assert command("distil", run, output, "--data", run.parent, "--direction", "b-a", "--beam", 1)[0] == 0
    assert len(output.read_text("utf-8").splitlines()) > 300  # the default is the training data of the run


def test_attention_draws_every_map(
    command: Command,
    toy_translation_run: RunFolder,
    toy_classification_run: RunFolder,
    toy_recurrent_run: RunFolder,
    tmp_path: Path,
) -> None:
    for run, count in ((toy_translation_run, 5 * 4), (toy_classification_run, 2 * 2), (toy_recurrent_run, 1)):
        status, output, errors = command(
            "attention", run.path, "--text", "red", "--output", tmp_path / run.path.parent.name
        )
        assert (status, errors) == (0, "")
        assert len(output.splitlines()) == 1 + count  # and the overview
        assert all(Path(file).is_file() for file in output.splitlines())


def test_attention_of_model_without_attention_is_an_error(command: Command, reverse_data: Path, tmp_path: Path) -> None:
    model = {"architecture": "gru", "attention": "none", "width": 8, "encoder_layers": 1, "decoder_layers": 1}
    recipe = parse_recipe(changed(REVERSE, {"model": model, "training.epochs": 1}), "toy.toml")
    fit(recipe, reverse_data, RunFolder(tmp_path / "run"), resume=False)
    status, output, errors = command("attention", tmp_path / "run", "--text", "1 2")
    assert (status, output) == (1, "")
    assert "is a gru model without attention; there is nothing to draw" in errors
    assert not (tmp_path / "run" / "attention").exists()


def test_errors_are_one_line(
    command: Command,
    toy_translation_run: RunFolder,
    toy_classification_run: RunFolder,
    tmp_path: Path,
) -> None:
    translating, classifying = toy_translation_run.path, toy_classification_run.path
    (tmp_path / "bad.toml").write_text('task = "sing"')
    broken = {name: tmp_path / name for name in ("weights", "recipe", "tokenizer", "labels", "labelless")}
    for folder in broken.values():
        shutil.copytree(classifying, folder)
    (broken["weights"] / "model.safetensors").write_bytes(b"x")
    (broken["recipe"] / "recipe.json").write_text("{")
    (broken["tokenizer"] / "tokenizer.json").unlink()
    (broken["labels"] / "labels.json").write_text("[")
    (broken["labelless"] / "labels.json").unlink()
    for words, error in [
        (["fit", tmp_path / "none.toml"], "none.toml: no such recipe"),
        (["fit", tmp_path / "bad.toml"], "bad.toml: task is 'sing'; choose one of translate, classify; data.train is"),
        (["evaluate", tmp_path, "valid.tsv"], "not a run folder (no recipe.json)"),
        (["evaluate", translating, "none.tsv", "--data", tmp_path], "none.tsv: no such file"),
        (["translate", translating, "one", "--target", "fr"], "--target fr: this run translates a-b, b-a"),
        (["translate", translating, "one " * 60], "this model reads at most 48"),
        (["classify", classifying, "red " * 60], "this model reads at most 48"),
        (["translate", classifying, "red"], "is a classify run; `translate` does not apply"),
        (["classify", translating, "red"], "is a translate run; `classify` does not apply"),
        (["distil", classifying, tmp_path / "out.tsv"], "is a classify run; `distil` does not apply"),
        (["distil", translating, tmp_path / "out.tsv", "--direction", "a-c"], "this run translates a-b, b-a"),
        (["evaluate", classifying, "train.tsv", "--data", classifying.parent, "--beam", 4], "--beam does not apply"),
        (["attention", translating, "--text", "one " * 60], "this model reads at most 48"),
        (["attention", translating, "--text", "one", "--target", "c"], "--target c: this run translates a-b, b-a"),
        (["classify", broken["weights"], "red"], "model.safetensors: damaged"),
        (["classify", broken["recipe"], "red"], "recipe.json: damaged"),
        (["classify", broken["tokenizer"], "red"], "tokenizer.json: no such file"),
        (["classify", broken["labels"], "red"], "labels.json: missing or damaged"),
        (["classify", broken["labelless"], "red"], "labels.json: missing or damaged"),
    ]:
        status, output, errors = command(*words)
        assert (status, output) == (1, "")
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert error in errors
