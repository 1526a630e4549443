"""The configuration: one frozen value, built at the door and passed down.

Sources, weakest first: the defaults below, `--config FILE.yaml`, the environment (`PERCEIVER_…`),
flags.  A field is written once, here; its flag, its environment variable, its YAML key and its
help text are derived from it (server/options.py).  No other module reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, model_validator

MIB = 1024 * 1024
PREFIX = "PERCEIVER_"  # of every environment variable


def _mapping(value: object) -> object:
    """`"a=b,c=d"`, as flags and the environment carry it, becomes {"a": "b", "c": "d"}."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not key.strip() or not equals or not item.strip() for key, equals, item in pairs):
        raise ValueError("expected NAME=VALUE[,NAME=VALUE…]")
    return {key.strip(): item.strip() for key, _, item in pairs}


def _unset(value: object) -> object:
    """An empty string names no path."""
    return None if value == "" else value


def _models_at_home() -> Path | None:
    """A folder of the user's; None for one who has no home, as in many a container."""
    try:
        return Path.home() / ".cache/perceiver-server/models"
    except RuntimeError:
        return None


NonEmpty = Annotated[str, Field(min_length=1)]
MapOfPaths = Annotated[dict[NonEmpty, Path], BeforeValidator(_mapping)]
MapOfNames = Annotated[dict[NonEmpty, NonEmpty], BeforeValidator(_mapping)]
OptionalPath = Annotated[Path | None, BeforeValidator(_unset)]
Bytes = Annotated[ByteSize, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseModel):
    """Everything that can be configured; invalid values refuse to become a Settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: NonEmpty = Field(
        "127.0.0.1", description="Address to listen on; anything but loopback needs --insecure."
    )
    http_port: int = Field(8000, ge=0, le=65535, description="Port of the REST door; 0 picks one.")
    grpc_port: int = Field(8001, ge=0, le=65535, description="Port of the gRPC door; 0 picks one.")
    insecure: bool = Field(
        False,
        description="Listen on a non-loopback address; the server itself checks no keys yet.",
    )

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda:\d+)$", description="Where models run: auto, cpu, cuda:N."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format; auto is bfloat16 where the machine computes it natively.",
    )
    numerics: Literal["fast", "reference"] = Field(
        "fast", description="fast kernels, or the published order of operations in float32."
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads of the worker; 0 means all cores it may use (affinity, quota).",
    )

    model_repository: OptionalPath = Field(
        None, description="Directory whose sub-folders are models, each named by its folder."
    )
    models: MapOfPaths = Field(
        default_factory=dict, description="More models: NAME=FOLDER[,NAME=FOLDER…], or a YAML map."
    )
    models_dir: OptionalPath = Field(
        default_factory=_models_at_home,
        description="Where `perceiver-server pull` puts models, and `serve` finds them.",
    )
    default_models: MapOfNames = Field(
        default_factory=dict, description="Default model of a task: TASK=NAME[,TASK=NAME…]."
    )
    memory_budget: Bytes = Field(
        ByteSize(4096 * MIB), description="Bytes of weights kept loaded; the rest is evicted."
    )

    max_batch: int = Field(32, ge=1, le=4096, description="Rows that run together at most.")
    max_queue: int = Field(
        1024, ge=1, le=1_000_000, description="Rows that may wait for the device; more gets 429."
    )
    max_inputs: int = Field(128, ge=1, le=32_768, description="Items in one request at most.")
    max_body_bytes: Bytes = Field(
        ByteSize(48 * MIB), description="Largest request body that carries an image or a video."
    )
    max_text_body_bytes: Bytes = Field(
        ByteSize(4 * MIB), description="Largest request body of a text task."
    )
    max_message_bytes: Annotated[ByteSize, Field(ge=1, le=1024 * MIB)] = Field(
        ByteSize(64 * MIB), description="Largest gRPC message, in and out."
    )
    max_streams: int = Field(
        100, ge=1, le=65_536, description="Calls under way on one gRPC connection at most."
    )
    max_pixels: int = Field(
        25_000_000,
        ge=1,
        le=178_000_000,
        description="Largest image or video frame, width times height.",
    )
    max_seconds: Seconds = Field(60.0, description="Longest video.")
    max_frames: int = Field(2000, ge=1, le=1_000_000, description="Frames of a video at most.")

    timeout_ms: int = Field(
        30_000, ge=1, description="Deadline of a request that names none (X-Timeout-Ms)."
    )
    max_timeout_ms: int = Field(300_000, ge=1, description="Longest deadline a request may name.")
    header_timeout_s: Seconds = Field(
        10.0, description="A connection whose request header takes longer is closed."
    )
    body_timeout_s: Seconds = Field(
        30.0,
        description="A request body that takes longer gets 408; an answer not read by then ends "
        "its connection.",
    )
    media_timeout_s: Seconds = Field(
        10.0, description="Decoding one image or video may take this long, then it is killed."
    )
    media_processes: int = Field(
        2,
        ge=1,
        le=64,
        description="Children that decode media, 30 MB each at rest; of several one takes no "
        "videos.",
    )
    media_memory_bytes: Bytes = Field(
        ByteSize(1024 * MIB), description="Address space that each of them may take for its work."
    )
    batch_timeout_s: Seconds = Field(
        60.0, description="A batch that runs longer counts as hung; the worker is restarted."
    )
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="After SIGTERM: not ready but still serving, so that balancers notice.",
    )
    drain_grace_s: Seconds = Field(
        30.0, description="After SIGTERM: time for accepted requests to be answered."
    )

    fault_plan: OptionalPath = Field(
        None, description="File of injected faults, for tests; loopback only."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if self.http_port == self.grpc_port != 0:
            raise ValueError(f"http_port and grpc_port are both {self.http_port}: they must differ")
        if self.timeout_ms > self.max_timeout_ms:
            raise ValueError(
                f"timeout_ms {self.timeout_ms} is above max_timeout_ms {self.max_timeout_ms}"
            )
        if self.numerics == "reference" and self.dtype == "bfloat16":
            raise ValueError(
                "numerics 'reference' computes in float32: drop --dtype bfloat16, or use "
                "--numerics fast"
            )
        if self.model_repository is not None and not self.model_repository.is_dir():
            raise ValueError(f"model_repository {str(self.model_repository)!r} is not a directory")
        return self


def refuse_unsafe(settings: Settings, host_from: str) -> None:
    """ValueError where `serve` must not listen so; `host_from` is where `host` was set.

    Commands that open no socket may have any host.
    """
    if is_loopback(settings.host):
        return
    host = f"host {settings.host!r} ({host_from})"
    check_host(settings.host)
    if settings.fault_plan is not None:
        raise ValueError(
            f"fault_plan injects faults and {host} is not loopback: drop --fault-plan, or use "
            "--host 127.0.0.1"
        )
    if not settings.insecure:
        raise ValueError(
            f"{host} is reachable from other machines and the server checks no keys: use --host "
            f"127.0.0.1, or say --insecure ({PREFIX}INSECURE=1) where something else settles who "
            "may connect"
        )


def check_host(host: str) -> None:
    """ValueError where no address is known for the host."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        raise ValueError(
            f"host {host!r} is unknown: name an address of this machine, like 127.0.0.1"
        ) from None


def variables() -> list[str]:
    """The names of the environment variables that have our prefix."""
    return sorted(name for name in os.environ if name.startswith(PREFIX))


def is_loopback(host: str) -> bool:
    """True where only this machine can connect to `host` (an address, or `localhost`)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
