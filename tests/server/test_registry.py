"""Models: which there are, loading them once, failing and coming back, making room."""

import asyncio
import select
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.catalogue import Catalogue
from server.config import Settings
from server.engine import Engine
from server.errors import Fault
from server.registry import ModelStatus
from tests.server.serving import (
    TASK,
    ask,
    at_rest,
    code_of,
    codes_of,
    held,
    lawful,
    light,
    serving,
    settings_of,
    until,
    waiting,
)
from tests.tiny import make_fill_mask, make_text_classifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: list[dict[str, object]] = [
    {"on": "load", "model": "slow", "action": "delay", "seconds": 0.5},
    {"on": "load", "model": "lonely", "action": "delay", "seconds": 0.5},
    {"on": "load", "model": "killer", "action": "crash"},
    {"on": "load", "model": "huge", "action": "oom"},
    {"on": "load", "model": "buggy", "action": "raise"},
]


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of good and bad models."""
    folder = tmp_path_factory.mktemp("registry")
    models = folder / "models"
    for name in (
        "tiny",
        "other",
        "slow",
        "lonely",
        "killer",
        "huge",
        "buggy",
        "truncated",
        "pickle-beside",
    ):
        make_text_classifier(models / name)
    (models / "pickle-beside" / "pytorch_model.bin").write_bytes(b"\x80\x04never read")
    make_fill_mask(models / "masked")
    truncate(models / "truncated")
    for name in ("pickled", "no-config", "no-weights", "odd-architecture", "odd-types", "not-json"):
        shutil.copytree(models / "tiny", models / name)
    (models / "pickled" / "model.safetensors").rename(models / "pickled" / "pytorch_model.bin")
    (models / "no-config" / "config.json").unlink()
    (models / "no-weights" / "model.safetensors").unlink()
    (models / "odd-architecture" / "config.json").write_text('{"architectures": ["BertModel"]}')
    (models / "odd-types" / "config.json").write_text('{"architectures": 5, "id2label": [[]]}')
    (models / "not-json" / "config.json").write_text("{")
    shutil.copytree(models / "tiny", models / ".hidden")
    (models / "a-file").touch()
    return folder


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(folder: Path) -> AsyncIterator[Engine]:
    async with serving(folder, PLAN) as engine:
        yield engine
        assert lawful(engine)
        assert at_rest(engine)


def status(engine: Engine, name: str) -> ModelStatus:
    return next(model for model in engine.models() if model.name == name)


async def fault_of(engine: Engine, model: str) -> Fault:
    with pytest.raises(Fault) as caught:
        await ask(engine, "hello", model=model)
    return caught.value


# The catalogue


async def test_the_catalogue_lists_every_model_with_its_state(engine: Engine) -> None:
    assert status(engine, "tiny").task == TASK
    assert status(engine, "tiny").default
    assert status(engine, "masked").task == "fill-mask"
    assert status(engine, "pickle-beside").problem is None
    assert status(engine, "language-perceiver").state == "not_pulled"
    assert not {".hidden", "a-file"} & {model.name for model in engine.models()}


async def test_a_model_of_the_hub_names_the_command_that_brings_it(engine: Engine) -> None:
    with pytest.raises(Fault, match="`perceiver-server pull language-perceiver`") as caught:
        await engine.predict("fill-mask", [], model="language-perceiver")
    assert caught.value.code == "model_not_pulled"


@pytest.mark.parametrize(
    ("task", "model", "code"),
    [
        (TASK, "nobody", "unknown_model"),
        (TASK, "../tiny", "unknown_model"),
        (TASK, "masked", "unknown_model"),  # it does fill-mask
        ("translation", None, "unknown_task"),
    ],
)
async def test_what_is_not_there_is_not_counted_as_a_request(
    engine: Engine, task: str, model: str | None, code: str
) -> None:
    before = sum(engine.ledger.received.values())
    with pytest.raises(Fault) as caught:
        await engine.predict(task, [], model=model)
    assert caught.value.code == code
    assert not caught.value.counted
    assert sum(engine.ledger.received.values()) == before


async def test_settings_that_name_models_wrongly_are_refused(folder: Path, tmp_path: Path) -> None:
    for wrong in (
        {"models": {"../x": tmp_path}},
        {"models": {"tiny": tmp_path / "nowhere"}},
        {"default_models": {TASK: "nobody"}},
        {"default_models": {"no-task": "tiny"}},
        {"default_models": {"fill-mask": "tiny"}},
        {"default_models": {"fill-mask": "vision-perceiver-conv"}},
    ):
        with pytest.raises(ValueError, match="model"):
            Catalogue(settings_of(folder, **wrong))


async def test_a_configured_model_wins_over_the_repository(folder: Path, tmp_path: Path) -> None:
    make_fill_mask(tmp_path / "elsewhere")
    catalogue = Catalogue(
        settings_of(folder, models={"tiny": tmp_path / "elsewhere"}, default_models={})
    )
    assert catalogue["tiny"].task == "fill-mask"


async def test_an_empty_configuration_has_the_embedded_models_as_defaults() -> None:
    catalogue = Catalogue(Settings())
    for entry in catalogue:
        if entry.source == "embedded" and entry.task is not None:
            default = catalogue.default(entry.task)
            assert default is not None
            assert catalogue[default].source == "embedded"


# Loading


async def test_fifty_first_requests_are_one_load(engine: Engine) -> None:  # L1
    before = engine.registry.loads["completed"]
    assert await codes_of(ask(engine, f"text {i}", model="other") for i in range(50)) == ["ok"] * 50
    assert engine.registry.loads["completed"] == before + 1
    assert status(engine, "other").state == "loaded"
    assert status(engine, "other").resident_bytes > 0


async def test_callers_do_not_wait_for_a_load_beyond_their_deadline(engine: Engine) -> None:  # L3
    before = engine.registry.loads["completed"]
    hasty = [ask(engine, f"hasty {i}", model="slow", timeout_ms=50) for i in range(5)]
    assert await codes_of(hasty) == ["deadline"] * 5
    assert status(engine, "slow").state == "loading"
    assert await code_of(ask(engine, "patient", model="slow")) == "ok"
    assert engine.registry.loads["completed"] == before + 1


async def test_a_load_that_nobody_waits_for_any_more_is_not_lost(engine: Engine) -> None:  # L3
    loads, restarts = engine.registry.loads["completed"], engine.worker.restarts
    hasty = [ask(engine, f"hasty {i}", model="lonely") for i in range(5)]
    await until(lambda: status(engine, "lonely").state == "loading")
    for request in hasty:
        request.cancel()
    assert await codes_of(hasty) == ["cancelled"] * 5
    await until(lambda: status(engine, "lonely").state == "loaded")
    assert engine.worker.restarts == restarts
    assert await code_of(ask(engine, "hello", model="lonely")) == "ok"
    assert engine.registry.loads["completed"] == loads + 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("truncated", "model.safetensors"),
        ("pickled", "pytorch_model.bin"),
        ("no-config", "config.json"),
        ("no-weights", "model.safetensors is missing"),
        ("odd-architecture", "BertModel"),
        ("not-json", "config.json"),
        ("odd-types", "cannot be used"),
        ("buggy", "cannot be used"),
    ],
)
async def test_a_broken_model_says_why_and_names_no_path(
    engine: Engine, folder: Path, model: str, reason: str
) -> None:
    fault = await fault_of(engine, model)
    assert fault.code == "load_failed"
    assert reason in fault.message
    assert str(folder) not in fault.message
    assert "/" not in fault.message
    assert 0 < (fault.retry_after or 0) <= 30
    assert status(engine, model).state == "failed"
    assert await code_of(ask(engine, "others are well")) == "ok"


async def test_a_failed_load_is_remembered_for_a_while(engine: Engine, folder: Path) -> None:  # L2
    make_text_classifier(folder / "models" / "truncated")
    truncate(folder / "models" / "truncated")
    engine.registry.slots["truncated"].retry_at = 0.0
    failed = engine.registry.loads["failed"]
    for _ in range(100):
        fault = await fault_of(engine, "truncated")
    assert engine.registry.loads["failed"] - failed == 1
    make_text_classifier(folder / "models" / "truncated")
    assert (await fault_of(engine, "truncated")).code == "load_failed"  # not yet
    await asyncio.sleep(fault.retry_after or 0)
    assert await code_of(ask(engine, "hello", model="truncated")) == "ok"
    assert status(engine, "truncated").problem is None


async def test_a_folder_that_lacked_its_small_files_can_be_repaired(
    engine: Engine, folder: Path
) -> None:
    models = folder / "models"
    fault = await fault_of(engine, "no-config")
    shutil.copy(models / "tiny" / "config.json", models / "no-config" / "config.json")
    await asyncio.sleep(fault.retry_after or 0)
    assert await code_of(ask(engine, "hello", model="no-config")) == "ok"


async def test_the_back_off_doubles_to_half_a_minute(engine: Engine) -> None:
    slot = engine.registry.slots["not-json"]
    waits = []
    for slot.failures in range(8):
        slot.retry_at = 0.0
        waits.append((await fault_of(engine, "not-json")).retry_after)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_a_model_too_large_for_the_device_is_out_of_memory(engine: Engine) -> None:
    assert (await fault_of(engine, "huge")).code == "out_of_memory"
    assert await code_of(ask(engine, "others are well")) == "ok"


async def test_a_model_that_kills_the_worker_gets_one_second_chance(engine: Engine) -> None:
    restarts = engine.worker.restarts
    async with held(engine) as first:
        killer = ask(engine, "hello", model="killer")
        await until(waiting(engine, 1))
        others = [ask(engine, f"text {i}") for i in range(3)]
        await until(waiting(engine, 4))
    assert await code_of(killer) == "load_failed"
    assert await codes_of([first, *others]) == ["ok"] * 4
    assert engine.worker.restarts == restarts + 2
    assert engine.registry.slots["killer"].failures == 1


async def test_a_worker_that_dies_as_soon_as_it_has_loaded_has_nothing_loaded(
    tmp_path: Path,
) -> None:
    folder = make_text_classifier(tmp_path / "models" / "brief")
    last_words = folder / "last-words"
    last_words.touch()
    async with light(tmp_path) as engine:
        request = ask(engine, "hello", model="brief")
        while engine.worker._reply is None:  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0)
        assert engine.worker._channel is not None
        poll = select.poll()
        poll.register(engine.worker._channel._sock, select.POLLRDHUP)
        poll.poll()  # the event loop stands still: the reply and the death come to it at once
        last_words.unlink()
        assert await code_of(request) == "ok"
        assert engine.worker.restarts == 1
        assert engine.registry.loads["completed"] == 1


# Making room


def resident(engine: Engine) -> int:
    return sum(model.resident_bytes for model in engine.models())


async def test_five_models_take_turns_in_room_for_two(tmp_path: Path) -> None:  # L4
    names = "abcde"
    for name in names:
        make_text_classifier(tmp_path / "models" / name)
    size = (tmp_path / "models" / "a" / "model.safetensors").stat().st_size
    budget = int(2.5 * size)
    async with serving(tmp_path, memory_budget=budget, max_batch=2) as engine:
        peak = 0
        registry, evict = engine.registry, engine.registry.evict
        served: list[bool] = []  # of each evicted while somebody waited for it: used last

        async def watched(name: str) -> None:
            if name in engine.batcher._waiting.models():
                served.append(registry.slots[name].used == registry._uses)
            await evict(name)

        registry.evict = watched  # type: ignore[method-assign]  # it watches, and calls the real one

        async def client(model: str, number: int) -> str:
            nonlocal peak
            code = await code_of(ask(engine, f"{number}", model=model))
            peak = max(peak, resident(engine))
            return code

        clients = []
        async with held(engine):
            # In turn, and more of each than the two batches that run before the third model comes:
            # the first one then leaves while somebody waits for it, however fast anything is.
            for number, model in enumerate(names * 6):
                clients.append(asyncio.create_task(client(model, number)))
                await until(waiting(engine, number + 1))
        assert await asyncio.gather(*clients) == ["ok"] * 30
        assert engine.registry.evictions > 0
        assert 0 < peak <= budget
        # Loads are the dear part: nobody is evicted before a batch of his waiting rows has run.
        assert served
        assert all(served)


async def test_the_least_recently_used_model_leaves_first(tmp_path: Path) -> None:
    for name in "abc":
        make_text_classifier(tmp_path / "models" / name)
    size = (tmp_path / "models" / "a" / "model.safetensors").stat().st_size
    async with serving(tmp_path, memory_budget=int(2.5 * size)) as engine:
        for name in "abac":
            assert await code_of(ask(engine, "hello", model=name)) == "ok"
        states = {name: status(engine, name).state for name in "abc"}
        assert states == {"a": "loaded", "b": "unloaded", "c": "loaded"}


async def test_rows_that_wait_for_a_model_are_served_before_it_is_evicted(tmp_path: Path) -> None:
    for name in "ab":
        make_text_classifier(tmp_path / "models" / name)
    size = (tmp_path / "models" / "a" / "model.safetensors").stat().st_size
    async with serving(
        tmp_path, default_models={TASK: "a"}, memory_budget=int(1.5 * size)
    ) as engine:
        async with held(engine) as first:
            newcomer = ask(engine, "needs room", model="b")
            await until(waiting(engine, 1))
            residents = [ask(engine, f"text {i}") for i in range(20)]
            await until(waiting(engine, 21))
        assert await codes_of([first, newcomer, *residents]) == ["ok"] * 22
        assert engine.registry.loads["completed"] == 2
        assert engine.registry.evictions == 1


async def test_nobody_leaves_for_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    for name in ("a", "buggy", "truncated"):
        make_text_classifier(tmp_path / "models" / name)
    truncate(tmp_path / "models" / "truncated")
    size = (tmp_path / "models" / "a" / "model.safetensors").stat().st_size
    async with serving(
        tmp_path, PLAN, default_models={TASK: "a"}, memory_budget=int(1.5 * size)
    ) as engine:
        for _ in range(2):
            assert await code_of(ask(engine, "hello", model="truncated")) == "load_failed"
            engine.registry.slots["truncated"].retry_at = 0.0
        assert status(engine, "a").state == "loaded"
        assert engine.registry.evictions == 0

        assert await code_of(ask(engine, "hello", model="buggy")) == "load_failed"
        assert await code_of(ask(engine, "back again")) == "ok"
        assert engine.registry.evictions == 1
        now = asyncio.get_running_loop().time()
        engine.registry.slots["buggy"].retry_at = now + 60
        ticket = engine.ledger.receive("buggy", "rest", now + 60)
        with pytest.raises(Fault) as caught:  # as a request that was prepared before the failure
            await engine.batcher.submit(ticket, "buggy", [{}])
        ticket.end("failed")
        assert caught.value.code == "load_failed"
        assert engine.registry.evictions == 1


async def test_a_model_beyond_the_whole_budget_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        make_text_classifier(tmp_path / "models" / name, d_latents=32 if name == "a" else 64)
    size = (tmp_path / "models" / "a" / "model.safetensors").stat().st_size
    async with serving(tmp_path, default_models={TASK: "a"}, memory_budget=size) as engine:
        with pytest.raises(Fault, match="memory budget") as caught:
            await ask(engine, "does not", model="b")
        assert caught.value.code == "out_of_memory"
        assert status(engine, "a").state == "loaded"  # nobody left for nothing
