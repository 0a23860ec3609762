"""The log of a run: progress bar, metrics.jsonl, TensorBoard, curves.svg."""

import json
import math
import sys
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.metrics import Metrics
from training.runs.run import RunFolder
from training.tools.pictures import SERIES, picture


class RunLogger:
    """Writes the run's metrics, or nothing if `quiet`, as in all processes but the main one.

    `unit` is what the speed counts: predictions, which are tokens for a translator and texts for a classifier.
    """

    def __init__(self, run: RunFolder, update: int, quiet: bool, unit: str = "tokens") -> None:
        self.run, self.quiet, self.unit = run, quiet, unit
        self.bar: tqdm | None = None
        self.elapsed = 0.0
        if quiet:
            return
        run.path.mkdir(parents=True, exist_ok=True)
        self._drop_records_after(update)
        self.file = run.metrics.open("a", encoding="utf-8")
        self.tensorboard: Any = SummaryWriter(str(run.path / "tensorboard"), purge_step=update + 1)

    def _drop_records_after(self, update: int) -> None:
        """Drop the records of updates after the checkpoint: a resumed run repeats them."""
        text = self.run.metrics.read_text("utf-8") if self.run.metrics.is_file() else ""
        # A run that was killed while it wrote may have left an incomplete last line.
        records = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        kept = [record for record in records if record["update"] <= update]
        self.elapsed = kept[-1]["elapsed"] if kept else 0.0
        self.run.metrics.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")

    def info(self, text: str) -> None:
        """Print a line to standard error; standard output is for the report."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    def start_epoch(self, epoch: int, epochs: int, updates: int, done: int) -> None:
        """Start a progress bar for an epoch of `updates` updates, of which `done` are finished."""
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.close()
        title = f"epoch {epoch + 1}/{epochs}"
        self.bar = tqdm(total=updates, initial=done, desc=title, unit="update", mininterval=1)

    def log_update(
        self, update: int, metrics: dict[str, float], part_norms: dict[str, float], predictions: int, seconds: float
    ) -> None:
        """Log an update: `metrics` are the mean loss over its predictions (label smoothing included), the learning rate
        and the gradient norm before clipping; `part_norms` are the gradient norms of the model's parts, now and then.
        """
        self.elapsed += seconds
        if self.quiet or self.bar is None:
            return
        speed = predictions / seconds
        metrics = metrics | {f"{self.unit}_per_second": speed}
        record: dict[str, Any] = {"update": update, **metrics, "elapsed": self.elapsed}
        self._write(record | ({"gradient_norms": part_norms} if part_norms else {}))
        for name, value in metrics.items():
            self.tensorboard.add_scalar(f"train/{name}", value, update)
        for name, value in part_norms.items():
            self.tensorboard.add_scalar(f"gradient_norm/{name}", value, update)
        self.bar.set_postfix_str(f"loss {metrics['loss']:.3f}, {speed:,.0f} {self.unit}/s", refresh=False)
        self.bar.update()

    def log_validation(
        self,
        update: int,
        epoch: int,
        metric: str,
        value: float,
        loss: float,
        metrics: dict[str, Metrics],
        improved: bool,
    ) -> None:
        """Log a validation: the task's primary metric, the mean loss, and all metrics of each direction."""
        if self.quiet:
            return
        record = {"update": update, "epoch": epoch, "elapsed": self.elapsed, metric: value, "valid": metrics}
        self._write(record | ({"valid_loss": loss} if math.isfinite(loss) else {}))
        self.tensorboard.add_scalar(f"valid/{metric}", value, update)
        self.tensorboard.add_scalar("valid/loss", loss, update)
        self.info(f"epoch {epoch}: {metric} {value:.2f}, loss {loss:.3f}{' (best so far)' if improved else ''}")
        draw_curves(self.run, metric)

    def _write(self, record: dict[str, Any]) -> None:
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the progress bar and the files."""
        if not self.quiet:
            if self.bar is not None:
                self.bar.close()
            self.file.close()
            self.tensorboard.close()


def draw_curves(run: RunFolder, metric: str) -> None:
    """Draw training and validation loss, the validation metric and the gradient norm over updates to curves.svg."""
    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]

    def series(key: str) -> tuple[list[int], list[float]]:
        return [r["update"] for r in records if key in r], [r[key] for r in records if key in r]

    updates, losses = series("loss")
    training, validation, other = SERIES[:3]
    with picture(run.path / "curves.svg", 8, 8) as figure:
        loss, quality, norm = figure.subplots(3, sharex=True, height_ratios=[5, 3, 2])
        loss.plot(updates, losses, color=training, linewidth=0.5, alpha=0.35)
        loss.plot(updates, smooth(losses), color=training, label="training, smoothed")
        loss.plot(*series("valid_loss"), color=validation, marker="o", label="validation")
        loss.legend(loc="upper right")
        loss.set(title=f"{run.recipe().name}: training", ylabel="loss (label smoothing included)")
        quality.plot(*series(metric), color=validation, marker="o")
        quality.set(ylabel=f"validation {metric}")
        norm.plot(*series("gradient_norm"), color=other, linewidth=0.7)
        norm.set(xlabel="update", ylabel="gradient norm", yscale="log")
        norm.yaxis.set_major_formatter("{x:g}")
        norm.yaxis.set_minor_formatter("")
        for axis in (loss, quality, norm):
            axis.grid(axis="y", linewidth=0.6)


def smooth(values: list[float]) -> list[float]:
    """Return the exponential moving average over about a fiftieth of the values."""
    weight, average, found = min(1.0, 50 / max(1, len(values))), values[0] if values else 0.0, []
    for value in values:
        average += weight * (value - average)
        found.append(average)
    return found
