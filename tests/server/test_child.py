"""A supervised process: it answers, it dies, it comes back, and nobody waits for ever."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from server.child import Child, ChildDied, _back_off_s
from tests.open_files import open_files
from tests.server import echo_child as echo
from tests.server.serving import until

LIMIT_S = 30.0


@asynccontextmanager
async def running(options: echo.Options | None = None) -> AsyncIterator[Child]:
    child = Child("tests.server.echo_child", options or echo.Options(), echo.Reply)
    child.start()
    try:
        yield child
    finally:
        await child.close()


async def say(child: Child, text: str) -> str:
    reply, _ = await child.call(echo.Echo(text), limit_s=LIMIT_S)
    return str(reply.text)


async def test_it_answers_with_rows() -> None:
    async with running() as child:
        rows = [{"x": np.arange(5)}, {}]
        reply, back = await child.call(echo.Echo("hello"), rows, limit_s=LIMIT_S)
        assert reply == echo.Echo("hello")
        np.testing.assert_array_equal(back[0]["x"], np.arange(5))
        assert isinstance(child.hello, echo.Hello)
        assert child.hello.pid == child.pid


async def test_calls_are_served_in_turn_each_with_its_own_reply() -> None:
    async with running() as child:
        texts = [str(i) for i in range(50)]
        assert await asyncio.gather(*(say(child, text) for text in texts)) == texts


async def test_a_killed_process_fails_its_call_at_once_and_is_replaced() -> None:
    async with running() as child:
        await child.wait_ready()
        first = child.pid
        assert first is not None
        hanging = asyncio.create_task(child.call(echo.Hang(), limit_s=LIMIT_S))
        waiting = asyncio.create_task(say(child, "after"))
        await until(lambda: child._reply is not None)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ChildDied, match="ended"):
            await asyncio.wait_for(hanging, 5)
        assert await waiting == "after"  # it waited for the next process
        assert child.pid != first
        assert child.restarts == 1
        assert not psutil.pid_exists(first)  # reaped, no zombie


async def test_many_deaths_leave_nothing_behind() -> None:
    async with running() as child:
        await say(child, "warm")
        me = psutil.Process()
        files, threads = open_files(), threading.active_count()
        for deaths in range(1, 6):
            with pytest.raises(ChildDied):
                await child.call(echo.Die(), limit_s=LIMIT_S)
            assert await say(child, "back") == "back"
            assert child.restarts == deaths
        assert (open_files() - files).total() == 1  # the last process's socket
        assert threading.active_count() < threads + deaths  # the one that reaps is kept
        assert [c.status() for c in me.children() if c.status() == psutil.STATUS_ZOMBIE] == []


async def test_a_death_while_idle_is_noticed() -> None:
    async with running() as child:
        died = asyncio.Event()
        await say(child, "warm")
        child.on_death = died.set
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await asyncio.wait_for(died.wait(), 5)
        assert not child.ready
        assert await say(child, "back") == "back"


async def test_a_stopped_process_is_killed_at_the_time_limit() -> None:
    async with running() as child:
        await say(child, "warm")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(ChildDied, match=r"within 0\.2 s") as caught:
            await child.call(echo.Echo("anybody?"), limit_s=0.2)
        assert caught.value.late
        assert await say(child, "back") == "back"
        assert child.restarts == 1


async def test_a_large_message_to_a_stopped_process_does_not_hang_either() -> None:
    async with running() as child:
        await say(child, "warm")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(ChildDied):
            await child.call(echo.Echo(""), [{"x": np.zeros(10_000_000)}], limit_s=0.2)
        assert await say(child, "back") == "back"


async def test_a_caller_who_leaves_in_the_queue_is_never_served(tmp_path: Path) -> None:
    async with running() as child:
        await say(child, "warm")
        first = asyncio.create_task(child.call(echo.Sleep(0.2), limit_s=LIMIT_S))
        leaver = asyncio.create_task(child.call(echo.Die(), limit_s=LIMIT_S))
        last = asyncio.create_task(say(child, "last"))
        await until(lambda: child.waiting == 3)
        leaver.cancel()
        await first
        assert await last == "last"
        assert child.restarts == 0  # nobody told it to die


async def test_a_caller_who_leaves_while_served_takes_no_reply_of_others() -> None:
    async with running() as child:
        await say(child, "warm")
        leaver = asyncio.create_task(child.call(echo.Sleep(0.2), limit_s=LIMIT_S))
        await until(lambda: child._reply is not None)
        leaver.cancel()
        assert await say(child, "mine") == "mine"
        assert child.restarts == 0


@pytest.mark.parametrize("nonsense", [echo.Garbage(), echo.Babble()])
async def test_a_process_that_talks_nonsense_is_replaced(nonsense: echo.Call) -> None:
    async with running() as child:
        await say(child, "warm")
        first = child.pid
        with suppress(ChildDied):
            await child.call(nonsense, limit_s=LIMIT_S)
        await until(lambda: child.pid != first and child.ready)
        assert await say(child, "back") == "back"


async def test_rows_that_cannot_be_sent_harm_nobody_else() -> None:
    async with running() as child:
        with pytest.raises(ValueError, match="dtype"):
            await child.call(echo.Echo(""), [{"x": np.zeros(1, object)}], limit_s=LIMIT_S)
        assert await say(child, "next") == "next"
        assert child.restarts == 0


async def test_a_process_that_dies_at_start_is_tried_again_and_callers_wait(tmp_path: Path) -> None:
    key, starts = tmp_path / "key", tmp_path / "starts"
    async with running(echo.Options(starts=str(starts), key=str(key))) as child:
        waiting = asyncio.create_task(say(child, "at last"))
        await until(lambda: child.restarts == 1)
        assert not waiting.done()
        key.touch()
        assert await waiting == "at last"
        assert len(starts.read_text().split()) == child.restarts + 1


def test_the_back_off_doubles_to_half_a_minute() -> None:
    assert [_back_off_s(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


async def test_a_module_that_does_not_exist_only_backs_off() -> None:
    child = Child("tests.server.no_such_module", echo.Options(), echo.Reply)
    child.start()
    await until(lambda: child.restarts == 1)
    await child.close()


async def closed_while(child: Child, work: Awaitable[object]) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    await child.close()
    with pytest.raises(ChildDied):
        await asyncio.wait_for(task, 5)


async def test_closing_answers_the_call_under_way() -> None:
    async with running() as child:
        await say(child, "warm")
        pid = child.pid
        assert pid is not None
        await closed_while(child, child.call(echo.Hang(), limit_s=LIMIT_S))
        assert not psutil.pid_exists(pid)


async def test_closing_answers_calls_that_wait_for_the_start(tmp_path: Path) -> None:
    async with running(echo.Options(key=str(tmp_path / "never"))) as child:
        await closed_while(child, child.call(echo.Echo(""), limit_s=LIMIT_S))


async def test_closing_reaps_a_process_that_has_just_been_killed() -> None:
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        async with running() as child:
            await say(child, "warm")
            pid, died, busy = child.pid, asyncio.Event(), threading.Event()
            assert pid is not None
            child.on_death = died.set
            threads.submit(busy.wait)  # the thread that would reap it has other work
            call = asyncio.create_task(child.call(echo.Garbage(), limit_s=LIMIT_S))
            await died.wait()
            closing = asyncio.create_task(child.close())
            await asyncio.wait([call])
            busy.set()
            await closing
            assert call.exception() is not None
            assert not psutil.pid_exists(pid)


async def test_a_closed_child_refuses_calls() -> None:
    async with running() as child:
        await child.close()
        with pytest.raises(ChildDied):
            await asyncio.wait_for(say(child, ""), 5)
        await asyncio.wait_for(child.wait_ready(), 5)


PARENT = """
import asyncio
from server.child import Child
from tests.server import echo_child as echo
from tests.server.serving import until

async def main():
    child = Child("tests.server.echo_child", echo.Options(), echo.Reply)
    child.start()
    await child.wait_ready()
    call = asyncio.create_task(child.call(echo.{call}, limit_s=60))
    await asyncio.sleep(0)
    print(child.pid, flush=True)
    await call
    await asyncio.sleep(60)

asyncio.run(main())
"""


def gone(pid: int) -> bool:
    """Ended; a zombie is its new parent's business."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("call", ["Echo('idle')", "Hang()"])
async def test_no_child_outlives_its_parent(call: str) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220 (the parent is the thing under test)
        [sys.executable, "-c", PARENT.format(call=call)], stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    await until(lambda: gone(pid))


def test_what_children_print_comes_out_on_stderr() -> None:
    script = PARENT.format(call="Echo('')").replace("asyncio.sleep(60)", "child.close()")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip().isdigit()  # the pid that the parent printed
    assert "echo child is up" in done.stderr


async def test_signals_to_the_whole_group_do_not_stop_a_child() -> None:
    async with running() as child:
        await say(child, "warm")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGINT)
        os.kill(child.pid, signal.SIGTERM)
        assert await say(child, "still here") == "still here"
        assert child.restarts == 0
