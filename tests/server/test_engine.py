"""The engine as its callers see it: answers, refusals, limits, metrics."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.text_classification import TextClassificationInput
from server.engine import Answer, Engine
from server.errors import INTERNAL, Fault
from tests.server.serving import (
    TASK,
    ask,
    at_rest,
    code_of,
    codes_of,
    held,
    lawful,
    serving,
    until,
    waiting,
)
from tests.tiny import make_fill_mask

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    make_fill_mask(folder / "models" / "masked")
    async with serving(folder, max_inputs=100, max_timeout_ms=60_000) as engine:
        yield engine
        assert lawful(engine)
        assert at_rest(engine)


async def refusal(engine: Engine, items: list[Any], **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        await engine.predict(TASK, items, **options)
    return caught.value


async def test_an_answer_says_where_it_comes_from_and_where_its_time_went(engine: Engine) -> None:
    answer = await ask(engine, "one", "two", "three")
    assert (answer.model, answer.batch_size, len(answer.outputs)) == ("tiny", 3, 3)
    assert sum(label.score for label in answer.outputs[0]) == pytest.approx(1.0)
    assert set(answer.timings) == {"decode", "queue", "compute", "encode"}
    assert all(0 <= milliseconds < 60_000 for milliseconds in answer.timings.values())


async def test_waiting_for_room_counts_as_waiting(engine: Engine) -> None:
    clock = asyncio.get_running_loop().time
    full = engine.ledger.receive("tiny", "holder", deadline=clock() + 60)
    full.admit(engine.settings.max_queue)

    async def items() -> AsyncGenerator[TextClassificationInput, None]:
        yield TextClassificationInput("patient")

    stream = engine.stream(TASK, items(), weight=lambda _: 0)
    await until(lambda: bool(engine.ledger._line))
    began = time.perf_counter()
    await until(lambda: time.perf_counter() - began > 0.2)  # far longer than the device takes
    waited = time.perf_counter() - began
    full.end("cancelled")
    answer = await anext(stream)
    await stream.close()
    assert isinstance(answer, Answer)
    assert answer.timings["queue"] >= waited * 1000
    assert samples(engine)['perceiver_queue_seconds_sum{model="tiny"}'] >= waited


async def test_another_model_is_asked_by_name(engine: Engine) -> None:
    item = FillMaskInput("one [MASK] two", top_k=3)
    answer = await engine.predict("fill-mask", [item], model="masked")
    assert answer.model == "masked"
    assert len(answer.outputs[0][0]) == 3


@pytest.mark.parametrize(
    ("items", "code", "says"),
    [
        ([], "invalid_input", "no input"),
        ([TextClassificationInput("x")] * 101, "too_large", "limit is 100"),
        ([TextClassificationInput("")], "invalid_input", "^the text is empty"),
        (list(map(TextClassificationInput, ["x", ""])), "invalid_input", r"^inputs\[1\]: the"),
        ([TextClassificationInput("x" * 1000)], "invalid_input", "1000 bytes"),
        ([TextClassificationInput("x", top_k=99)], "invalid_input", "top_k"),
        ([object()], "internal", f"^{INTERNAL}$"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_counted_and_said(
    engine: Engine, items: list[Any], code: str, says: str
) -> None:
    key = ("tiny", "rest", "failed" if code == "internal" else "rejected")
    before = engine.ledger.ended[key]  # type: ignore[index]
    fault = await refusal(engine, items)
    assert fault.code == code
    assert re.search(says, fault.message)
    assert engine.ledger.ended[key] == before + 1  # type: ignore[index]
    assert fault.counted


async def test_a_bug_in_postprocessing_is_internal_and_harms_nobody_else(engine: Engine) -> None:
    class Half(TextClassificationInput):
        """Fails when its scores are wanted: after the device."""

        def __getattribute__(self, name: str) -> Any:
            if name == "top_k" and not object.__getattribute__(self, "__dict__").pop("fresh", None):
                raise RuntimeError("half an input")
            return object.__getattribute__(self, name)

    item = Half("text")
    item.__dict__["fresh"] = True  # the first look, by check(), goes well
    fault = await refusal(engine, [item])
    assert (fault.code, fault.message) == ("internal", INTERNAL)
    assert await code_of(ask(engine, "next")) == "ok"


async def test_a_deadline_above_the_maximum_is_the_maximum(engine: Engine) -> None:
    assert engine._answering._timeout_s(10**9) == 60
    assert engine._answering._timeout_s(None) == 30
    assert await code_of(ask(engine, "hello", timeout_ms=0)) == "deadline"


async def test_the_limits_are_told(engine: Engine) -> None:
    limits = engine.limits()
    assert limits["max_inputs"] == 100
    assert all(type(value) in (int, float) for value in limits.values())


async def test_refusals_at_the_door_are_counted_once(engine: Engine) -> None:
    early = Fault("malformed", "no")
    late = await refusal(engine, [])
    engine.refuse("rest", early)
    engine.refuse("rest", late)
    assert engine.ledger.refused == {("rest", "malformed"): 1}


def samples(engine: Engine) -> dict[str, float]:
    """A scrape: series -> value."""
    lines = engine.metrics().decode().splitlines()
    return {
        series: float(value)
        for series, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


CONTRACT = {
    "perceiver_received_total": {"model", "protocol"},
    "perceiver_requests_total": {"model", "protocol", "outcome"},
    "perceiver_refused_total": {"protocol", "code"},
    "perceiver_request_seconds_count": {"model", "protocol"},
    "perceiver_queue_seconds_count": {"model"},
    "perceiver_decode_seconds_count": {"model"},
    "perceiver_compute_seconds_count": {"model"},
    "perceiver_batch_items_count": {"model"},
    "perceiver_queued": {"model", "protocol"},
    "perceiver_in_flight": {"model", "protocol"},
    "perceiver_model_resident_bytes": {"model"},
    "perceiver_items_computed_total": {"model"},
    "perceiver_batches_total": {"model"},
    "perceiver_model_loads_total": {"outcome"},
    "perceiver_evictions_total": set(),
    "perceiver_worker_restarts_total": set(),
}


async def test_every_metric_of_the_contract_is_there(engine: Engine) -> None:
    await ask(engine, "hello")
    engine.refuse("rest", Fault("malformed", "no"))
    found: dict[str, set[str]] = {}
    for series in samples(engine):
        name, _, labels = series.partition("{")
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    assert {name: found.get(name) for name in CONTRACT} == CONTRACT


async def test_the_law_holds_in_every_scrape(engine: Engine) -> None:  # M1
    async with held(engine) as first:
        requests = [ask(engine, f"text {i}") for i in range(20)]
        requests += [ask(engine, "", protocol="grpc") for _ in range(3)]
        requests += [ask(engine, f"late {i}", timeout_ms=1) for i in range(5)]
        await until(waiting(engine, 20))
        total = scrape_and_check(engine)
        assert total["perceiver_queued"] == 20
        assert total["perceiver_in_flight"] == 1
    done = asyncio.ensure_future(codes_of([first, *requests]))
    while not done.done():
        scrape_and_check(engine)
        await asyncio.sleep(0)
    total = scrape_and_check(engine)
    assert total["perceiver_queued"] == total["perceiver_in_flight"] == 0


def scrape_and_check(engine: Engine) -> dict[str, float]:
    """Checks the law, and returns each metric's sum over its labels."""
    total: dict[str, float] = {}
    for series, value in samples(engine).items():
        name = series.partition("{")[0]
        total[name] = total.get(name, 0) + value
    assert total["perceiver_received_total"] == (
        total["perceiver_requests_total"] + total["perceiver_queued"] + total["perceiver_in_flight"]
    )
    return total


async def test_random_names_leave_no_trace_in_the_metrics(engine: Engine) -> None:  # L6
    before = set(samples(engine))
    for i in range(200):
        assert (await refusal(engine, [], model=f"nobody-{i}")).code == "unknown_model"
    assert set(samples(engine)) == before


async def test_the_loop_is_never_blocked_for_long(engine: Engine) -> None:
    longest, busy = 0.0, True

    async def watch() -> None:
        nonlocal longest
        while busy:
            began = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    await codes_of(ask(engine, *(f"text {i} {j}" for j in range(50))) for i in range(4))
    busy = False
    await watching
    assert longest < 0.5  # generous: the machine has other things to do
