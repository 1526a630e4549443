"""How long a client may take: to send its message, and to read our answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from server.engine import Engine
from server.errors import Fault
from server.rpc.errors import PROTOCOL, Context, gone
from server.rpc.hangup import hang_up

log = logging.getLogger(__name__)

FAREWELL_S = 0.1  # within it a cancellation follows the end of the stream that it has caused


class Patience:
    """The clock over every exchange.  Needs a running loop."""

    def __init__(self, engine: Engine) -> None:
        self.port = 0  # ours, once it is bound
        self._engine = engine
        self._limit_s = float(engine.settings.body_timeout_s)
        self._arriving: set[asyncio.Timeout] = set()

    async def receive(self, context: Context) -> bytes:
        """The call's message; Fault too_slow, malformed, or draining after `close`.

        Where the call ends before, that is counted here.
        """
        left_s: float | None = context.time_remaining()  # None: the call has no deadline
        limit = asyncio.timeout(self._limit_s)
        try:
            async with limit:
                self._arriving.add(limit)
                message: Any = await context.read()
                if isinstance(message, bytes):
                    return message
                await asyncio.sleep(FAREWELL_S)
        except TimeoutError:
            self._engine.check_open()
            raise Fault(
                "too_slow",
                f"the message did not arrive within {self._limit_s:g} s: "
                "send it faster, or a smaller one",
            ) from None
        except asyncio.CancelledError:
            self._engine.refuse(PROTOCOL, gone(context, left_s))
            raise
        finally:
            self._arriving.discard(limit)
        raise Fault("malformed", "the call carries no message: send one")

    def close(self) -> None:
        """Whoever is still sending a message is told that the server stops."""
        for limit in self._arriving:
            limit.reschedule(0)

    def answered(self, context: Context) -> None:
        """The answer goes out with the call's end: the client has so long to read it."""
        timer = self._timer(context)

        def done(_: Any) -> None:
            timer.cancel()

        context.add_done_callback(done)  # type: ignore[arg-type]  # the stubs want a class

    @contextmanager
    def reading(self, context: Context) -> Iterator[None]:
        """The same for what is written within the block, the call going on."""
        timer = self._timer(context)
        try:
            yield
        finally:
            timer.cancel()

    def _timer(self, context: Context) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        peer = context.peer()

        def too_late() -> None:
            log.info("an answer was not read within %g s: its connection ends", self._limit_s)
            loop.run_in_executor(None, hang_up, peer, self.port)

        return loop.call_later(self._limit_s, too_late)
