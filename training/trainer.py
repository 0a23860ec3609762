"""The training loop: plan, forward, backward, clip, step, log; validate, checkpoint, resume."""

import contextlib
import json
import math
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.config import AugmentConfig, Recipe, RecipeError, TrainingConfig, differences
from training.data.batching import Batch, Examples, count_updates, plan_epoch, updates_of_epoch
from training.data.corpus import CorpusError, FilterReport, Row, clean, draw_negatives, read_corpus, split_corpus
from training.distributed import DistributedContext, join_process_group
from training.initialise import initialise_from
from training.loss import Objective
from training.models import ScheduledModel
from training.optimizer import create_optimizers
from training.runs import checkpoint
from training.runs.run import RunFolder
from training.runs.run_logger import RunLogger
from training.tasks import Task, create_task, load_task, primary_metric

SAVE_EVERY = 500  # updates between two writes of the `last` checkpoint inside an epoch
PROGRESS = ("update", "epoch", "update_in_epoch", "best", "epochs_without_improvement")  # kept in a checkpoint
PART_NORMS_EVERY = 50  # updates between two records of each part's gradient norm


class TrainingError(RuntimeError):
    """A run that cannot go on; its last good checkpoint is kept."""


def learning_rate(config: TrainingConfig, update: int, total: int) -> float:
    """Linear warm-up to the peak, then half a cosine to zero, or decay with the inverse square root of the update."""
    if update < config.warmup:
        return config.learning_rate * (update + 1) / config.warmup
    if config.schedule == "inverse_sqrt":
        return config.learning_rate * math.sqrt(config.warmup / (update + 1))
    done = (update - config.warmup) / max(1, total - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def fit(recipe: Recipe, data: Path, run: RunFolder, resume: bool, start: RunFolder | None = None) -> dict[str, object]:
    """Train to the end, or go on from the run's last checkpoint, and return the report.

    A new run starts from the weights of `start`, if one is given, or from random ones.

    Raises:
        CorpusError, TokenizerError, RecipeError: before any compute is spent.
        TrainingError: the loss or its gradient is no longer a number.
    """
    with join_process_group() as context:
        trainer = Trainer(recipe, data, run, resume, context, start)
        try:
            trainer.train()
            return trainer.finish() if context.first else {}
        finally:
            trainer.close()


class Trainer:
    """One run in one process."""

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        run: RunFolder,
        resume: bool,
        context: DistributedContext,
        start: RunFolder | None = None,
    ) -> None:
        self.recipe, self.config, self.run, self.context = recipe, recipe.training, run, context
        self._check_folder(resume)
        torch.manual_seed(recipe.seed)
        rows, self.valid = split_corpus(recipe.data, recipe.seed, data)
        if recipe.data.negatives.files:
            rows = rows + draw_negatives(recipe.data.negatives, recipe.data.columns, recipe.seed, data)
        self.test = read_corpus(recipe.data.test, recipe.data.columns, data) if recipe.data.test else []
        self.task = self._task(rows, resume, start)
        for checked in filter(None, (clean(rows, FilterReport(), distinct=False), self.valid, self.test)):
            self.task.check(checked)
        self.rows = rows
        self.filters = FilterReport()
        self.examples: Examples = self.task.examples(rows, self.filters)
        if not len(self.examples):
            raise CorpusError(f"nothing is left to train on: {self.filters}")
        self.model = self.task.build().to(context.device)
        if start is not None:
            checkpoint.load_weights(self.model, start.weights)
        objective = Objective(self.model, self.config.label_smoothing)
        self.objective: nn.Module = DistributedDataParallel(objective) if context.world > 1 else objective
        self.optimizers = create_optimizers(self.model, self.config)
        self.update, self.epoch, self.update_in_epoch = 0, 0, 0  # `update_in_epoch`: updates done in this epoch
        self.best, self.epochs_without_improvement = -math.inf, 0
        if resume:
            self._resume()
        self.logger = RunLogger(run, self.update, quiet=not context.first)
        self.asked = False  # a signal asked this process to stop
        self.stopping = False  # all processes agreed to, after the same update

    def close(self) -> None:
        """End the journal, and let go of the wrapper that holds the process group; the group ends next."""
        self.logger.close()
        del self.objective

    def _check_folder(self, resume: bool) -> None:
        last = self.run.checkpoint("last")
        if resume and not last.is_file():
            raise RecipeError(f"{self.run.path}: nothing to resume (no {last.name})")
        if resume and (other := differences(self.run.recipe(), self.recipe)):
            raise RecipeError(
                f"{self.run.path} has another recipe, differing in {', '.join(other)}; resume with that one, or choose "
                "another run"
            )
        if not resume and (last.is_file() or self.run.weights.is_file()):
            raise RecipeError(f"{self.run.path} already holds a run; add --resume to go on, or choose another run")

    def _task(self, rows: list[Row], resume: bool, start: RunFolder | None) -> Task:
        if self.context.first and not resume:
            if start is None:
                task = create_task(self.recipe, rows)
                self.run.save_recipe(self.recipe)
                task.save(self.run.path)
            else:
                initialise_from(self.recipe, start, self.run)
        if self.context.world > 1:
            dist.barrier()
        return load_task(self.recipe, self.run.path)

    def train(self) -> None:
        """Epoch after epoch until the recipe's end, early stopping, or SIGTERM/SIGINT."""
        total = self.config.epochs * self._count_updates()
        total = min(total, self.config.updates or total)
        if self.config.warmup > total:
            raise RecipeError(
                f"training.warmup {self.config.warmup} is more than all {total} updates of the run, which would "
                "never reach its learning rate; lower it"
            )
        handlers = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        parameters = count_parameters(self.model)
        self.logger.say(f"{len(self.examples):,} examples ({self.filters}); {parameters:,} parameters")
        try:
            while self.epoch < self.config.epochs and not (self.stopping or self._spent() or self._exhausted()):
                self._train_epoch(total)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self.stopping:
            self._save("last")
            raise TrainingError(f"stopped at update {self.update}; add --resume to go on")

    def _stop(self, *_: object) -> None:
        self.asked = True

    def _spent(self) -> bool:
        return 0 < self.config.updates <= self.update

    def _exhausted(self) -> bool:
        return 0 < self.config.patience <= self.epochs_without_improvement

    def _plan(self, epoch: int) -> list[np.ndarray]:
        return plan_epoch(self.examples.sizes(), self.config.batch_tokens, self.recipe.seed, epoch)

    def _count_updates(self) -> int:
        """The updates of the first epoch; later ones may have one more or less, which the schedule does not follow."""
        plan, world, accumulate = self._plan(0), self.context.world, self.config.accumulate
        if len(plan) < accumulate * world:
            raise RecipeError(f"the corpus fills {len(plan)} batches, too few for {accumulate} x {world} an update")
        return count_updates(plan, accumulate, world)

    def _train_epoch(self, total: int) -> None:
        if self.recipe.augment != AugmentConfig():
            self.examples = self.task.examples(self.rows, FilterReport(), self.epoch)
        plan, world, accumulate = self._plan(self.epoch), self.context.world, self.config.accumulate
        updates, skip = count_updates(plan, accumulate, world), self.update_in_epoch * accumulate * world
        self.logger.start_epoch(self.epoch, self.config.epochs, updates, self.update_in_epoch)
        self.model.train()
        for batches in updates_of_epoch(self.examples, plan[skip:], accumulate, self.context.rank, world):
            self._update(batches, total)
            self.update_in_epoch += 1
            if self._spent():
                break
            if self.stopping:
                return
            if self.update % SAVE_EVERY == 0:
                self._save("last")
        self._save("last")  # with the epoch still open, so that a run killed while it validates validates again
        self.epoch, self.update_in_epoch = self.epoch + 1, 0
        if self.context.first:
            self._validate()
        epochs_without_improvement, asked = self._sums(
            self.epochs_without_improvement if self.context.first else 0, self.asked
        )
        self.epochs_without_improvement, self.stopping = int(epochs_without_improvement), asked > 0

    def _update(self, batches: list[Batch], total: int) -> None:
        started = time.perf_counter()
        # Dropout of an update depends on (seed, update, rank) alone, so a resumed run repeats it exactly.
        torch.manual_seed((self.recipe.seed * 1_000_003 + self.update) * 1024 + self.context.rank)
        rate = learning_rate(self.config, self.update, total)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        if isinstance(self.model, ScheduledModel):
            self.model.set_progress(min(1.0, self.update / total))
        (predictions,) = self._sums(sum(batch.tokens for batch in batches))
        own_loss = 0.0
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            defer = isinstance(self.objective, DistributedDataParallel) and not last
            with self.objective.no_sync() if defer else contextlib.nullcontext():  # type: ignore[operator]
                loss = self._forward(batch)
                # DistributedDataParallel averages over processes; the loss is a mean over all their predictions.
                (loss * (self.context.world / predictions)).backward()
            own_loss += loss.item()
        parts = part_norms(self.model) if self.update % PART_NORMS_EVERY == 0 else {}
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm).item()
        loss_sum, asked = self._sums(own_loss, self.asked)
        self._check_finite(loss_sum, norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.update, self.stopping = self.update + 1, asked > 0
        figures = {"loss": loss_sum / predictions, "learning_rate": rate, "gradient_norm": norm}
        self.logger.log_update(self.update, figures, parts, int(predictions), time.perf_counter() - started)

    def _sums(self, *values: float) -> list[float]:
        """Each of these numbers summed over all processes."""
        totals = torch.tensor(values, dtype=torch.float64, device=self.context.device)
        if self.context.world > 1:
            dist.all_reduce(totals)
        return totals.tolist()

    def _check_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        last = self.run.checkpoint("last")
        kept = f"the weights of {last} are good" if last.is_file() else "no checkpoint was written yet"
        raise TrainingError(
            f"loss {loss}, gradient norm {norm} at epoch {self.epoch + 1}, update {self.update_in_epoch + 1} of it; "
            f"{kept}; lower training.learning_rate"
        )

    def _forward(self, batch: Batch) -> torch.Tensor:
        with torch.autocast(self.context.device.type, torch.bfloat16, enabled=self.context.multiplies_bf16):
            return self.objective(batch.to(self.context.device))

    def _validate(self) -> None:
        self._keep_epoch()
        if self.epoch % self.config.validate_every and self.epoch < self.config.epochs and not self._spent():
            self._save("last")
            return
        self.model.eval()
        figures = self.task.evaluate(self.model, self.valid, self.context.device)
        value = primary_metric(self.task, figures)
        better = value > self.best
        self.best, self.epochs_without_improvement = (
            max(value, self.best),
            0 if better else self.epochs_without_improvement + 1,
        )
        if better:
            checkpoint.save_weights(self.model, self.run.checkpoint("best"), figure=value, epoch=self.epoch)
        self._save("last")
        self.logger.log_validation(self.update, self.epoch, self.task.figure, value, figures, better)

    def _keep_epoch(self) -> None:
        checkpoint.save_weights(self.model, self.run.checkpoint(f"epoch-{self.epoch}"), epoch=self.epoch)
        self.run.checkpoint(f"epoch-{self.epoch - self.config.keep_last}").unlink(missing_ok=True)

    def _save(self, name: str) -> None:
        if self.context.first:
            moments = checkpoint.optimizer_tensors(self.model, self.optimizers)
            progress = {
                k: getattr(self, k)
                for k in ("update", "epoch", "update_in_epoch", "best", "epochs_without_improvement")
            }
            progress["processes"] = self.context.world
            checkpoint.save_weights(self.model, self.run.checkpoint(name), moments, **progress)

    def _resume(self) -> None:
        last = self.run.checkpoint("last")
        progress = checkpoint.load_weights(self.model, last)
        if (processes := progress.pop("processes", self.context.world)) != self.context.world:
            raise RecipeError(
                f"{self.run.path} was trained by {processes} processes and would not be the same run with "
                f"{self.context.world}; resume it with {processes}"
            )
        checkpoint.load_optimizers(self.model, self.optimizers, last)
        for name, value in progress.items():
            setattr(self, name, value)

    def finish(self) -> dict[str, object]:
        """Choose between the best checkpoint and the average of the last ones by validation; test; report."""
        kept = sorted(self.run.path.glob("checkpoints/epoch-*.safetensors"))
        self.model.eval()
        checkpoint.average(self.model, kept)
        figures = self.task.evaluate(self.model, self.valid, self.context.device)
        averaged = primary_metric(self.task, figures)
        if averaged >= self.best:
            checkpoint.save_weights(self.model, self.run.weights, chosen="average", figure=averaged)
        else:
            shutil.copyfile(self.run.checkpoint("best"), self.run.weights)
            checkpoint.load_weights(self.model, self.run.weights)
            figures = self.task.evaluate(self.model, self.valid, self.context.device)
        chosen = f"average of {len(kept)}" if averaged >= self.best else "best"
        report: dict[str, object] = {
            "chosen": chosen, "updates": self.update, "epochs": self.epoch, "parameters": count_parameters(self.model),
            "valid": figures,
        }  # fmt: skip
        if self.test:
            report["test"] = self.task.evaluate(self.model, self.test, self.context.device)
        self.run.report.write_text(json.dumps(report, indent=2, ensure_ascii=False), "utf-8")
        return report


def part_norms(model: nn.Module) -> dict[str, float]:
    """The gradient's norm in each part of the model, a layer or what stands beside the layers, before clipping.

    Where the norms of layers far from the loss are tiny beside those near to it, gradients vanish on their way.
    """
    grouped: dict[str, list[torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            grouped.setdefault(re.sub(r"(\.\d+)\..*|\.[^.]*$", r"\1", name), []).append(parameter.grad)
    return {part: nn.utils.get_total_norm(gradients).item() for part, gradients in grouped.items()}


def count_parameters(model: nn.Module) -> int:
    """Parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters())
