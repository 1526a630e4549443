"""A supervised child process: started, called, timed, killed, started again.

    starting ──first frame──► ready ──call──► busy ──reply──► ready
        └── Failed as its first frame: it can never work as configured, and is not started again
        └───────────── died (exit, EOF, kill, time limit) ─────────► back-off ──► starting

The pending call of a process that dies fails with ChildDied at once; later calls wait for the next
process.  One call runs at a time, first come first served.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any, NoReturn

import msgspec

from server.frames import MAX_BODY, AsyncChannel, FrameError, Row
from server.messages import Failed
from server.spawn import python

log = logging.getLogger(__name__)

START_LIMIT_S = 120.0
LONGEST_BACK_OFF_S = 30.0
Reply = tuple[Any, list[Row]]


class ChildDied(Exception):
    """The process ended, or was killed for being late, before it replied."""

    def __init__(self, reason: str, *, late: bool = False) -> None:
        super().__init__(reason)
        self.late = late


class _Refused(Exception):
    """The process says that it cannot work with its options."""


class Child:
    """Keeps one `python -m MODULE FD OPTIONS` alive and carries calls to it."""

    def __init__(
        self,
        module: str,
        options: msgspec.Struct,
        replies: Any,
        *,
        max_body: int = MAX_BODY,
    ) -> None:
        self.restarts = 0
        self.on_ready: Callable[[], None] = lambda: None
        self.on_death: Callable[[], None] = lambda: None
        self.refusal: asyncio.Future[str]  # why it can never work; from start() on
        self.tried: asyncio.Future[None]  # the first process works, or has ended; likewise
        self.hello: Any = None  # the first message of the running process
        self._module = module
        self._options = msgspec.json.encode(options).decode()
        self._replies = replies
        self._max_body = max_body
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: AsyncChannel[Any] | None = None  # set while the process can take a call
        self._reply: asyncio.Future[Reply] | None = None  # of the call under way
        self._exchange_task: asyncio.Task[Reply] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._ready = asyncio.Event()
        self._closed = False
        self.waiting = 0  # the weights of the calls that wait or are under way

    def start(self) -> None:
        """Starts the process, and again whenever it dies."""
        loop = asyncio.get_running_loop()
        self.refusal, self.tried = loop.create_future(), loop.create_future()
        self._supervisor = asyncio.create_task(self._supervise())

    @property
    def ready(self) -> bool:
        """True while the process can take a call."""
        return self._channel is not None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process else None

    async def wait_ready(self) -> None:
        """Returns when the process can take a call, or when it never will again."""
        await self._ready.wait()

    async def call(
        self, message: msgspec.Struct, rows: Sequence[Row] = (), *, limit_s: float, weight: int = 1
    ) -> Reply:
        """Sends a message and returns the reply.

        Raises ChildDied where the process ends first, or is killed because it takes longer than
        `limit_s` seconds; FrameError where the rows cannot be sent.  A caller who is cancelled
        while waiting for his turn is forgotten; later, the call runs on and its reply is dropped.
        """
        self.waiting += weight
        try:
            await self._turn.acquire()
            try:
                await self._ready.wait()
            except BaseException:
                self._turn.release()
                raise
        except BaseException:
            self.waiting -= weight
            raise
        self._exchange_task = asyncio.create_task(self._exchange(message, rows, limit_s))
        self._exchange_task.add_done_callback(partial(self._exchanged, weight))
        return await asyncio.shield(self._exchange_task)

    async def close(self) -> None:
        """Ends the process for good; calls under way and calls to come raise ChildDied."""
        self._closed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        if self._process is not None:  # the cancellation cut its reaping short
            await asyncio.to_thread(self._process.wait)
        self._ready.set()

    def _exchanged(self, weight: int, task: asyncio.Task[Reply]) -> None:
        self.waiting -= weight
        self._turn.release()
        if not task.cancelled():
            task.exception()  # seen, also where the caller has gone

    async def _exchange(
        self, message: msgspec.Struct, rows: Sequence[Row], limit_s: float
    ) -> Reply:
        channel, process = self._channel, self._process
        if channel is None or process is None:
            raise ChildDied("the process ended")
        buffers = channel.pack(message, rows)
        self._reply = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit_s):
                await channel.send(buffers)
                return await self._reply
        except TimeoutError:
            self._stop_using(process)
            raise ChildDied(f"no reply within {limit_s:g} s", late=True) from None
        except OSError:
            self._stop_using(process)
            raise ChildDied("the process ended") from None
        finally:
            self._reply = None

    def _stop_using(self, process: subprocess.Popen[bytes]) -> None:
        """No more calls to this process; its death wakes the supervisor."""
        self._channel = None
        self._ready.clear()
        process.kill()
        self.on_death()

    async def _supervise(self) -> None:
        failed_starts = 0
        while True:
            try:
                failed_starts = 0 if await self._live() else failed_starts + 1
            except _Refused as refused:
                self.refusal.set_result(str(refused))
                self._ready.set()
                return
            except Exception:  # no descriptors, no memory: perhaps later
                log.exception("%s cannot be started", self._module)
                failed_starts += 1
            finally:
                self._has_tried()
            self.restarts += 1
            await asyncio.sleep(_back_off_s(failed_starts))

    async def _live(self) -> bool:
        """One process from start to death; True if it got as far as its first words."""
        ours, theirs = socket.socketpair()
        channel = AsyncChannel[Any](ours, self._replies, self._max_body)
        with closing(channel):
            with theirs:
                process = self._process = self._spawn(theirs.fileno())
            try:
                await self._listen(channel)
            except (EOFError, OSError, FrameError) as error:
                reason = repr(error)
            finally:
                greeted = self.hello is not None
                self._stop_using(process)
                if self._reply is not None and not self._reply.done():
                    self._reply.set_exception(ChildDied("the process ended"))
                await asyncio.to_thread(process.wait)  # reaped: no zombies; it has been killed
                self._process = self.hello = None
        log.warning("%s has ended (exit %s, %s)", self._module, process.returncode, reason)
        return greeted

    async def _listen(self, channel: AsyncChannel[Any]) -> NoReturn:
        """Hands replies to the call under way, until the process ends."""
        async with asyncio.timeout(START_LIMIT_S):
            self.hello, _ = await channel.receive()
        if isinstance(self.hello, Failed):
            raise _Refused(self.hello.message)
        self._channel = channel
        self._ready.set()
        self._has_tried()
        self.on_ready()
        while True:
            reply = await channel.receive()
            if self._reply is None or self._reply.done():
                raise FrameError("it spoke without being asked")
            self._reply.set_result(reply)

    def _has_tried(self) -> None:
        if not self.tried.done():
            self.tried.set_result(None)

    def _spawn(self, fd: int) -> subprocess.Popen[bytes]:
        command, env = python(self._module, str(fd), self._options)
        return subprocess.Popen(
            command,
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=2,  # where stderr goes: stdout may be somebody's pipe
            env=env,
            process_group=0,  # Ctrl-C in a terminal is for us, who end it
        )


def _back_off_s(failed_starts: int) -> float:
    """0 after a life that got going, else 1, 2, 4 … 30 seconds."""
    if failed_starts == 0:
        return 0.0
    return min(2.0 ** (failed_starts - 1), LONGEST_BACK_OFF_S)
