"""The Prometheus metrics.  Counters and gauges are read where they live, all in one scrape.

Nothing here can be labelled by a client: models come from the catalogue, protocols, outcomes and
codes from our own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, get_args

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.batcher import Batcher
from server.child import Child
from server.errors import Outcome
from server.ledger import Ledger
from server.registry import Registry

Key = TypeVar("Key", bound=tuple[str, ...])

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128)


class Histograms:
    """What is observed as it happens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def histogram(
            name: str,
            text: str,
            labels: tuple[str, ...] = ("model",),
            buckets: tuple[float, ...] = SECONDS,
        ) -> Histogram:
            return Histogram(
                f"perceiver_{name}", text, labels, buckets=buckets, registry=self.registry
            )

        self.request = histogram(
            "request_seconds",
            "From receipt to the end, whatever the outcome.",
            ("model", "protocol"),
        )
        self.queue = histogram(
            "queue_seconds", "Wait for room and for the device, loading included."
        )
        self.decode = histogram("decode_seconds", "Checking and preprocessing of a request.")
        self.compute = histogram("compute_seconds", "A batch on the device.")
        self.items = histogram("batch_items", "Rows in a batch.", buckets=ITEMS)

    def batch(self, model: str, items: int, seconds: float) -> None:
        """Observes one batch."""
        self.compute.labels(model).observe(seconds)
        self.items.labels(model).observe(items)


class Metrics(Collector):
    """The whole registry.  A scrape has no await in it, so it shows one moment."""

    def __init__(
        self,
        histograms: Histograms,
        ledger: Ledger,
        batcher: Batcher,
        registry: Registry,
        worker: Child,
    ) -> None:
        self._ledger = ledger
        self._batcher = batcher
        self._registry = registry
        self._worker = worker
        self._prometheus = histograms.registry
        self._prometheus.register(self)

    def render(self) -> bytes:
        """The text format 0.0.4."""
        return generate_latest(self._prometheus)

    def collect(self) -> Iterator[Metric]:
        """One snapshot: received = the sum of the outcomes + queued + in_flight."""
        yield from self._requests()
        yield from self._device()

    def _requests(self) -> Iterator[Metric]:
        ledger, labels = self._ledger, ("model", "protocol")
        ended = {
            (*key, outcome): ledger.ended[*key, outcome]
            for key in ledger.received
            for outcome in get_args(Outcome)
        }
        gauges = [
            {key: gauge[key] for key in ledger.received}
            for gauge in (ledger.queued, ledger.in_flight)
        ]
        yield _counter("received", "Requests that reached the engine.", labels, ledger.received)
        yield _counter("requests", "Requests that have ended.", (*labels, "outcome"), ended)
        yield _counter(
            "refused",
            "Requests that never reached the engine.",
            ("protocol", "code"),
            ledger.refused,
        )
        yield _gauge("queued", "Requests not yet on the device.", labels, gauges[0])
        yield _gauge("in_flight", "Requests on the device or being answered.", labels, gauges[1])

    def _device(self) -> Iterator[Metric]:
        registry = self._registry
        resident = {
            (name,): slot.resident_bytes
            for name, slot in registry.slots.items()
            if slot.entry.folder is not None
        }
        loads = {(outcome,): registry.loads[outcome] for outcome in ("completed", "failed")}
        computed = {(model,): n for model, n in self._batcher.items_computed.items()}
        batches = {(model,): n for model, n in self._batcher.batches.items()}
        yield _gauge("model_resident_bytes", "Bytes on the device.", ("model",), resident)
        yield _counter("items_computed", "Rows computed.", ("model",), computed)
        yield _counter("batches", "Batches computed.", ("model",), batches)
        yield _counter("model_loads", "Loads of models.", ("outcome",), loads)
        yield _counter("evictions", "Models evicted.", (), {(): registry.evictions})
        yield _counter("worker_restarts", "Deaths of the worker.", (), {(): self._worker.restarts})


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[Key, float]) -> Metric:
    family = CounterMetricFamily(f"perceiver_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Key, float]) -> Metric:
    family = GaugeMetricFamily(f"perceiver_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
