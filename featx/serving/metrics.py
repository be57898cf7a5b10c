"""What a server counts, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counts of one server."""

    def __init__(self, *, admitted: Callable[[], int], waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("featx_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "featx_request_seconds",
            "Seconds from the first line of a request to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._images = Counter("featx_images", "Images classified.", registry=registry)
        self._batches = Histogram("featx_batch_images", "Images in a run.", buckets=IMAGES, registry=registry)
        on_way = Gauge("featx_admitted_images", "Images that are received, decoded or wait.", registry=registry)
        on_way.set_function(admitted)
        queue = Gauge("featx_queue_images", "Images that are decoded and wait for the model.", registry=registry)
        queue.set_function(waiting)
        ProcessCollector(registry=registry)

    def count_request(self, route: str, *, status: int, seconds: float) -> None:
        """Count an answered request of this route."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_run(self, images: int) -> None:
        """Count a run of the model on these images."""
        self._batches.observe(images)
        self._images.inc(images)

    def to_text(self) -> bytes:
        """All counts in the text format."""
        return generate_latest(self._registry)
