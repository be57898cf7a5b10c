"""How much a server takes on at once, so that no client can fill its memory or keep it waiting."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much a server takes on at once. Its memory stays below about `queue` times `max_body`."""

    max_body: int = 32 << 20
    """Most bytes of the body of a request; a larger one is answered with 413."""
    queue: int = 256
    """Most images that are received, decoded or wait for the model at once; further requests are answered with 503."""
    batch_size: int = 32
    """Most images in one run of the model."""
    timeout: float = 30.0
    """Seconds in which the body of a request must arrive; a slower one is answered with 408."""
