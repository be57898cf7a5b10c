"""The errors that featx raises; every message names the thing at fault and the next step.

FeatxError
├── ImageSetError      the image set: folder, manifest, names, labels         (ValueError)
├── DecodeError        one image; its row in the cache records the reason     (ValueError)
├── BackboneError      the card or the model file                             (ValueError)
├── DeviceError        the runtime or the requested device                    (RuntimeError)
├── InferenceError     the model failed while running                         (RuntimeError)
├── CacheError         the cache file: unreadable, damaged, locked, disk full (OSError)
│   ├── CacheLockedError    another process is writing it
│   └── CacheMismatchError  the cache is of other images, another backbone or other settings
├── TableError         the feature table: labels, classes, splits, fusion     (ValueError)
│   └── ChoiceError         the cache or table lacks a split, class or output; also a CacheError
├── HeadError          an unknown head, or a head file that cannot be used    (ValueError)
│   └── ConvergenceError    the fit of a head stopped before its optimum
├── FineTuningError    torch, the images or the rate of fine-tuning            (RuntimeError)
├── SuiteError         the suite file: a key, a value, a name that is there twice  (ValueError)
├── ServingError       a deployed model that cannot be served, or its address (OSError)
├── ReportError        a figure that cannot be drawn or written              (OSError)
└── DemoError          something that the demo needs is not installed         (RuntimeError)
"""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


class Failure(IntEnum):
    """Why an image has no feature: the codes above 1 in `/status` of a cache. Codes are added, never changed."""

    MISSING = 2
    UNREADABLE = 3
    EMPTY = 4
    NOT_AN_IMAGE = 5
    TOO_MANY_PIXELS = 6
    DAMAGED = 7
    NO_STANDARD_RANGE = 8
    NO_MEMORY = 9
    NOT_FINITE = 10
    OUT_OF_RANGE = 11
    NOT_READ = 12
    TOO_LARGE = 13

    @property
    def text(self) -> str:
        """The reason in words."""
        return _REASONS[self]


_REASONS = {
    Failure.MISSING: "the file is missing",
    Failure.UNREADABLE: "the file cannot be read",
    Failure.EMPTY: "the file is empty (0 bytes)",
    Failure.NOT_AN_IMAGE: "not an image in a known format",
    Failure.TOO_MANY_PIXELS: "more pixels than the limit",
    Failure.DAMAGED: "the image is damaged or cut short",
    Failure.NO_STANDARD_RANGE: "its numbers have no standard range; save it with 8 or 16 bits",
    Failure.NO_MEMORY: "not enough memory to decode the image",
    Failure.NOT_FINITE: "the backbone gave NaN or infinite features",
    Failure.OUT_OF_RANGE: "a feature is beyond the range of float16; store float32",
    Failure.NOT_READ: "an image of a kind that featx does not read",
    Failure.TOO_LARGE: "the file is larger than the limit for one image",
}


def failure_text(code: int) -> str:
    """The reason for a status above 1, in words; codes that this version does not know have a text too."""
    return Failure(code).text if code in set(Failure) else f"unknown reason (code {code})"


class FeatxError(Exception):
    """Base class of all errors of featx: the message is one line, and the command line exits with 1."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles the error so that unpickling does not call its constructor, which may take other arguments."""
        return _revive, (type(self), self.args), self.__dict__


def _revive(kind: type[FeatxError], args: tuple[object, ...]) -> FeatxError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class ImageSetError(FeatxError, ValueError):
    """The folder, manifest or file cannot be read as an image set."""


class DecodeError(FeatxError, ValueError):
    """An image cannot be decoded; its row in the cache records this failure."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        self.failure = failure
        super().__init__(f"{failure.text} ({detail})" if detail else failure.text)


class BackboneError(FeatxError, ValueError):
    """The card or its model file cannot be used."""


class DeviceError(FeatxError, RuntimeError):
    """The runtime or the requested device is not available."""


class InferenceError(FeatxError, RuntimeError):
    """The session was opened, but the model failed while running."""


class CacheError(FeatxError, OSError):
    """The cache file cannot be created, written or read."""


class CacheLockedError(CacheError):
    """Another process is writing the cache."""


class CacheMismatchError(CacheError):
    """The cache is of other images, another backbone or other settings than the ones asked for."""

    def __init__(self, path: object, *, what: str, inside: object, asked: object, step: str) -> None:
        super().__init__(f"{path}: {what} is {inside} in the cache but {asked} was asked for; {step}")


class TableError(FeatxError, ValueError):
    """The feature table cannot be joined, split or trained on."""


class ChoiceError(CacheError, TableError):
    """The cache or table does not have the split, class or output that was asked for."""


class HeadError(FeatxError, ValueError):
    """The head is unknown, or its file cannot be used with these features."""


class ConvergenceError(HeadError):
    """The fit of a head stopped before its optimum."""

    def __init__(self, what: str, *, iterations: int | None, reached: str, step: str) -> None:
        self.iterations = iterations
        within = "" if iterations is None else f" in {iterations} iterations"
        super().__init__(f"{what} did not converge{within}: {reached}; {step}")


class FineTuningError(FeatxError, RuntimeError):
    """A backbone cannot be fine-tuned: torch is missing, the images do not do, or training diverges."""


class SuiteError(FeatxError, ValueError):
    """The file of a suite cannot be read, or says what cannot be run."""


class ReportError(FeatxError, OSError):
    """A figure cannot be drawn or written."""


class ServingError(FeatxError, OSError):
    """A deployed model cannot be served, or its address cannot be used."""


class DemoError(FeatxError, RuntimeError):
    """Something that the demo needs is not installed."""


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or the name of its type if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__


def did_you_mean(word: str, known: Iterable[str], *, near_enough: float = 0.4) -> str:
    """A hint that names the known words nearest to this one, to append to a message; empty if none is near.

    `near_enough` is the least share of letters in common, from 0 to 1.
    """
    near = get_close_matches(word, list(known), n=3, cutoff=near_enough)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
