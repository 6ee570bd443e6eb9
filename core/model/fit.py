"""The training loop under Lightning Fabric.

A step is a pure function of (weights, optimiser state, seed, step): data order, condition drop-out and drop-out noise
are all drawn from the seed and the step, so a resumed run repeats an uninterrupted one bit for bit on a CPU.

Losses are sums with weights (interfaces.Loss): gradients are divided once by the weight of the whole global batch, so
that the number of processes and of accumulation steps changes nothing but rounding.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from collections.abc import Generator as Iterating
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from crystalfw.core.batch import TrainBatch
from crystalfw.core.data import Loader, LoaderOptions, Split
from crystalfw.core.discovery import plugins
from crystalfw.core.errors import CrystalfwError, DataError, Interrupted
from crystalfw.core.model import checkpoint
from crystalfw.core.model.component_versions import require_installed_versions
from crystalfw.core.model.generator import Generator
from crystalfw.core.model.logbook import Logbook
from crystalfw.core.model.sharding import full_state, is_sharded, load_full_state, scale_gradients, whole
from crystalfw.core.model.step_totals import StepTotals, Window, all_sum
from crystalfw.core.model.utilisation import measured_peak
from crystalfw.core.recipe.schema import FitSection
from crystalfw.core.system.files import write_text_atomically
from crystalfw.core.system.out_of_memory import free_memory, is_out_of_memory
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.signals import StopRequest

_CODES = {"SIGUSR1": 1e8, "SIGTERM": 1e4, "SIGINT": 1.0}
"""Signals by weight: the sum over ranks tells the strongest signal that any rank received."""
Sums = dict[str, tuple[Tensor, Tensor]]


@dataclass
class State:
    """The progress of a fit: what a checkpoint holds besides weights and optimiser."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    bad_validations: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    finished: str = ""
    """Why the fit ended, empty while it lasts."""
    history: list[float] = field(default_factory=list)
    """Validation losses in order."""
    accumulate: int = 1
    """Micro-batches per step: the recipe's number, doubled each time memory ran out."""
    pending: list[list[float]] = field(default_factory=list)
    """The totals of the steps since the last logged row, as numbers (step_totals.py)."""


def learning_rate(section: FitSection, step: int, fraction: float) -> float:
    """Linear warm-up, then a cosine from lr to lr * min_lr as `fraction` goes from 0 to 1 (Loshchilov and Hutter 2017)."""
    warm = min(1.0, (step + 1) / max(1, section.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    return section.lr * warm * (section.min_lr + (1 - section.min_lr) * cosine)


def dropped_conditions(seed: int, step: int, index_B: Tensor, share: float) -> Tensor:
    """(B,) bool: which crystals train with the null condition; one draw per (seed, step, crystal)."""
    draws = [np.random.Philox(key=[seed, step], counter=[int(i), 0, 0, 0]).random_raw() for i in index_B.tolist()]
    return torch.tensor([draw / 2**64 < share for draw in draws], dtype=torch.bool, device=index_B.device)


def parameter_groups(generator: Generator, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices (embeddings included), none on biases and norms, as usual for transformers."""
    trained = [p for p in generator.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]


class _Opaque:
    """Carries a batch through Fabric's wrappers, which cannot handle frozen dataclasses."""

    def __init__(self, value: tuple[TrainBatch, Tensor | None]) -> None:
        self.value = value


class _Step(nn.Module):
    """The generator's loss as plain tensors, in which strategies can find the graph."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, arguments: _Opaque) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor, Tensor]]]:
        loss = self.generator(*arguments.value)
        return loss.total, loss.weight, dict(loss.parts)


class Fit:
    """One fit: generator, data and recipe section in; checkpoints, metrics.csv and a State out."""

    def __init__(
        self, fabric: Fabric, generator: Generator, splits: Mapping[str, Split], section: FitSection, options: LoaderOptions,
        *, run_dir: Path, payload: Mapping[str, Any], first_checkpoint: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`options` are those of one process that trains; the loaders of this rank and of validation follow from them.

        `first_checkpoint` is called once, on rank 0, when the run folder has its first checkpoint.
        """
        self.fabric, self.section, self.seed, self.run_dir = fabric, section, options.seed, run_dir
        self.state = State(accumulate=section.accumulate)
        self.generator = generator
        self._payload, self._first_checkpoint = dict(payload), first_checkpoint
        self._batches: Iterating[TrainBatch, None, None]
        inner: Any = torch.compile(generator, dynamic=True) if section.compile else generator
        self.model = fabric.setup_module(_Step(inner))
        # After the module: sharding replaces its parameters.
        groups = parameter_groups(generator, section.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=section.lr, betas=section.betas, fused=not is_sharded(fabric))
        self.optimizer: Any = fabric.setup_optimizers(optimizer)
        own = replace(options, rank=fabric.global_rank, world_size=fabric.world_size)
        self.train_loader = Loader(splits["train"], own)
        validating = replace(own, accumulate=1, train=False, augment=False)
        self.val_loader = Loader(splits["val"], validating) if len(splits.get("val", ())) else None

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self, resume: Path | None = None) -> State:
        """Train until the recipe's end, an early stop or a signal (then raises Interrupted after saving)."""
        if resume is not None:
            self.load(resume)
        if self.state.finished:
            return self.state
        # Validating first reveals mistakes at once, not after an epoch; it also gives the columns of the log.
        columns = tuple(self.validate(limit=2)) if self.val_loader is not None else ()
        log = None
        if self.fabric.is_global_zero:
            kept = self.state.step if resume is not None else None
            log = Logbook(self.run_dir / "metrics.csv", keep_until=kept, extra=columns)
        try:
            with StopRequest() as stop:
                self._loop(stop, log)
        finally:
            if log is not None:
                log.close()
        return self.state

    def _loop(self, stop: StopRequest, log: Logbook | None) -> None:
        section, state = self.section, self.state
        self._batches = self.train_loader.batches(state.step)
        began, base = time.monotonic(), state.elapsed_s
        total = section.steps if section.max_minutes is None else None
        progress = Progress("fit: step", total, start=state.step) if self.fabric.is_global_zero else None
        window = Window(self.fabric, state.pending, self._peak_flops())
        while not state.finished:
            fraction = self._fraction()
            window.add(self.train_step(fraction))
            state.step += 1
            state.elapsed_s = base + time.monotonic() - began
            logged = state.step % section.log_every == 0
            if logged or self.fabric.world_size == 1:
                self._agree()
            last = state.step >= section.steps or self._fraction() >= 1.0
            row: dict[str, Any] = {}
            if logged or last:
                row, tokens = window.flush()
                state.tokens += tokens
                lr = learning_rate(section, state.step - 1, fraction)
                row |= {"lr": lr, "tokens": state.tokens, "elapsed_s": state.elapsed_s}
                self._report(progress, row)
            if self.val_loader is not None and (state.step % section.validate_every == 0 or last):
                row |= self._validated()
            if last:
                state.finished = "done"
            if row and log is not None:
                log.write({"step": state.step, **row})
                if logged:
                    plugins().notify("step_end", step=state.step, metrics=row)
            stopping = self._stopping(stop)
            if stopping or state.finished or state.step % section.checkpoint_every == 0:
                state.pending = window.pending()
                self.save("last")
            if stopping and not state.finished:
                raise Interrupted(
                    f"stopped by {stopping} at step {state.step}; continue with: crystalfw run --resume {self.run_dir}",
                    signal=stopping,
                )
        if progress is not None:
            progress.close(f"loss {window.last_loss:.4f}, best validation {state.best_loss:.4f} at step {state.best_step}")

    def _peak_flops(self) -> float:
        """Operations per second that this device could do, noted in provenance.json; 0 if the decoder counts none."""
        if not self.generator.decoder.training_flops(torch.tensor([2])):
            return 0.0
        peak = measured_peak(self.fabric.device, self.fabric._precision.precision)
        record = self.run_dir / "provenance.json"
        if self.fabric.is_global_zero and record.exists():
            noted = {**json.loads(record.read_text(encoding="utf-8")), "mfu": f"the decoder's share of {peak}"}
            write_text_atomically(record, json.dumps(noted, indent=2))
        return peak.flops

    def train_step(self, fraction: float) -> StepTotals:
        """One optimiser step: loss and weight of the global batch, the rest of this rank."""
        section, fabric = self.section, self.fabric
        lr = learning_rate(section, self.state.step, fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        while (added := self._gradients()) is None:
            self._halve(self.train_loader, "training")
            self.state.accumulate = self.train_loader.accumulate
            self._batches = self.train_loader.batches(self.state.step)
        sums = all_sum(fabric, torch.stack([torch.as_tensor(value).float() for value in (added.loss, added.weight)]))
        # DDP has averaged the gradients over ranks: undo that, divide by the weight of the global batch instead.
        scale = section.batch_size * fabric.world_size / sums[1].clamp_min(1.0)
        scale_gradients(self.model, scale)
        norm = fabric.clip_gradients(self.model, self.optimizer, max_norm=section.clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        assert norm is not None
        return replace(added, loss=sums[0], weight=sums[1], grad_norm=whole(norm))

    def _gradients(self) -> StepTotals | None:
        """Gradients and totals of this rank's micro-batches; None if memory ran out."""
        fabric, micro_batches = self.fabric, self.train_loader.accumulate
        # Drop-out noise depends on (seed, step, rank), so that no random state has to be saved.
        torch.manual_seed(_mix(self.seed, self.state.step, fabric.global_rank))
        self.model.train()
        zero = torch.zeros((), device=fabric.device)
        totals = StepTotals(loss=zero, weight=zero)
        try:
            for micro in range(micro_batches):
                batch = next(self._batches)
                work = self._work(batch)
                batch = batch.to(fabric.device)
                more = micro + 1 < micro_batches
                with fabric.no_backward_sync(self.model, enabled=more) if fabric.world_size > 1 else nullcontext():
                    loss_sum, loss_weight, _ = self.model(_Opaque((batch, self._dropped(batch))))
                    fabric.backward(loss_sum / self.section.batch_size)
                totals += replace(work, loss=loss_sum.detach(), weight=loss_weight)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return totals

    def _work(self, batch: TrainBatch) -> StepTotals:
        """Tokens, padded tokens and operations of a micro-batch."""
        if batch.tokens is None:
            return StepTotals()
        lengths = batch.tokens.lengths
        flops = self.generator.decoder.training_flops(lengths)
        return StepTotals(tokens=int(lengths.sum()), padded=batch.tokens.ids.numel(), flops=flops)

    def _halve(self, loader: Loader, what: str) -> None:
        """Double the micro-batches to halve the memory of a step, and print it. Raises CrystalfwError if that is impossible."""
        self.optimizer.zero_grad(set_to_none=True)
        if loader is self.train_loader:
            self._batches.close()
        free_memory()
        before, most = loader.accumulate, loader.batch_size // self.fabric.world_size
        place = f"out of memory in {what} at step {self.state.step + 1}"
        if before >= most:
            raise DataError(f"{place} with one crystal at a time: lower data.max_atoms or make the model smaller")
        loader.accumulate = min(2 * before, most)
        if self.fabric.world_size > 1:  # the other ranks are in the middle of the step and cannot start it again
            raise CrystalfwError(
                f"{place} on rank {self.fabric.global_rank}; resume with smaller micro-batches: "
                f"crystalfw run --resume {self.run_dir} fit.accumulate={loader.accumulate}"
            )
        print(
            f"\n{place}: continues with {loader.accumulate} micro-batches of {-(-loader.batch_size // loader.accumulate)} "
            f"crystals instead of {before} of {-(-loader.batch_size // before)}; the steps stay the same",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    def _dropped(self, batch: TrainBatch) -> Tensor | None:
        share = self.generator.condition_dropout
        return dropped_conditions(self.seed, self.state.step, batch.index, share) if share else None

    # --- validation -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, limit: int | None = None) -> dict[str, float]:
        """Mean validation loss over all ranks, the same number on each; decoders may add named parts."""
        assert self.val_loader is not None
        self.model.eval()
        while (sums := self._validation_sums(limit)) is None:
            self._halve(self.val_loader, "validation")
        names = sorted(sums)
        table = torch.stack([torch.stack([sums[n][0].double(), sums[n][1].double()]) for n in names])
        table = all_sum(self.fabric, table).cpu()
        return {n: float(table[k, 0] / max(float(table[k, 1]), 1.0)) for k, n in enumerate(names)}

    def _validation_sums(self, limit: int | None) -> Sums | None:
        """This rank's sums and weights by name; None if memory ran out."""
        assert self.val_loader is not None
        zero = torch.zeros((), device=self.fabric.device)
        sums: Sums = {"val_loss": (zero, zero)}
        try:
            for batch, counts in self.val_loader.validation_batches(limit):
                total, weight, loss_parts = self.model(_Opaque((batch.to(self.fabric.device), None)))
                found = {"val_loss": (total, weight)} | {f"val_{k}": v for k, v in loss_parts.items()}
                for name, (total, weight) in found.items():
                    before = sums.get(name, (zero, zero))
                    sums[name] = (before[0] + total, before[1] + weight) if counts else before
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return sums

    def _validated(self) -> dict[str, float]:
        state = self.state
        row = self.validate(self.section.validation_batches)
        loss = row["val_loss"]
        state.history.append(loss)
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.bad_validations = loss, state.step, 0
            self.save("best")
        else:
            state.bad_validations += 1
            if self.section.patience is not None and state.bad_validations > self.section.patience:
                state.finished = f"early stop: no better validation since step {state.best_step}"
        if self.fabric.is_global_zero:
            plugins().notify("validation_end", step=state.step, metrics=row)
        return row

    # --- agreement between ranks, progress ----------------------------------------------------------------------------

    def _fraction(self) -> float:
        minutes = self.section.max_minutes
        by_step = self.state.step / max(1, self.section.steps)
        return by_step if minutes is None else max(by_step, self._agreed_elapsed / (60 * minutes))

    _agreed_elapsed = 0.0

    def _agree(self) -> None:
        """The time of rank 0: clocks differ between ranks, but decisions must agree."""
        several = self.fabric.world_size > 1
        self._agreed_elapsed = float(self.fabric.broadcast(self.state.elapsed_s)) if several else self.state.elapsed_s

    def _stopping(self, stop: StopRequest) -> str:
        if self.fabric.world_size == 1:
            return stop.requested or ""
        if self.state.step % self.section.log_every:  # ranks agree now and then only: at every step they would wait
            return ""
        code = _CODES.get(stop.requested or "", 0.0)
        asked = float(all_sum(self.fabric, torch.tensor(code, device=self.fabric.device)))
        return next((name for name, code in _CODES.items() if asked >= code), "")

    def _report(self, progress: Progress | None, row: Mapping[str, Any]) -> None:
        if not math.isfinite(row["loss"]):
            raise DataError(
                f"the loss is {row['loss']} at step {self.state.step}: lower fit.lr, or use fabric.precision 32-true"
            )
        if progress is None:
            return
        minutes = self.section.max_minutes  # with steps the time left follows from the recent speed
        left = None if minutes is None else max(0.0, 60 * minutes - self.state.elapsed_s)
        speed = f", {row['tokens_per_s']:,.0f} tokens/s" if row["tokens_per_s"] else ""
        progress.update(self.state.step, f"loss {row['loss']:.4f}{speed}", remaining=left)

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def save(self, name: str) -> None:
        """Write checkpoints/NAME.pt; all ranks call it, rank 0 writes."""
        model, optimizer = full_state(self.fabric, self.generator, self.model, self.optimizer)
        if self.fabric.is_global_zero:
            payload = {**self._payload, "model": model, "optimizer": optimizer, "state": asdict(self.state)}
            folder = self.run_dir / "checkpoints"
            first = not any(folder.glob("*.pt"))
            checkpoint.save(folder / f"{name}.pt", payload, keep=folder / "previous.pt" if name == "last" else None)
            if first:
                self._first_checkpoint()
        self.fabric.barrier()

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe."""
        payload = checkpoint.load(path)
        require_installed_versions(payload, path)
        load_full_state(self.fabric, self.generator, self.model, self.optimizer, payload["model"], payload["optimizer"])
        self.state = State(**payload["state"])
        self._agreed_elapsed = self.state.elapsed_s
        self.train_loader.accumulate = self.state.accumulate = max(self.section.accumulate, self.state.accumulate)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
