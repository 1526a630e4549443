"""Loads models and runs batches so that one bad row never sinks its neighbours.

A forward pass that raises is tried again in halves, down to single rows: with one bad row among n
that is at most 2·log2(n) more passes, two batches' worth of work.  Output that is not finite is
its row's error.  An error that leaves the device unusable ends the process.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.base import Pipeline
from perceiver_core.tasks import load_model
from server.errors import INTERNAL
from server.faults import FaultPlan, spoil
from server.frames import Row
from server.memory import give_small_blocks_back
from server.messages import Failed, Loaded, Ran, RowError, WorkerReady

log = logging.getLogger(__name__)

Outcome = Row | RowError
OUT_OF_MEMORY_SIGNS = ("can't allocate memory", "out of memory", "CUDNN_STATUS_NOT_SUPPORTED")
DEVICE_LOST = 75  # exit status
LONG_S = 0.2  # of a forward pass: beside it, giving memory back takes no time


@dataclass(frozen=True)
class Resident:
    """A model on the device, and the pipeline that feeds it."""

    pipeline: Pipeline[Any, Any]
    model: Any


class Runner:
    """The device's only user."""

    def __init__(self, ready: WorkerReady, faults: FaultPlan) -> None:
        self._ready = ready
        self._faults = faults
        self._residents: dict[str, Resident] = {}

    def load(self, name: str, folder: str) -> Loaded | Failed:
        """Puts the model of a folder onto the device."""
        failure: Failed
        try:
            self._faults.load(name)
            self._residents[name] = resident = Resident(
                open_pipeline(Path(folder)),
                load_model(
                    Path(folder),
                    numerics=self._ready.numerics,
                    device=self._ready.device,
                    dtype=self._ready.dtype,
                ),
            )
            return Loaded(_resident_bytes(resident.model))
        except CheckpointError as error:
            failure = Failed("load_failed", str(error))
        except Exception as error:
            if _is_out_of_memory(error):
                failure = Failed("out_of_memory", "the device has no memory left for this model")
            else:
                log.exception("loading %s failed", name)
                _exit_if_device_lost(error)
                failure = Failed("load_failed", "its files cannot be used; the log has the details")
        self.unload(name)
        return failure

    def unload(self, name: str) -> None:
        """Frees the model's memory."""
        self._residents.pop(name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def run(self, name: str, rows: list[Row]) -> tuple[Ran | Failed, list[Row]]:
        """One outcome per row: its output, or why it has none."""
        resident = self._residents.get(name)
        if resident is None:
            return Failed("internal", INTERNAL), []
        began = time.perf_counter()
        outcomes = self._split(name, resident, rows)
        if time.perf_counter() - began > LONG_S:
            give_small_blocks_back()
        return (
            Ran([outcome if isinstance(outcome, RowError) else None for outcome in outcomes]),
            [{} if isinstance(outcome, RowError) else outcome for outcome in outcomes],
        )

    def _split(self, name: str, resident: Resident, rows: list[Row]) -> list[Outcome]:
        outcomes = self._attempt(name, resident, rows)
        if not isinstance(outcomes, RowError):
            return outcomes
        if len(rows) == 1:
            return [outcomes]
        half = len(rows) // 2
        return [
            *self._split(name, resident, rows[:half]),
            *self._split(name, resident, rows[half:]),
        ]

    def _attempt(self, name: str, resident: Resident, rows: list[Row]) -> list[Outcome] | RowError:
        """One forward pass; a RowError where it raised."""
        try:
            poisoned = self._faults.forward(name, rows)
            with torch.inference_mode():
                outputs = resident.pipeline.forward(resident.model, rows)
            if len(outputs) != len(rows):
                raise RuntimeError(f"{len(outputs)} outputs for {len(rows)} rows")
        except Exception as error:  # noqa: BLE001 (whatever it is, it is one row's fault)
            failure = _row_error(name, error, alone=len(rows) == 1)
        else:
            for index in poisoned:
                outputs[index] = spoil(outputs[index])
            return [_finite(output) for output in outputs]
        # Out of the except block the traceback is gone, and with it the tensors it held.
        if failure.code == "out_of_memory" and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return failure


def _row_error(name: str, error: Exception, *, alone: bool) -> RowError:
    """What an exception means to the row that caused it, if it was one row."""
    _exit_if_device_lost(error)
    if isinstance(error, InvalidInput):
        return RowError("invalid_input", str(error))
    if _is_out_of_memory(error):
        return RowError("out_of_memory", "the input does not fit the device's memory, even alone")
    if alone:
        log.error("%s failed on one row", name, exc_info=error)
    return RowError("internal", INTERNAL)


def _finite(output: Row) -> Outcome:
    if all(np.isfinite(array).all() for array in output.values() if array.dtype.kind == "f"):
        return output
    return RowError(
        "non_finite_output", "the model's output for this input is not finite (NaN or infinite)"
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY_SIGNS)


def _exit_if_device_lost(error: Exception) -> None:
    """Device-side asserts, illegal addresses and the like fail every later call of the process."""
    lost = isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
    if lost and not _is_out_of_memory(error):
        log.error("the device is lost", exc_info=error)
        logging.shutdown()
        os._exit(DEVICE_LOST)


def _resident_bytes(model: Any) -> int:
    """Bytes of the model's parameters and buffers, shared ones once."""
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values())
