"""Numbers of a service for Prometheus, named `tianshu_<service>_<what>_<unit>` (edge: prometheus_client).

Beside them stand `tianshu_up` and what the process uses: start time, processor seconds, open files, resident bytes.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServiceMetrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Gauge("tianshu_up", "1 while the service runs.", ["service"], registry=self._registry).labels(service).set(1)

    def counter(self, name: str, help: str) -> Counter:
        """What only grows, and is counted here: `counter.inc()`. `_total` is added to its name."""
        return Counter(self._full(name), help, registry=self._registry)

    def counted(self, name: str, help: str, read: Callable[[], float]) -> None:
        """What only grows, and is counted elsewhere: `read` is called at each scrape, in another thread."""
        self._registry.register(_CountedElsewhere(self._full(name), help, read))

    def gauge(self, name: str, help: str, read: Callable[[], float] | None = None) -> Gauge:
        """What rises and falls: `gauge.set(value)`, or `read`, which is called at each scrape, in another thread."""
        gauge = Gauge(self._full(name), help, registry=self._registry)
        if read is not None:
            gauge.set_function(read)
        return gauge

    def text(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _full(self, name: str) -> str:
        return f"tianshu_{self._service}_{name}"


class _CountedElsewhere(Collector):
    """A counter whose number is asked for."""

    def __init__(self, name: str, help: str, read: Callable[[], float]) -> None:
        self._name = name
        self._help = help
        self._read = read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._help, value=self._read())
