"""The training loop: plan, forward, backward, clip, step, log; validate, checkpoint, resume."""

import contextlib
import json
import math
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.config import AugmentConfig, Recipe, RecipeError, differences
from training.data.batching import Batch, Examples, count_updates, iterate_updates, plan_epoch
from training.data.corpus import (
    CorpusError,
    FilterReport,
    Row,
    clean,
    read_files,
    sample_negatives,
    split_corpus,
)
from training.data.corpus_checks import corpus_warnings
from training.distributed import DistributedContext, join_process_group
from training.loss import TrainingLoss
from training.metrics import class_probabilities
from training.models import ScheduledModel
from training.optimizer import count_parameters, create_optimizers, gradient_norms, learning_rate
from training.pretrained.start import PretrainedEncoder
from training.runs import checkpoint
from training.runs.initialise import initialise_from
from training.runs.run import RunFolder
from training.runs.run_logger import RunLogger
from training.tasks import ClassifyTask, Task, create_task, load_task, primary_metric
from training.tools.classification_report import write_reports

SAVE_SECONDS = 300.0  # between two `last` checkpoints within an epoch
GRADIENT_NORMS_EVERY = 50  # updates between two records of the gradient norm of each part
PROGRESS = ("update", "epoch", "update_in_epoch", "best", "epochs_without_improvement")  # saved in checkpoints
RESUME = "add --resume (with make: RESUME=1)"  # what messages advise
# What may change when a run is resumed, so that it can end, with its learning rate at 0, earlier or later than planned.
SCHEDULE_KEYS = {"training.updates", "training.epochs"}


class TrainingError(RuntimeError):
    """A run that cannot continue; its last good checkpoint is kept."""


class Interrupted(TrainingError):
    """A run that a signal stopped."""


class OutOfTime(TrainingError):
    """A run that was not done at its deadline; `seconds` are those of each update."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def fit(
    recipe: Recipe,
    data: Path,
    run: RunFolder,
    resume: bool,
    start: RunFolder | PretrainedEncoder | None = None,
    quiet: bool = False,
    deadline: float = math.inf,
    training_seconds: float = math.inf,
) -> dict[str, object]:
    """Train to the end and return the report; empty in all processes but the main one.

    With `resume`, continue from the run's last checkpoint. A new run starts with the weights of `start`, a run or a
    pretrained encoder, or with random ones. A `quiet` run logs nothing. It is out of time at `deadline`, a time of
    `time.monotonic`, or after `training_seconds` of updates alone.

    Raises:
        CorpusError, TokenizerError, RecipeError: before any compute is spent.
        TrainingError: the run was stopped, or the loss or its gradient is no longer finite.
        OutOfTime: the run was not done in time.
    """
    with join_process_group() as context, run.discarded_if_refused():
        trainer = Trainer(recipe, data, run, resume, context, start, quiet)
        trainer.deadline, trainer.training_seconds = deadline, training_seconds
        try:
            trainer.train()
            return trainer.finish() if context.is_main else {}
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
        start: RunFolder | PretrainedEncoder | None = None,
        quiet: bool = False,
    ) -> None:
        self.recipe, self.config, self.run, self.context = recipe, recipe.training, run, context
        self.data = data
        self._check_folder(resume)
        torch.manual_seed(recipe.seed)
        rows, self.valid = split_corpus(recipe.data, recipe.seed, data)
        if recipe.data.negatives.files:
            rows = rows + sample_negatives(recipe.data.negatives, recipe.data.columns, recipe.seed, data)
        self.test = read_files(recipe.data, recipe.data.test, data) if recipe.data.test else []
        self.task = self._create_or_load_task(rows, resume, start)
        self._check_rows(rows)
        self.rows = rows
        self.filters = FilterReport()
        self.examples: Examples = self.task.examples(rows, self.filters)
        self.examples_epoch = 0  # whose augmentation they have
        if not len(self.examples):
            raise CorpusError(f"no rows are left to train on: {self.filters}")
        self.model = self.task.build().to(context.device)
        if isinstance(start, PretrainedEncoder):
            start.load(self.model)
        elif start is not None:
            checkpoint.load_initial_weights(self.model, start.weights)
        self.plain_loss = loss_module = TrainingLoss(self.model, self.config.label_smoothing)
        self.loss_module: nn.Module = DistributedDataParallel(loss_module) if context.world_size > 1 else loss_module
        self.optimizers = create_optimizers(self.model, self.config, context.bf16_is_faster)
        self.update, self.epoch, self.update_in_epoch = 0, 0, 0  # all count finished ones
        self.best, self.epochs_without_improvement = -math.inf, 0
        if resume:
            self._resume()
        unit = "tokens" if recipe.task == "translate" else "texts"
        self.logger = RunLogger(run, self.update, quiet=quiet or not context.is_main, unit=unit)
        self.deadline = self.training_seconds = math.inf
        self.last_saved = time.monotonic()
        self.stop_requested = False  # a signal asked this process to stop
        self.stopping = False  # all processes agreed to stop after the same update

    def close(self) -> None:
        """Close the logger and release the wrapper that holds the process group, which is destroyed next."""
        self.logger.close()
        del self.loss_module

    def _check_rows(self, rows: list[Row]) -> None:
        """Check that training, validation and test rows can be evaluated; an error names their files."""
        files, cleaned = self.recipe.data, clean(rows, FilterReport(), distinct=False)
        for names, checked in (
            (files.train, cleaned), (files.valid or files.train, self.valid), (files.test, self.test)
        ):  # fmt: skip
            try:
                if checked:
                    self.task.check(checked)
            except CorpusError as error:
                raise CorpusError(f"{', '.join(names)}: {error}") from None

    def _check_folder(self, resume: bool) -> None:
        last = self.run.checkpoint("last")
        if resume and not last.is_file():
            raise RecipeError(f"{self.run.path}: nothing to resume (no {last.name})")
        if resume and (
            keys := [key for key in differences(self.run.recipe(), self.recipe) if key not in SCHEDULE_KEYS]
        ):
            raise RecipeError(
                f"{self.run.path} has another recipe, differing in {', '.join(keys)}; resume with that one, or choose "
                "another run folder"
            )
        if not resume and (last.is_file() or self.run.weights.is_file()):
            raise RecipeError(
                f"{self.run.path} already holds a run; {RESUME} to continue it, or choose another run folder"
            )

    def _create_or_load_task(self, rows: list[Row], resume: bool, start: RunFolder | PretrainedEncoder | None) -> Task:
        """The main process creates the task's files in the run folder; then all processes load them."""
        if self.context.is_main and not resume:
            if start is None:
                task = create_task(self.recipe, rows)
                self.run.save_recipe(self.recipe)
                task.save(self.run.path)
            elif isinstance(start, PretrainedEncoder):
                start.prepare(self.recipe, rows, self.run)
            else:
                initialise_from(self.recipe, start, self.run)
        elif self.context.is_main:
            self.run.save_recipe(self.recipe)  # with the schedule as it is now
        if self.context.is_main:
            self.run.save_data_folder(self.data)
        self.context.barrier()
        return load_task(self.recipe, self.run.path)

    def train(self) -> None:
        """Train until the recipe's end, early stopping, SIGTERM or SIGINT."""
        total = self.config.epochs * self._count_updates()
        total = min(total, self.config.updates or total)
        if self.config.warmup > total:
            raise RecipeError(
                f"training.warmup {self.config.warmup} is more than all {total} updates of the run, which would "
                "never reach its learning rate; lower it"
            )
        handlers = {s: signal.signal(s, self._request_stop) for s in (signal.SIGTERM, signal.SIGINT)}
        parameters = count_parameters(self.model)
        self.logger.info(f"{len(self.examples):,} examples ({self.filters}); {parameters:,} parameters")
        for warning in corpus_warnings(self.recipe, self.rows, self.valid, self.filters):
            self.logger.info(f"warning: {warning}")
        try:
            while self.epoch < self.config.epochs and not (
                self.stopping or self._out_of_updates() or self._out_of_patience()
            ):
                self._train_epoch(total)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self.stopping:
            self._save_last()
            raise Interrupted(f"stopped at update {self.update}; {RESUME} to continue")

    def _request_stop(self, *_: object) -> None:
        self.stop_requested = True

    def _out_of_updates(self) -> bool:
        return 0 < self.config.updates <= self.update

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.epochs_without_improvement

    def _plan(self, epoch: int) -> list[np.ndarray]:
        return plan_epoch(self.examples.sizes(), self.config.batch_tokens, self.recipe.seed, epoch)

    def _count_updates(self) -> int:
        """The updates of the first epoch; later epochs may have one more or less, which the schedule ignores."""
        plan, world_size, accumulate = self._plan(0), self.context.world_size, self.config.accumulate
        if len(plan) < accumulate * world_size:
            raise RecipeError(
                f"the corpus fills {len(plan)} batches, but an update takes {accumulate} x {world_size} (accumulate x "
                "processes); lower training.batch_tokens or training.accumulate"
            )
        return count_updates(plan, accumulate, world_size)

    def _train_epoch(self, total: int) -> None:
        if self.recipe.augment != AugmentConfig() and self.epoch != self.examples_epoch:
            self.examples, self.examples_epoch = self.task.examples(self.rows, FilterReport(), self.epoch), self.epoch
        plan, world_size, accumulate = self._plan(self.epoch), self.context.world_size, self.config.accumulate
        updates, skip = count_updates(plan, accumulate, world_size), self.update_in_epoch * accumulate * world_size
        epochs = min(self.config.epochs, math.ceil(total / updates))  # `training.updates` may end it earlier
        self.logger.start_epoch(self.epoch, epochs, updates, self.update_in_epoch)
        self.model.train()
        for batches in iterate_updates(self.examples, plan[skip:], accumulate, self.context.rank, world_size):
            self._update(batches, total)
            self.update_in_epoch += 1
            if self._out_of_updates():
                break
            if self.stopping:
                return
            if time.monotonic() > self.deadline or self.logger.elapsed > self.training_seconds:
                each = self.logger.elapsed / self.update
                raise OutOfTime(f"stopped at update {self.update} of {total}: out of time", each)
            if time.monotonic() - self.last_saved > SAVE_SECONDS:
                self._save_last()
        self._save_last()  # before the epoch is counted: a run killed during validation validates again when resumed
        self.epoch, self.update_in_epoch = self.epoch + 1, 0
        if self.context.is_main:
            self._validate()
        mine = self.epochs_without_improvement if self.context.is_main else 0
        epochs_without_improvement, stop_requests = self.context.sum(mine, self.stop_requested)
        self.epochs_without_improvement, self.stopping = int(epochs_without_improvement), stop_requests > 0

    def _update(self, batches: list[Batch], total: int) -> None:
        started = time.perf_counter()
        # Dropout of an update depends on (seed, update, rank) only, so a resumed run repeats it exactly.
        torch.manual_seed((self.recipe.seed * 1_000_003 + self.update) * 1024 + self.context.rank)
        rate = learning_rate(self.config, self.update, total)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        if isinstance(self.model, ScheduledModel):
            self.model.set_progress(min(1.0, self.update / total))
        (predictions,) = self.context.sum(sum(batch.tokens for batch in batches))
        own_loss = 0.0
        for i, batch in enumerate(batches):
            is_last = i == len(batches) - 1
            defer = isinstance(self.loss_module, DistributedDataParallel) and not is_last
            with self.loss_module.no_sync() if defer else contextlib.nullcontext():  # type: ignore[operator]
                loss = self._forward(batch)
                # DistributedDataParallel averages over processes; the loss is the mean over all their predictions.
                torch.autograd.backward(loss * (self.context.world_size / predictions))
            own_loss += loss.item()
        part_norms = gradient_norms(self.model) if self.update % GRADIENT_NORMS_EVERY == 0 else {}
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm).item()
        loss_sum, stop_requests = self.context.sum(own_loss, self.stop_requested)
        self._check_finite(loss_sum, norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.update, self.stopping = self.update + 1, stop_requests > 0
        metrics = {"loss": loss_sum / predictions, "learning_rate": rate, "gradient_norm": norm}
        self.logger.log_update(self.update, metrics, part_norms, int(predictions), time.perf_counter() - started)

    def _check_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        last = self.run.checkpoint("last")
        kept = f"the weights of {last} are good" if last.is_file() else "no checkpoint was written yet"
        raise TrainingError(
            f"loss {loss}, gradient norm {norm} at epoch {self.epoch + 1}, update {self.update_in_epoch + 1} of it; "
            f"{kept}; lower training.learning_rate"
        )

    def _forward(self, batch: Batch) -> Tensor:
        with torch.autocast(self.context.device.type, torch.bfloat16, enabled=self.context.bf16_is_faster):
            loss: Tensor = self.loss_module(batch.to(self.context.device))  # ()
        return loss

    def _validate(self) -> None:
        self._keep_epoch()
        if self.epoch % self.config.validate_every and self.epoch < self.config.epochs and not self._out_of_updates():
            self._save_last()
            return
        self.model.eval()
        metrics = self.task.evaluate(self.model, self.valid, self.context.device)
        value, loss = primary_metric(self.task, metrics), self._validation_loss()
        improved = value > self.best
        if improved:
            self.best, self.epochs_without_improvement = value, 0
            checkpoint.save_weights(self.model, self.run.checkpoint("best"), metric=value, epoch=self.epoch)
        else:
            self.epochs_without_improvement += 1
        self._save_last()
        self.logger.log_validation(self.update, self.epoch, self.task.metric, value, loss, metrics, improved)

    @torch.inference_mode()
    def _validation_loss(self) -> float:
        """Return the mean loss over the predictions of the validation rows, label smoothing included like in training.

        NaN if none of them is within the length that is trained on.
        """
        plain = self.recipe.model_copy(update={"augment": AugmentConfig()})
        examples = replace(self.task, recipe=plain).examples(self.valid, FilterReport())
        if not len(examples):
            return math.nan
        total = predictions = 0.0
        for indices in plan_epoch(examples.sizes(), self.config.batch_tokens, self.recipe.seed, 0):
            batch = examples.batch(indices).to(self.context.device)
            with torch.autocast(self.context.device.type, torch.bfloat16, enabled=self.context.bf16_is_faster):
                total += self.plain_loss(batch).item()
            predictions += batch.tokens
        return total / predictions

    def _keep_epoch(self) -> None:
        checkpoint.save_weights(self.model, self.run.checkpoint(f"epoch-{self.epoch}"), epoch=self.epoch)
        self.run.checkpoint(f"epoch-{self.epoch - self.config.keep_last}").unlink(missing_ok=True)

    def _save_last(self) -> None:
        self.last_saved = time.monotonic()
        if self.context.is_main:
            moments = checkpoint.optimizer_tensors(self.model, self.optimizers)
            progress = {name: getattr(self, name) for name in PROGRESS} | {"processes": self.context.world_size}
            checkpoint.save_weights(self.model, self.run.checkpoint("last"), moments, **progress)

    def _resume(self) -> None:
        last = self.run.checkpoint("last")
        progress = checkpoint.load_weights(self.model, last)
        if (processes := progress.pop("processes", self.context.world_size)) != self.context.world_size:
            raise RecipeError(
                f"{self.run.path} was trained by {processes} processes and would not be the same run with "
                f"{self.context.world_size}; resume it with {processes}"
            )
        checkpoint.load_optimizers(self.model, self.optimizers, last)
        for name in PROGRESS:
            setattr(self, name, progress[name])

    def finish(self) -> dict[str, object]:
        """Choose by validation between the best checkpoint and the average of the last ones; test; write the report."""
        last_epochs = sorted(self.run.path.glob("checkpoints/epoch-*.safetensors"))
        self.model.eval()
        checkpoint.average(self.model, last_epochs)
        metrics = self.task.evaluate(self.model, self.valid, self.context.device)
        averaged = primary_metric(self.task, metrics)
        if averaged >= self.best:
            checkpoint.save_weights(self.model, self.run.weights, chosen="average", metric=averaged)
        else:
            shutil.copyfile(self.run.checkpoint("best"), self.run.weights)
            checkpoint.load_weights(self.model, self.run.weights)
            metrics = self.task.evaluate(self.model, self.valid, self.context.device)
        chosen = f"average of {len(last_epochs)}" if averaged >= self.best else "best"
        report: dict[str, object] = {
            "chosen": chosen, "updates": self.update, "epochs": self.epoch, "parameters": count_parameters(self.model),
            "valid": metrics,
        }  # fmt: skip
        if self.test:
            report["test"] = self.task.evaluate(self.model, self.test, self.context.device)
        self.run.report.write_text(json.dumps(report, indent=2, ensure_ascii=False), "utf-8")
        if isinstance(self.task, ClassifyTask) and not self.logger.quiet:
            self._write_reports(self.task)
        return report

    def _write_reports(self, task: ClassifyTask) -> None:
        """Write reports on the answers to the validation and test rows into the run folder."""
        for split, rows in (("valid", self.valid), ("test", self.test)):
            answers, _ = task.answers(rows, lambda ids: class_probabilities(self.model, ids, self.context.device))
            if answers.texts:
                folder = self.run.path / "reports" / split
                error = write_reports(answers, folder, f"{self.recipe.name}, {split}")
                self.logger.info(f"{folder}: labels, errors, calibration; calibration error {error:.1f} points")
