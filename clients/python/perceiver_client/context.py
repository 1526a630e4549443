"""What surrounds one call: its id and its deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Context:
    """timeout: seconds for all tries and the waits between them, from now on; request_id: the same
    for all tries, in errors here and in the server's log."""

    timeout: float
    request_id: str
    started: float = field(default_factory=time.monotonic)

    def remaining(self) -> float:
        """Seconds; not positive once the deadline has passed."""
        return self.started + self.timeout - time.monotonic()
