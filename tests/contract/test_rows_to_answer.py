"""A table of rows becomes a run, an artifact and answers, without a recipe."""

import json
import random
from pathlib import Path

import pytest

from export.checks.local_engine import run_requests
from export.commands import main as export_main
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from training.__main__ import main as training_main
from training.config import load_recipe
from training.data.tokenizer import BOS
from training.tools.interpreter import interpreter

WORDS = {
    "delivery": ["parcel", "courier", "late", "ship", "package"],
    "payment": ["charge", "card", "refund", "invoice", "price"],
    "account": ["password", "login", "email", "locked", "profile"],
}


def write_csv(path: Path) -> None:
    generator = random.Random(1)
    lines = ["message,department"]
    for _ in range(180):
        label = generator.choice(list(WORDS))
        words = generator.choices(WORDS[label], k=3)
        lines.append(f'"Hello, {generator.randrange(10_000)}: {" ".join(words)}",{label}')
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_rows_to_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(tmp_path / "Support Mails.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["training", "fit", "Support Mails.csv"])
    assert training_main() == 0
    output, said = capsys.readouterr()
    assert json.loads(output)["valid"]["labels"]["accuracy"] > 90
    for line in (
        "Support Mails.csv: CSV, 180 rows",
        "  label: column 'department' (by its name)",
        "  3 labels: ",
        "validation: 18 rows, held out",
        "  training.warmup = ",
        f"next: {interpreter()} -m export runs/support-mails",
    ):
        assert line in said
    run = Path("runs/support-mails")
    recipe = load_recipe(run / "recipe.toml")
    assert recipe.data.names == {"text": "message", "label": "department"}
    assert sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) < 30e6

    monkeypatch.setattr("sys.argv", ["export", str(run)])
    assert export_main() == 0
    artifact = read_artifact(tmp_path / "models" / "support-mails")
    assert artifact.manifest.name == "support-mails"
    assert str(tmp_path) not in artifact.manifest.model_dump_json()
    codec = TextCodec(artifact.tokenizer, artifact.manifest)
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), 1))
    ids = codec.encode(["Hello, my courier is late", "my password is locked"], [BOS], artifact.manifest.append_eos)
    found = run_requests([engine], [EngineRequest(x) for x in ids])
    best = [artifact.manifest.labels[max(range(3), key=result.probabilities.__getitem__)] for result in found]
    assert best == ["delivery", "account"]

    monkeypatch.setattr("sys.argv", ["training", "fit", "Support Mails.csv"])
    assert training_main() == 1
    assert "runs/support-mails already holds a run; choose another folder with --run-folder" in capsys.readouterr().err
