"""The command `serve`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import as_json, examples, option, with_device
from featx.cli.output import print_json, say
from featx.settings import Device

if TYPE_CHECKING:
    from featx.serving import Served

MEGABYTE = 1 << 20


@click.command(
    epilog=examples(
        "featx serve model.onnx",
        "featx serve model.onnx --host 0.0.0.0 --port 80 --queue 64",
        "curl --data-binary @image.jpg http://127.0.0.1:8000/classify",
    )
)
@click.argument("model", type=click.Path(path_type=Path))
@option("--host", metavar="ADDRESS", default="127.0.0.1", help="0.0.0.0 lets other machines ask, all of them.")
@option("--port", type=click.IntRange(0, 65_535), metavar="N", default=8000, help="0 takes any that is free.")
@with_device
@option("--batch-size", type=click.IntRange(1, 4096), metavar="N", default=32, help="Most images in a run.")
@option("--max-body", type=click.IntRange(1, 4096), metavar="MB", default=32, help="Larger bodies are refused.")
@option(
    "--queue",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    default=256,
    help="Most images on their way at once; further requests are refused with status 503.",
)
@option(
    "--timeout",
    type=click.FloatRange(0, 86_400, min_open=True),
    metavar="SECONDS",
    default=30.0,
    help="A body that takes longer to arrive is refused.",
)
@as_json
def serve(
    *,
    model: Path,
    host: str,
    port: int,
    device: Device,
    batch_size: int,
    max_body: int,
    queue: int,
    timeout: float,
    json_: bool,
) -> None:
    """Answer requests to classify images with MODEL, a file that `featx deploy` wrote.

    POST the bytes of an image to /classify, or use the Open Inference Protocol at /v2/models; /metrics counts in
    Prometheus' format. Nobody is asked for a password. Ctrl-C or SIGTERM ends it once requests under way are answered.
    """
    from featx.serving import Limits, serve_model

    limits = Limits(max_body=max_body * MEGABYTE, queue=queue, batch_size=batch_size, timeout=timeout)

    def _announce(served: "Served") -> None:
        if json_:
            print_json(asdict(served))
        else:
            devices = ", ".join(served.devices)
            say(f"{served.address} serves {model} on {devices}; POST an image to {served.address}/classify")

    serve_model(model, host=host, port=port, device=device, limits=limits, on_ready=_announce)
