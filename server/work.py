"""A request's items turned into rows, and its rows turned back into results."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline
from server.errors import Fault, fault_of
from server.frames import Row
from server.media_pool import MediaPool
from server.messages import MAX_MEDIA_BYTES

TURN_S = 0.02  # of postprocessing
MAX_ANSWER = 16 * 1024 * 1024  # characters, roughly
MAX_ARRAYS = 48 * 1024 * 1024  # bytes; 64 MiB as base64


@dataclass(frozen=True)
class Work:
    """The rows of all items, in order: item i owns rows[bounds[i]:bounds[i + 1]]."""

    pipeline: Pipeline[Any, Any]
    items: Sequence[Any]
    rows: list[Row]
    bounds: list[int]

    async def outputs(self, rows: list[Row], threads: Executor) -> list[Any]:
        """One result per item, from one output row per row.

        Requests take turns in the threads: one of many items neither keeps the others waiting nor
        goes on when its caller has gone.  What takes less time than the way to a thread stays here.
        """
        if len(self.items) == 1 and self.pipeline.quick(self.items[0]):
            return [self.pipeline.postprocess(self.items[0], rows)]
        results: list[Any] = []
        while len(results) < len(self.items):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(threads, self._add_results, rows, results)
        return results

    def _add_results(self, rows: list[Row], results: list[Any]) -> None:
        """The next result, and those after it that fit into a turn."""
        end = perf_counter() + TURN_S
        for i in range(len(results), len(self.items)):
            own = rows[self.bounds[i] : self.bounds[i + 1]]
            results.append(self.pipeline.postprocess(self.items[i], own))
            if perf_counter() > end:
                return

    def item_of(self, row: int) -> int:
        """The item that a row belongs to."""
        return next(i for i, end in enumerate(self.bounds[1:]) if row < end)


class Undecoded(ABC):
    """An item whose images have come one by one, to be decoded on the request's own time."""

    @property
    @abstractmethod
    def options(self) -> Any:
        """The pipeline's input with the same options and no media: it can be checked at once."""

    def row_count(self, pipeline: Pipeline[Any, Any]) -> int:
        """Its rows, as far as they are known before it is decoded.  InvalidInput where it has
        none."""
        return 1

    @abstractmethod
    def decoded(
        self, pipeline: Pipeline[Any, Any], media: MediaPool
    ) -> AbstractAsyncContextManager[Any]:
        """The pipeline's input, whose pixels take up memory within the block only; a Fault or
        InvalidInput where there is none."""


def known_rows(pipeline: Pipeline[Any, Any], items: Sequence[Any]) -> int:
    """How many rows the items make, as far as that is known before they are decoded."""
    count = 0
    for item in items:
        if isinstance(item, Undecoded):
            count += item.row_count(pipeline)
        else:
            count += 1 if pipeline.encoded(item) else pipeline.row_count(item)
    return count


async def prepare(
    pipeline: Pipeline[Any, Any],
    items: Sequence[Any],
    folder: Path,
    media: MediaPool,
    threads: Executor,
    grow: Callable[[int], None],
) -> Work:
    """Checks every item before any is decoded, then makes the rows.

    `grow` is told how many rows there are in all, as far as that is known: of an item that is
    decoded here before they are made.  Of such an item nothing stays but its rows and options.
    """
    for index, item in enumerate(items):
        with naming(index, len(items)):
            pipeline.check(item.options if isinstance(item, Undecoded) else item)
    known = (item for item in items if not isinstance(item, Undecoded))
    _check_answer(sum(map(pipeline.answer_characters, known)))
    made: list[Any] = []
    rows: list[Row] = []
    bounds = [0]
    size = held = 0
    for index, item in enumerate(items):
        with naming(index, len(items)):
            others = len(rows) + len(items) - index - 1

            def grow_by(count: int, others: int = others) -> None:
                grow(others + count)

            own = await _rows(pipeline, item, folder, media, threads, grow_by)
            rows += own
            item = item.options if isinstance(item, Undecoded) else item
            size += pipeline.answer_bytes(item, own)
            _check_arrays(size)
            held += sum(array.nbytes for row in own for array in row.values())
            _check_held(held)
        made.append(item)
        bounds.append(len(rows))
    return Work(pipeline, made, rows, bounds)


async def _rows(
    pipeline: Pipeline[Any, Any],
    item: Any,
    folder: Path,
    media: MediaPool,
    threads: Executor,
    grow: Callable[[int], None],
) -> list[Row]:
    """Media are decoded in their child, arrays cut up in a thread, text is read here."""
    if isinstance(item, Undecoded):
        async with item.decoded(pipeline, media) as decoded:
            pipeline.check(decoded)
            return await _rows(pipeline, decoded, folder, media, threads, grow)
    if pipeline.encoded(item):
        rows = await media.preprocess(folder, item, video=pipeline.video)
        grow(len(rows))
        return rows
    grow(pipeline.row_count(item))
    if pipeline.media:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, lambda: list(pipeline.preprocess(item)))
    return list(pipeline.preprocess(item))


def _check_answer(size: int) -> None:
    """A small request must not become a huge answer."""
    if size > MAX_ANSWER:
        raise Fault(
            "too_large",
            f"the answer would be some {size} characters, the limit is {MAX_ANSWER}: ask for fewer "
            "spans, texts or candidates at once",
        )


def _check_arrays(size: int) -> None:
    """A small picture must not become a huge field."""
    if size > MAX_ARRAYS:
        raise Fault(
            "too_large",
            f"the answer's arrays would take {size} bytes, the limit is {MAX_ARRAYS}: ask for a "
            "region, a larger stride, fewer outputs or a shorter video",
        )


def _check_held(size: int) -> None:
    """Many small files must not become gigabytes that wait."""
    if size > MAX_MEDIA_BYTES:
        raise Fault(
            "too_large",
            f"the inputs decoded take {size} bytes, the limit is {MAX_MEDIA_BYTES}: send several "
            "requests",
        )


@contextmanager
def naming(index: int, count: int) -> Iterator[None]:
    """Puts `inputs[2]: ` in front of a fault, where there are several inputs."""
    try:
        yield
    except (InvalidInput, Fault) as error:
        if count == 1:
            raise
        fault = fault_of(error)
        message = f"inputs[{index}]: {fault.message}"
        raise Fault(fault.code, message, retry_after=fault.retry_after) from None
