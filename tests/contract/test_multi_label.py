"""A table whose texts have several labels becomes a run, an artifact, and answers with a probability for each label."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from export.checks.local_engine import run_requests
from export.commands import main as export_main
from service.artifact import DECIDED as SERVED
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from tests.contract.test_rows_to_answer import WORDS
from training.__main__ import main as training_main
from training.config import load_recipe
from training.data.tokenizer import BOS
from training.metrics import DECIDED
from training.runs.run import RunFolder


def write_csv(path: Path) -> None:
    generator = random.Random(1)
    lines = ["message,tags"]
    for _ in range(180):
        labels = generator.sample(sorted(WORDS), generator.choice([0, 1, 1, 2, 3]))
        words = [word for label in labels for word in generator.choices(WORDS[label], k=2)]
        lines.append(f"hello {generator.randrange(10_000)} {' '.join(words)},{'|'.join(labels)}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_rows_with_several_labels_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(tmp_path / "tickets.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["training", "fit", "tickets.csv"])
    assert training_main() == 0
    output, said = capsys.readouterr()
    assert json.loads(output)["valid"]["labels"]["micro_f1"] > 90
    assert "a text can have several labels, separated by '|'" in said
    run = RunFolder(Path("runs/tickets"))
    recipe = load_recipe(run.path / "recipe.toml")
    assert (recipe.data.label_separator, recipe.training.label_smoothing) == ("|", 0)
    assert (run.path / "reports" / "valid" / "labels.csv").is_file()

    monkeypatch.setattr("sys.argv", ["training", "evaluate", "runs/tickets", "tickets.csv"])
    assert training_main() == 0
    assert json.loads(capsys.readouterr().out)["labels"]["exact_match"] > 90

    monkeypatch.setattr("sys.argv", ["export", "runs/tickets"])
    assert export_main() == 0
    artifact = read_artifact(tmp_path / "models" / "tickets")
    assert artifact.manifest.multi_label
    assert "3 labels, of which a text can have several or none: " in (artifact.path / "MODEL_CARD.md").read_text()
    codec = TextCodec(artifact.tokenizer, artifact.manifest)
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), 1))
    texts = ["hello 1 parcel late refund card", "hello 2", "hello 3 login profile"]
    ids = codec.encode(texts, [BOS], artifact.manifest.append_eos)
    found = np.array([result.probabilities for result in run_requests([engine], [EngineRequest(x) for x in ids])])
    decided = [[artifact.manifest.labels[i] for i in np.flatnonzero(row >= 0.5)] for row in found]
    assert decided == [["delivery", "payment"], [], ["account"]]
    task, model = run.open(torch.device("cpu"))
    logits = model(*(torch.tensor(x) for x in ([ids[0]], [len(ids[0])])))
    assert found[0] == pytest.approx(logits.sigmoid()[0].tolist(), abs=1e-4)


def test_training_and_service_decide_alike() -> None:
    assert DECIDED == SERVED
