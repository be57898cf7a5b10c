"""What fine-tuning found, and whether a backbone was written."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from featx.backbones import Backbone
from featx.finetuning.training import Epoch
from featx.heads import Head
from featx.measures import Comparison, HeadMetrics, Interval
from featx.showing import Overview, Shown

Part = Literal["test", "validation"]
AGAINST_FROZEN = ("tuned", "frozen")
AGAINST_LAYERS = ("tuned", "layers")
"""What is held against what."""


@dataclass(frozen=True)
class TriedRate:
    """A learning rate, and what it gave on validation images."""

    rate: float
    accuracy: float
    log_loss: float
    epochs: tuple[Epoch, ...]
    chosen: bool = False


@dataclass(frozen=True, repr=False)
class FineTuning(Shown):
    """What finetune_backbone returns: the measures of frozen and tuned features, and the new backbone if there is one.

    >>> import featx
    >>> "difference" in dir(featx.FineTuning)
    True
    """

    name: str
    source: str
    """Name of the frozen backbone."""
    tensor: str
    measured_on: Part
    """Whether the measures are of test images, or, because nothing was written, of validation images."""
    frozen: HeadMetrics
    """Of logistic regression on the frozen feature of the same views: on their mean, or on each as a row, whichever is
    better on validation images."""
    tuned: HeadMetrics
    """Of the tuned network, as the mean probability over views."""
    comparisons: tuple[Comparison, ...]
    """Paired differences of accuracy on these images, with Holm's correction: tuned - frozen, tuned - layers."""
    validation: Comparison
    """The paired difference on validation images that decided: tuned - frozen."""
    wins: bool
    """Whether validation images said that it is better; `force` writes it even if not."""
    tried: tuple[TriedRate, ...]
    split: str
    """How images were held out, in words."""
    images: dict[str, int]
    """Number of images in each part of the split."""
    views: tuple[str, ...]
    bytes_of_maps: int
    notes: tuple[str, ...] = ()
    layers: HeadMetrics | None = None
    """Of a head on several layers of the frozen backbone; None if they were left out."""
    both: HeadMetrics | None = None
    """Of the mean of the probabilities of `tuned` and `layers`."""
    seconds: float = 0.0
    backbone: Backbone | None = None
    """The new backbone; None if nothing was written."""
    head: Head | None = None
    """The linear layer that was trained with it, a head that `save_head` writes; None if nothing was written."""

    @property
    def written(self) -> bool:
        """Whether a backbone was written."""
        return self.backbone is not None

    @property
    def difference(self) -> float:
        """Accuracy of the tuned minus that of the frozen backbone, on the images of `measured_on`."""
        return self.comparisons[0].difference

    @property
    def ci(self) -> Interval | None:
        """The 95 % interval of the difference; None if the images say nothing about it."""
        return self.comparisons[0].interval

    def overview(self) -> Overview:
        """The difference, the accuracies, and what was written."""
        found = {"frozen": self.frozen, "tuned": self.tuned, "layers": self.layers, "both": self.both}
        accuracies = [f"{name} {one.accuracy:.3f}" for name, one in found.items() if one is not None]
        where = f"on {self.tuned.n} {self.measured_on} images"
        facts = (
            ("accuracy", f"{', '.join(accuracies)} {where}"),
            ("written", self.name if self.written else "nothing"),
        )
        return Overview(f"FineTuning: {self.source} from {self.tensor}, {self.difference:+.3f} {where}", facts)

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain JSON values."""
        measured = {name: getattr(self, name) for name in ("frozen", "tuned", "layers", "both")}
        return {
            "card": None if self.backbone is None else self.backbone.card.to_dict(),
            **{name: None if one is None else asdict(one) for name, one in measured.items()},
            "difference": self.difference,
            "ci": self.ci,
            "written": self.written,
            "measured_on": self.measured_on,
            "comparisons": [asdict(one) for one in self.comparisons],
            "validation": asdict(self.validation),
            "wins": self.wins,
            "tried": [asdict(one) for one in self.tried],
            "name": self.name,
            "source": self.source,
            "tensor": self.tensor,
            "split": self.split,
            "images": self.images,
            "views": list(self.views),
            "bytes_of_maps": self.bytes_of_maps,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }
