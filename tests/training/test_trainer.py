"""The training loop: the files of a run, stopping, and resuming as if it had never stopped."""

import json
import math
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.toys import CPU, REVERSE, changed, history, losses, prepared, reverse
from training.config import RecipeError, TrainingConfig, parse_recipe
from training.optimizer import gradient_norms, learning_rate
from training.runs import checkpoint
from training.runs.run import RunFolder
from training.trainer import RESUME, Trainer, TrainingError, fit

UPDATES = 6  # of an epoch of the toy recipe
# Taken before any run: tests that are started in the background may ignore SIGINT.
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}


class PowerCut(Exception):
    """Ends the process as a power cut would: no code of its own runs afterwards."""


Action = Callable[[Trainer], None]
Interruption = Callable[[Trainer, int, Action], None]


def stop(_: Trainer) -> None:
    signal.raise_signal(signal.SIGTERM)


def cut(_: Trainer) -> None:
    raise PowerCut


def poison(trainer: Trainer) -> None:
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(math.nan)


def at_update(trainer: Trainer, number: int, act: Callable[[Trainer], None]) -> None:
    """Call `act` while the update of that number, counted from 1, computes its loss."""
    trainer.loss_module.register_forward_pre_hook(lambda *_: act(trainer) if trainer.update == number - 1 else None)


def while_validating(trainer: Trainer, epoch: int, act: Callable[[Trainer], None]) -> None:
    encoder = trainer.model.get_submodule("encoder")
    encoder.register_forward_pre_hook(
        lambda *_: act(trainer) if not encoder.training and trainer.epoch == epoch else None
    )


def assert_same_run(run: RunFolder, other: RunFolder) -> None:
    """Assert the same curves, the same report and the same weights, to the last bit."""
    assert history(run) == history(other)
    assert run.report.read_text() == other.report.read_text()
    weights, others = checkpoint.read(run.weights)[0], checkpoint.read(other.weights)[0]
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_run_folder_has_all_files(reverse_run: RunFolder) -> None:
    names = {str(path.relative_to(reverse_run.path)) for path in reverse_run.path.rglob("*") if path.is_file()}
    board = {name for name in names if name.startswith("tensorboard/events.out.tfevents.")}
    assert len(board) == 1
    assert names - board == {
        "recipe.json", "recipe.toml", "data.json", "tokenizer.json", "model.safetensors", "metrics.jsonl", "curves.svg",
        "report.json",
        "checkpoints/last.safetensors", "checkpoints/best.safetensors",
        "checkpoints/epoch-2.safetensors", "checkpoints/epoch-3.safetensors",
    }  # fmt: skip
    assert "</svg>" in (reverse_run.path / "curves.svg").read_text("utf-8")
    records = history(reverse_run)
    assert [r["update"] for r in records if "loss" in r] == list(range(1, 3 * UPDATES + 1))
    assert [r["update"] for r in records if "bleu" in r] == [UPDATES, 2 * UPDATES, 3 * UPDATES]
    report = json.loads(reverse_run.report.read_text())
    assert (report["updates"], report["epochs"]) == (3 * UPDATES, 3)


def test_report_matches_the_saved_weights(reverse_run: RunFolder, reverse_data: Path) -> None:
    task, model = reverse_run.open(CPU)
    report = json.loads(reverse_run.report.read_text())
    rows = [tuple(line.split("\t")) for line in (reverse_data / "valid.tsv").read_text().splitlines()]
    assert task.evaluate(model, rows, CPU) == report["valid"]
    assert report["parameters"] == sum(p.numel() for p in model.parameters())


def test_training_improves_metrics_and_loss(toy_translation_run: RunFolder, toy_classification_run: RunFolder) -> None:
    bleu = [record["bleu"] for record in history(toy_translation_run) if "bleu" in record]
    assert bleu[-1] > bleu[0] + 20
    report = json.loads(toy_translation_run.report.read_text())
    assert min(metrics["bleu"] for metrics in report["valid"].values()) > 60  # in float32 or bf16, as the machine has
    assert json.loads(toy_classification_run.report.read_text())["valid"]["labels"]["accuracy"] > 95
    curve = losses(toy_translation_run)
    assert sum(curve[-10:]) < 0.5 * sum(curve[:10])


@pytest.mark.parametrize(
    ("when", "number", "act"),
    [
        (at_update, UPDATES + 4, stop),
        (at_update, 2 * UPDATES, stop),
        (while_validating, 2, stop),
        (at_update, 2 * UPDATES + 4, cut),
        (while_validating, 3, cut),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_resumed_run_equals_uninterrupted_run(
    reverse_run: RunFolder,
    reverse_data: Path,
    tmp_path: Path,
    when: Callable[[Trainer, int, Callable[[Trainer], None]], None],
    number: int,
    act: Callable[[Trainer], None],
) -> None:
    run = RunFolder(tmp_path / "run")
    with prepared(reverse(), reverse_data, run) as trainer:
        when(trainer, number, act)
        with pytest.raises((TrainingError, PowerCut)) as caught:
            trainer.train()
    if act is stop:
        assert str(caught.value) == f"stopped at update {trainer.update}; {RESUME} to continue"
    assert not run.report.exists()
    fit(reverse(), reverse_data, run, resume=True)
    assert_same_run(run, reverse_run)


def test_augmentation_differs_per_epoch_and_repeats_when_resumed(reverse_data: Path, tmp_path: Path) -> None:
    table = changed(REVERSE, {"augment": {"sentence_concat": 0.3}, "training.epochs": 2, "data.max_length": 20})
    recipe, run, whole = parse_recipe(table, "rough.toml"), RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    with prepared(recipe, reverse_data, run) as trainer:
        first = trainer.examples.sizes().tolist()
        at_update(trainer, trainer._count_updates() + 2, stop)
        with pytest.raises(TrainingError):
            trainer.train()
        assert len(first) < 100
        assert trainer.examples.sizes().tolist() != first
    fit(recipe, reverse_data, run, resume=True)
    fit(recipe, reverse_data, whole, resume=False)
    assert_same_run(run, whole)


def test_resumed_run_may_end_at_another_update(reverse_data: Path, tmp_path: Path) -> None:
    run, end = RunFolder(tmp_path / "run"), UPDATES + 2
    with prepared(reverse(), reverse_data, run) as trainer:
        at_update(trainer, UPDATES, stop)
        with pytest.raises(TrainingError):
            trainer.train()
    fit(reverse(updates=end), reverse_data, run, resume=True)
    assert len(losses(run)) == end
    rates = [record["learning_rate"] for record in history(run) if "loss" in record]
    assert rates[-1] == learning_rate(reverse(updates=end).training, end - 1, end)
    assert rates[UPDATES - 1] > 2 * rates[-1]
    assert run.recipe().training.updates == end


def test_checkpoint_is_written_when_the_last_one_is_old(
    reverse_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.trainer.SAVE_SECONDS", 0.0)
    run = RunFolder(tmp_path / "run")
    with prepared(reverse(), reverse_data, run) as trainer:
        at_update(trainer, 3, cut)
        with pytest.raises(PowerCut):
            trainer.train()
    assert checkpoint.read(run.checkpoint("last"))[1]["update"] == 2


def test_run_may_end_within_an_epoch(reverse_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    report = fit(reverse(updates=UPDATES + 3), reverse_data, run, resume=False)
    assert (report["updates"], report["epochs"]) == (UPDATES + 3, 2)
    rates = [record["learning_rate"] for record in history(run) if "loss" in record]
    assert len(rates) == UPDATES + 3
    assert rates[-1] < 0.2 * max(rates)
    assert [record["update"] for record in history(run) if "bleu" in record] == [UPDATES, UPDATES + 3]
    run.report.unlink()
    assert fit(reverse(updates=UPDATES + 3), reverse_data, run, resume=True) == report


def test_finished_run_resumes_to_its_report(reverse_run: RunFolder, reverse_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(reverse_run.path, run.path)
    run.report.unlink()
    run.weights.unlink()
    with run.metrics.open("a") as metrics:
        metrics.write('{"update": 18, "lo')  # as a process killed while it wrote leaves it
    fit(reverse(), reverse_data, run, resume=True)
    assert_same_run(run, reverse_run)


def test_signal_handlers_are_restored(reverse_run: RunFolder) -> None:
    assert reverse_run.report.is_file()
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS


def test_existing_run_is_not_overwritten(reverse_run: RunFolder, reverse_data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=re.escape(f"already holds a run; {RESUME} to continue it, or choose another run folder")
    ):
        fit(reverse(), reverse_data, reverse_run, resume=False)
    with pytest.raises(RecipeError, match="has another recipe, differing in training.warmup; resume with"):
        fit(reverse(epochs=4, warmup=5), reverse_data, reverse_run, resume=True)
    with pytest.raises(RecipeError, match=r"nothing to resume \(no last.safetensors\)"):
        fit(reverse(), reverse_data, RunFolder(tmp_path), resume=True)
    (tmp_path / "model.safetensors").write_bytes(reverse_run.weights.read_bytes())  # its checkpoints were deleted
    with pytest.raises(RecipeError, match="already holds a run"):
        fit(reverse(), reverse_data, RunFolder(tmp_path), resume=False)


def test_non_finite_loss_ends_the_run(reverse_data: Path, reverse_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with prepared(reverse(), reverse_data, run) as trainer:
        at_update(trainer, UPDATES + 3, poison)
        with pytest.raises(TrainingError, match=r"loss nan.* at epoch 2, update 3 of it; .*last.safetensors are good"):
            trainer.train()
    assert len(losses(run)) == UPDATES + 2
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint.read(run.checkpoint("last"))[0].values())
    fit(reverse(), reverse_data, run, resume=True)
    assert_same_run(run, reverse_run)


def test_non_finite_loss_before_first_checkpoint(reverse_data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, update 2 of it; no checkpoint was written yet; lower training"):
        fit(reverse(learning_rate=1e30, warmup=1), reverse_data, RunFolder(tmp_path), resume=False)
    assert not RunFolder(tmp_path).checkpoint("last").exists()


def test_gradient_norms_are_logged_in_total_and_by_part(reverse_data: Path, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    run = RunFolder(tmp_path / "run")
    with prepared(reverse(epochs=9), reverse_data, run) as trainer:
        trainer.optimizers[0].register_step_pre_hook(lambda *_: seen.append(gradient_norms(trainer.model)))
        trainer.train()
    records = [record for record in history(run) if "loss" in record]
    recorded = [record for record in records if "gradient_norms" in record]
    assert [record["update"] for record in recorded] == [1, 51]
    for record in recorded:
        parts = record["gradient_norms"]
        assert parts.keys() == {"encoder.layers.0", "encoder.norm", "encoder.embedding.token", "layers.0", "norm"}
        assert math.hypot(*parts.values()) == pytest.approx(record["gradient_norm"], rel=1e-5)
        clipped = seen[record["update"] - 1]
        scale = min(1.0, 1.0 / record["gradient_norm"])
        assert clipped == pytest.approx({name: norm * scale for name, norm in parts.items()}, rel=1e-3)


def test_scheduled_model_gets_training_progress(reverse_data: Path, tmp_path: Path) -> None:
    model = {"architecture": "rnn", "scheduled_sampling": 0.5, "width": 8, "encoder_layers": 1, "decoder_layers": 1,
             "max_source_length": 20, "max_target_length": 20}  # fmt: skip
    shares: list[float] = []
    recipe = parse_recipe(changed(REVERSE, {"model": model}), "toy.toml")
    with prepared(recipe, reverse_data, RunFolder(tmp_path)) as trainer:
        trainer.optimizers[0].register_step_pre_hook(lambda *_: shares.append(trainer.model.sampling_rate))  # type: ignore[arg-type]
        trainer.train()
    total = 3 * UPDATES
    assert shares == [0.5 * update / total for update in range(total)]


def test_training_stops_when_patience_runs_out(reverse_data: Path, tmp_path: Path) -> None:
    # The rate is too small to change the weights, so the first validation stays the best.
    report = fit(reverse(learning_rate=1e-30, epochs=9, patience=2), reverse_data, RunFolder(tmp_path), resume=False)
    assert report["epochs"] == 3


def test_validate_every_skips_epochs(reverse_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    fit(reverse(validate_every=2), reverse_data, run, resume=False)
    assert [r["epoch"] for r in history(run) if "bleu" in r] == [2, 3]  # and always after the last


@pytest.mark.parametrize(("best", "chosen"), [(-1.0, "average of 2"), (101.0, "best")])
def test_better_of_average_and_best_checkpoint_is_chosen(
    reverse_run: RunFolder, reverse_data: Path, tmp_path: Path, best: float, chosen: str
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(reverse_run.path, run.path)
    tensors, progress = checkpoint.read(run.checkpoint("last"))
    save_file(tensors, run.checkpoint("last"), {"progress": json.dumps({**progress, "best": best})})
    assert fit(reverse(), reverse_data, run, resume=True)["chosen"] == chosen
    kept = ["best", "best"] if chosen == "best" else ["epoch-2", "epoch-3"]
    one, other = (checkpoint.read(run.checkpoint(name))[0] for name in kept)
    for name, tensor in checkpoint.read(run.weights)[0].items():
        torch.testing.assert_close(tensor, (one[name] + other[name]) / 2)


def test_learning_rate_at_known_points() -> None:
    cosine = TrainingConfig(learning_rate=0.8, warmup=10, schedule="cosine")
    assert [learning_rate(cosine, update, 110) for update in (0, 4, 9)] == pytest.approx([0.08, 0.4, 0.8])
    points = [learning_rate(cosine, update, 110) for update in (10, 35, 60, 85, 110, 500)]
    assert points == pytest.approx([0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0.4 * (1 - 0.5**0.5), 0, 0])
    root = TrainingConfig(learning_rate=0.8, warmup=10, schedule="inverse_sqrt")
    assert [learning_rate(root, update, 110) for update in (4, 9, 39, 999)] == pytest.approx([0.4, 0.8, 0.4, 0.08])


def test_run_uses_the_learning_rates_of_its_recipe(reverse_run: RunFolder) -> None:
    rates = [record["learning_rate"] for record in history(reverse_run) if "loss" in record]
    total = 3 * UPDATES
    assert rates == [learning_rate(reverse().training, update, total) for update in range(total)]


def test_checkpoint_of_an_earlier_version_resumes(reverse_run: RunFolder, reverse_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with prepared(reverse(), reverse_data, run) as trainer:
        at_update(trainer, UPDATES + 4, stop)
        with pytest.raises(TrainingError):
            trainer.train()
    tensors, progress = checkpoint.read(run.checkpoint("last"))
    old = {"update_in_epoch": "within", "epochs_without_improvement": "stale"}
    header = json.dumps({old.get(name, name): value for name, value in progress.items()})
    assert '"within": 4' in header
    save_file(tensors, run.checkpoint("last"), {"progress": header})
    fit(reverse(), reverse_data, run, resume=True)
    assert_same_run(run, reverse_run)
