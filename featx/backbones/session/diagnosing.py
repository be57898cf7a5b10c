"""Finds out which devices sessions can use on this machine, and why not the others."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from featx.backbones.session.nvidia import LIBRARIES, cuda_problem, gpus
from featx.backbones.session.runtime import load_runtime, missing_provider, new_session
from featx.devices import PROVIDERS, DeviceSpec, parse_device
from featx.errors import BackboneError, DeviceError
from featx.provenance import RUNTIMES, installed_version

logger = logging.getLogger(__name__)


def choose_devices(text: str) -> tuple[DeviceSpec, ...]:
    """The devices that `--device` names, if they exist; `auto` is a GPU if CUDA can use one, else the CPU.

    Raises DeviceError that says what is missing, or lists the GPUs.
    """
    specs = parse_device(text)
    if not specs:
        return parse_device(_best_kind())
    if problem := _problem_with(specs):
        raise DeviceError(f"--device {text} was asked for, but {problem}")
    return specs


def _best_kind() -> str:
    """CUDA if a session can use a GPU, else the CPU; warns of a GPU that cannot be used."""
    if not gpus():
        return "cpu"
    if problem := cuda_problem():
        logger.warning("running on the CPU although there is a GPU: %s", problem)
        return "cpu"
    return "cuda"


def _problem_with(specs: tuple[DeviceSpec, ...]) -> str | None:
    """Why sessions cannot use these devices, or None if no reason is known."""
    kind = specs[0].kind
    if kind not in LIBRARIES:
        return missing_provider(kind)
    if problem := cuda_problem(kind):
        return problem
    present = dict(enumerate(gpus()))
    absent = next((spec for spec in specs if spec.index not in present), None)
    if absent is None:
        return None
    named = ", ".join(f"{kind}:{index} ({gpu})" for index, gpu in present.items())
    return f"there is no {absent}; choose from {named}"


@dataclass(frozen=True)
class Diagnosis:
    """The devices of this machine that featx can use."""

    providers: tuple[str, ...]
    """Execution providers that a real session got."""
    devices: tuple[str, ...]
    """The processor and GPUs, each beginning with its name for `--device`."""
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
            if problem := _try(kind):
                problems.append(f"{kind}: {problem}")
            else:
                got.append(PROVIDERS[kind])
    return Diagnosis(tuple(got), devices, tuple(problems))


def _clashes() -> Iterator[str]:
    """Yields a problem if several packages of ONNX Runtime overwrite each other's files."""
    found = [package for package in RUNTIMES if installed_version(package)]
    if len(found) > 1:
        yield f"{' and '.join(found)} overwrite each other's files; uninstall all of them, then install one again"


def _try(kind: str) -> str | None:
    """Open a session on this kind of device; returns why that failed, or None if it works."""
    if kind in LIBRARIES and (problem := cuda_problem(kind)):
        return problem
    from featx.backbones.graph.surgery import smallest_model

    spec = parse_device(kind)[0]
    try:
        new_session(smallest_model(), spec, name="a model of one node", threads=1)
    except (DeviceError, BackboneError) as error:
        return str(error)
    return None
