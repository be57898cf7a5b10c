"""Which devices there are, and what keeps a session from one."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from featx.backbones.session.nvidia import (
    LIBRARIES,
    cuda_problem,
    gpus,
)
from featx.backbones.session.runtime import (
    load_runtime,
    missing_provider,
    new_session,
)
from featx.devices import (
    PROVIDERS,
    DeviceSpec,
    parse_device,
)
from featx.errors import BackboneError, DeviceError
from featx.provenance import RUNTIMES, installed_version

logger = logging.getLogger(__name__)


def choose_devices(text: str) -> tuple[DeviceSpec, ...]:
    """The devices that `--device` names, known to be there; for `auto` a GPU that CUDA can use, else the CPU.

    Raises DeviceError naming what is missing, or which GPUs there are.
    """
    specs = parse_device(text)
    if not specs:
        return parse_device(_best_kind())
    if problem := _absence(specs):
        raise DeviceError(f"--device {text} was asked for, but {problem}")
    return specs


def _best_kind() -> str:
    """CUDA where there is a GPU that a session can get; what keeps it from one that is there is told."""
    if not gpus():
        return "cpu"
    if problem := cuda_problem():
        logger.warning("running on the CPU although there is a GPU: %s", problem)
        return "cpu"
    return "cuda"


def _absence(specs: tuple[DeviceSpec, ...]) -> str | None:
    """What keeps sessions from these devices, or None where nothing is known to."""
    kind = specs[0].kind
    if kind not in LIBRARIES:
        return missing_provider(kind)
    if problem := cuda_problem(kind):
        return problem
    there = dict(enumerate(gpus()))
    absent = next((spec for spec in specs if spec.index not in there), None)
    named = ", ".join(f"{kind}:{index} ({gpu})" for index, gpu in there.items())
    return f"there is no {absent}; choose from {named}" if absent else None


@dataclass(frozen=True)
class Diagnosis:
    """What featx can run on here."""

    providers: tuple[str, ...]
    """Execution providers that a real session got."""
    devices: tuple[str, ...]
    """The processor and GPUs, each beginning with what `--device` calls it."""
    problems: tuple[str, ...]
    """What is missing, each with the next step."""


def diagnose() -> Diagnosis:
    """Which providers a real session gets on this machine, and what is missing."""
    found = gpus()
    devices = ("cpu", *(f"cuda:{index} {gpu}" for index, gpu in enumerate(found)))
    try:
        ort = load_runtime()
    except DeviceError as error:
        return Diagnosis((), devices, (str(error),))
    problems = list(_clashes())
    available = {kind for kind, provider in PROVIDERS.items() if provider in ort.get_available_providers()}
    got = []
    for kind in PROVIDERS:
        if kind == "tensorrt" and PROVIDERS["cuda"] not in got:
            continue
        if kind in available or (kind == "cuda" and found):
            if problem := _problem(kind):
                problems.append(f"{kind}: {problem}")
            else:
                got.append(PROVIDERS[kind])
    return Diagnosis(tuple(got), devices, tuple(problems))


def _clashes() -> Iterator[str]:
    """Packages of ONNX Runtime that overwrite each other's files."""
    if len(found := [package for package in RUNTIMES if installed_version(package)]) > 1:
        yield f"{' and '.join(found)} overwrite each other's files; uninstall all of them, then install one again"


def _problem(kind: str) -> str | None:
    """What keeps a real session from this kind of device, or None."""
    if kind in LIBRARIES and (problem := cuda_problem(kind)):
        return problem
    from featx.backbones.graph.surgery import smallest_model

    spec = parse_device(kind)[0]
    try:
        new_session(smallest_model(), spec, name="a model of one node", threads=1)
    except (DeviceError, BackboneError) as error:
        return str(error)
    return None
