"""What a person sees of a run: progress bar, metrics.jsonl, TensorBoard, curves.png."""

import json
import sys
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.metrics import Figures
from training.runs.run import RunFolder


class RunLogger:
    """Writes the run's history; silent in all processes but the first."""

    def __init__(self, run: RunFolder, update: int, quiet: bool) -> None:
        self.run, self.quiet = run, quiet
        self.bar: tqdm | None = None
        self.elapsed = 0.0
        if quiet:
            return
        run.path.mkdir(parents=True, exist_ok=True)
        self._forget_after(update)
        self.file = run.metrics.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(run.path / "tensorboard"), purge_step=update + 1)

    def _forget_after(self, update: int) -> None:
        """A resumed run repeats the updates after its checkpoint; their first account is dropped."""
        text = self.run.metrics.read_text("utf-8") if self.run.metrics.is_file() else ""
        # A run that was killed while it wrote leaves a last line without an end.
        records = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        kept = [record for record in records if record["update"] <= update]
        self.elapsed = kept[-1]["elapsed"] if kept else 0.0
        self.run.metrics.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")

    def say(self, text: str) -> None:
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)  # standard output is for the report

    def start_epoch(self, epoch: int, epochs: int, updates: int, done: int) -> None:
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.close()
        title = f"epoch {epoch + 1}/{epochs}"
        self.bar = tqdm(total=updates, initial=done, desc=title, unit="update", mininterval=1)

    def log_update(
        self, update: int, figures: dict[str, float], parts: dict[str, float], tokens: int, seconds: float
    ) -> None:
        """`figures` has the mean loss over the update's predictions, label smoothing included, the learning rate and
        the gradient's norm before clipping; `parts` that norm in each part of the model, now and then."""
        self.elapsed += seconds
        if self.quiet or self.bar is None:
            return
        figures = figures | {"tokens_per_second": tokens / seconds}
        record: dict[str, Any] = {"update": update, **figures, "elapsed": self.elapsed}
        self._write(record | ({"gradient_norms": parts} if parts else {}))
        for name, value in figures.items():
            self.board.add_scalar(f"train/{name}", value, update)
        for name, value in parts.items():
            self.board.add_scalar(f"gradient_norm/{name}", value, update)
        self.bar.set_postfix_str(f"loss {figures['loss']:.3f}, {tokens / seconds:,.0f} tokens/s", refresh=False)
        self.bar.update()

    def log_validation(
        self, update: int, epoch: int, figure: str, value: float, figures: dict[str, Figures], better: bool
    ) -> None:
        if self.quiet:
            return
        self._write({"update": update, "epoch": epoch, "elapsed": self.elapsed, figure: value, "valid": figures})
        self.board.add_scalar(f"valid/{figure}", value, update)
        self.say(f"epoch {epoch}: {figure} {value:.2f}{' (best so far)' if better else ''}")
        draw_curves(self.run, figure)

    def _write(self, record: dict[str, Any]) -> None:
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def close(self) -> None:
        if not self.quiet:
            if self.bar is not None:
                self.bar.close()
            self.file.close()
            self.board.close()


def draw_curves(run: RunFolder, figure: str) -> None:
    """Draw loss, validation figure and gradient norm over updates to curves.png."""
    from matplotlib.figure import Figure

    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    losses = [(r["update"], r["loss"]) for r in records if "loss" in r]
    figures = [(r["update"], r[figure]) for r in records if figure in r]
    norms = [(r["update"], r["gradient_norm"]) for r in records if "loss" in r]
    canvas = Figure(figsize=(9, 8), layout="constrained")
    axis, below = canvas.subplots(2, sharex=True, height_ratios=[2, 1])
    axis.plot(*zip(*losses, strict=True), color="tab:blue", linewidth=0.6)
    axis.set(ylabel="training loss (label-smoothed)")
    other = axis.twinx()
    other.plot(*zip(*figures, strict=True), color="tab:orange", marker="o")
    other.set_ylabel(f"validation {figure}")
    below.plot(*zip(*norms, strict=True), color="tab:green", linewidth=0.6)
    below.set(xlabel="update", ylabel="gradient norm before clipping", yscale="log")
    canvas.savefig(run.path / "curves.png", dpi=100)
