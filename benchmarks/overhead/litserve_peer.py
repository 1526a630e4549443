"""LitServe with its defaults and one worker: `litserve_peer.py PORT`, in an environment of its own.

The model is in another process, as ours is.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve


class Nothing(litserve.LitAPI):  # type: ignore[misc]  # it is Any: LitServe is not here
    def setup(self, device: str) -> None:
        pass

    def predict(self, x: dict[str, Any]) -> dict[str, float]:
        return {"output": 1.0}


if __name__ == "__main__":
    server = litserve.LitServer(Nothing(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
