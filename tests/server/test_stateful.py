"""Any order of requests, cancellations, deaths, broken models and pressure on memory, against a
model of the counters: every request has one outcome, and nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from perceiver_core.pipelines.text import text_ids
from server.engine import Answer, Engine
from server.errors import KINDS
from tests.open_files import open_files
from tests.server.light_worker import logits_of
from tests.server.serving import ask, at_rest, code_of, lawful, light, serving, until
from tests.tiny import make_text_classifier

Result = TypeVar("Result")
MODELS = ("tiny", "other", "third")
MAX_QUEUE = 12
PATIENCE_MS = 60_000
OURS = 2  # tasks that `Lives.do` itself runs in
KILLED = {"worker_died", "load_failed"}  # load_failed: the worker died over one load twice
FINE = ("fine", "also fine", "as fine as the others", "~slow~")
TEXTS = {
    **{text: {"ok"} for text in FINE},
    "~raise~": {"internal"},
    "~nan~": {"non_finite_output"},
    "~die~": {"worker_died"},
    "": {"invalid_input"},
}
PLAN: list[dict[str, object]] = [
    {"on": "forward", "contains": "~slow~", "action": "delay", "seconds": 0.05},
    {"on": "forward", "contains": "~raise~", "action": "raise"},
    {"on": "forward", "contains": "~nan~", "action": "nan"},
    {"on": "forward", "contains": "~die~", "action": "crash"},
]


ONE_BAD = st.sampled_from(list(TEXTS)).map(lambda text: [text])
ALL_FINE = st.lists(st.sampled_from(FINE), min_size=1, max_size=5)
ITEMS = st.one_of(ALL_FINE, ALL_FINE, st.tuples(ALL_FINE, ONE_BAD).map(lambda two: two[0] + two[1]))
HASTY = st.sampled_from([False, False, True])


def ends_of(texts: list[str], *, hasty: bool) -> set[str]:
    """How a request may end when nothing else happens to it."""
    ends = set().union(*(TEXTS[text] for text in texts))
    if len(ends) > 1:
        ends -= {"ok"}
    if "" in texts:
        ends = {"invalid_input"}
    return ends | {"queue_full"} | ({"deadline"} if hasty else set())


@dataclass(eq=False)
class Request:
    """What a client sent, and how it may end."""

    task: asyncio.Task[Answer]
    model: str
    texts: list[str]
    may_end: set[str]


class Lives(RuleBasedStateMachine):
    """The engine with a worker that needs no torch."""

    def open(self, **given: Any) -> AbstractAsyncContextManager[Engine]:
        return light(Path(self.folder.name), **given)

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.requests: list[Request] = []
        self.broken: set[str] = set()  # ever
        self.disturbed = False  # a worker has died, or may die over a request
        self.stopped: int | None = None  # pid

    def do(self, work: Awaitable[Result]) -> Result:
        """The event loop runs only here: between two steps nothing moves."""

        async def bounded() -> Result:
            return await asyncio.wait_for(work, 60)

        return self.runner.run(bounded())

    def send(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # a request has killed it, and nobody has noticed yet
            os.kill(pid, number)

    @property
    def undone(self) -> list[Request]:
        return [request for request in self.requests if not request.task.done()]

    @initialize()
    def start(self) -> None:
        models = Path(self.folder.name, "models")
        for seed, model in enumerate(MODELS):
            make_text_classifier(models / model, seed=seed)
        self.files = {model: models / model / "model.safetensors" for model in MODELS}
        self.whole = {model: file.read_bytes() for model, file in self.files.items()}
        budget = int(1.5 * len(self.whole["tiny"]))
        self.do(asyncio.sleep(0))
        self.open_before = open_files()
        self.serving = self.open(memory_budget=budget, max_queue=MAX_QUEUE, max_batch=4)
        self.engine = self.do(self.serving.__aenter__())
        self.expected = {(m, t): self.alone(m, t) for m in MODELS for t in FINE}

    def alone(self, model: str, text: str) -> list[float]:
        """The scores of a text, best first."""
        powers = np.exp(logits_of(model, text_ids(text.encode())))
        return sorted(powers / powers.sum(), reverse=True)

    @rule(burst=st.lists(st.tuples(st.sampled_from(MODELS), ITEMS, HASTY), min_size=1, max_size=4))
    def submit(self, burst: list[tuple[str, list[str], bool]]) -> None:
        async def submit() -> None:
            for model, texts, hasty in burst:
                timeout_ms = 1 if hasty else PATIENCE_MS
                task = ask(self.engine, *texts, model=model, timeout_ms=timeout_ms)
                self.requests.append(Request(task, model, texts, ends_of(texts, hasty=hasty)))
            await asyncio.sleep(0)

        self.disturbed |= any("~die~" in texts for _, texts, _ in burst)
        self.do(submit())

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        if not self.undone:
            return
        request = self.undone[which % len(self.undone)]
        request.may_end |= {"cancelled"}

        async def cancel() -> None:
            request.task.cancel()
            await asyncio.wait([request.task], timeout=0)

        self.do(cancel())

    @rule(ticks=st.integers(1, 30))
    def advance(self, ticks: int) -> None:
        async def advance() -> None:
            for _ in range(ticks):
                await asyncio.sleep(0)

        self.do(advance())

    @precondition(lambda self: self.stopped is None)
    @rule()
    def answer_one(self) -> None:
        if tasks := [request.task for request in self.undone]:
            self.do(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))

    @precondition(lambda self: self.stopped is None)
    @rule(number=st.sampled_from([signal.SIGSTOP, signal.SIGKILL]))
    def strike(self, number: signal.Signals) -> None:
        """The worker dies, or stands still: whatever it has in hand stays there."""
        pid = self.do(self.ready_worker())
        self.send(pid, number)
        self.disturbed |= number == signal.SIGKILL
        self.stopped = pid if number == signal.SIGSTOP else None

    async def ready_worker(self) -> int:
        """Its pid: a death that nobody had noticed may be noticed while this waits."""
        while True:
            assert not self.engine.worker.refusal.done()
            await asyncio.sleep(0)
            await self.engine.worker.wait_ready()
            if (pid := self.engine.worker.pid) is not None:
                return pid

    @precondition(lambda self: self.stopped is not None)
    @rule(number=st.sampled_from([signal.SIGCONT, signal.SIGKILL]))
    def go_on(self, number: signal.Signals) -> None:
        assert self.stopped is not None
        self.send(self.stopped, number)
        self.disturbed |= number == signal.SIGKILL
        self.stopped = None

    @rule(model=st.sampled_from(MODELS), whole=st.booleans())
    def change(self, model: str, whole: bool) -> None:
        """Breaks or repairs a model; its next load sees it."""
        self.broken |= set() if whole else {model}
        new = self.files[model].with_name("new")
        new.write_bytes(self.whole[model][: None if whole else -100])
        new.rename(self.files[model])

    @rule()
    def let_back_off_pass(self) -> None:
        for slot in self.engine.registry.slots.values():
            slot.retry_at = 0.0

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        if not hasattr(self, "engine"):
            return
        ledger = self.engine.ledger
        assert lawful(self.engine)
        live = sum(ledger.queued.values()) + sum(ledger.in_flight.values())
        assert live == len(self.undone)
        assert 0 <= ledger.waiting_rows <= MAX_QUEUE
        assert ledger.waiting_rows <= ledger.held_rows
        slots = self.engine.registry.slots.values()
        assert sum(slot.resident_bytes for slot in slots) <= self.engine.settings.memory_budget
        assert sum(slot.state == "loading" for slot in slots) <= 1

    def teardown(self) -> None:
        try:
            if hasattr(self, "engine"):
                self.come_to_rest()
        finally:
            if self.stopped is not None:
                self.send(self.stopped, signal.SIGKILL)
            if hasattr(self, "engine"):
                self.do(self.serving.__aexit__(None, None, None))
                assert not open_files() - self.open_before
            self.runner.close()
            self.folder.cleanup()

    def come_to_rest(self) -> None:
        """A drain: whoever was accepted is answered; then the books are compared."""
        if self.stopped is not None:
            self.send(self.stopped, signal.SIGCONT)
            self.stopped = None

        async def drained() -> None:
            draining = asyncio.create_task(self.engine.drain())
            await asyncio.sleep(0)
            assert await code_of(ask(self.engine, "late")) == "draining"
            assert await draining

        self.do(drained())
        counted: Counter[tuple[str, str, str]] = Counter({("tiny", "rest", "rejected"): 1})
        for request in self.requests:
            code = self.do(code_of(request.task))
            may_end = request.may_end
            may_end |= {"load_failed"} if request.model in self.broken else set()
            may_end |= KILLED if self.disturbed else set()
            assert code in may_end
            outcome = "completed" if code == "ok" else KINDS[code].outcome
            counted[request.model, "rest", outcome] += 1
            if code == "ok":
                self.check_answer(request)
        ended = Counter({key: n for key, n in self.engine.ledger.ended.items() if key[1] == "rest"})
        assert ended == counted
        assert at_rest(self.engine)
        children = [self.engine.worker, *self.engine.media._children]
        kept = {self.engine.batcher._loop_task, *(child._supervisor for child in children)}
        loop = self.runner.get_loop()  # what was given up on the device runs out
        self.do(until(lambda: len(asyncio.all_tasks(loop) - kept) == OURS))
        self.do(until(lambda: self.engine.worker.waiting == 0))

    def check_answer(self, request: Request) -> None:
        outputs = request.task.result().outputs
        for text, labels in zip(request.texts, outputs, strict=True):
            scores = [label.score for label in labels]
            assert scores == pytest.approx(self.expected[request.model, text], abs=1e-5)


class LivesOfTorch(Lives):
    """The worker that is served with, its answers those of the model alone."""

    def open(self, **given: Any) -> AbstractAsyncContextManager[Engine]:
        return serving(Path(self.folder.name), PLAN, **given)

    def alone(self, model: str, text: str) -> list[float]:
        async def scores() -> list[float]:
            answer = await ask(self.engine, text, model=model, protocol="warm")
            return [label.score for label in answer.outputs[0]]

        return self.do(scores())


def bounded(examples: int, steps: int) -> settings:
    """The same examples in every run, and as many as a test may take seconds."""
    return settings(
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
        # A failing run is told as it was: to make it smaller takes minutes of real processes.
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
    )


TestLives = Lives.TestCase
TestLives.settings = bounded(25, 40)
TestLivesOfTorch = LivesOfTorch.TestCase
TestLivesOfTorch.settings = bounded(3, 40)
