"""The options that users choose from, with their defaults; imports no library, so that `featx --help` is fast."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

BUNDLED = "efficientnet-lite0"
"""Name of the backbone that is installed with featx."""
CLASS_SCORES = "logits"
"""The output name that stands for the class scores of a source model, whatever its tensor is called."""
LAYERS = "layers"
"""The output name that stands for the feature and the pooled ends of all blocks of a backbone."""

Device = str
"""A value of `--device`: auto, cpu, cuda, cuda:1, cuda:0,cuda:1, tensorrt, openvino, ...; featx.devices parses it."""
Decode = Literal["exact", "fast"]
DECODES: tuple[Decode, ...] = get_args(Decode)


@dataclass(frozen=True, repr=False)
class Settings:
    """How to read, decode and run images; only `device`, `decode` and `views` affect the features.

    >>> import featx
    >>> settings = featx.Settings(device="cpu", batch_size=32)
    >>> settings.decode, settings.workers
    ('exact', None)
    """

    device: Device = "auto"
    """`auto` uses CUDA if a session really gets it, else the CPU; `cuda:0,cuda:1` uses both GPUs."""
    batch_size: int | None = None
    """Number of images in a batch; None to let a short calibration find the fastest."""
    streams: int | None = None
    """Number of batches that run at the same time; None to let a short calibration find the fastest."""
    threads: int | None = None
    """Number of CPU threads for each stream; None for an equal share of the cores."""
    workers: int | None = None
    """Number of threads that read and decode images; None for one per core."""
    max_pixels: int = 89_478_485
    """Images with more pixels fail; the default is the size at which Pillow suspects a decompression bomb."""
    decode: Decode = "exact"
    """`fast` decodes JPEGs at 1/2, 1/4 or 1/8 scale if that still covers the size that the card resizes to."""
    views: tuple[str, ...] = ("center",)
    """Names of the views of each image that get a feature; `featx.inputs.parse_views` makes them from a list."""

    def __repr__(self) -> str:
        """The settings that are not the defaults, so that signatures of functions stay short."""
        changed = [field for field in fields(self) if getattr(self, field.name) != field.default]
        return f"Settings({', '.join(f'{field.name}={getattr(self, field.name)!r}' for field in changed)})"


DEFAULTS = Settings()

LARGEST_IMAGE = 257 << 20
"""Most bytes of one image as it is stored: enough for as many pixels in RGB as `max_pixels` allows by default."""

Storage = Literal["float32", "float16"]
STORAGES: tuple[Storage, ...] = get_args(Storage)
DEFAULT_STORAGE: Storage = "float32"
"""Type of the features in a cache; float16 halves the file and keeps about three digits."""

ViewRule = Literal["first", "mean", "rows"]
VIEW_RULES: tuple[ViewRule, ...] = get_args(ViewRule)
"""How the views of an image become features: view 0 alone, the mean feature over views, or a row for each view."""
ExportedViews = Literal["first", "mean", "all"]
EXPORTED_VIEWS: tuple[ExportedViews, ...] = get_args(ExportedViews)
"""What an export writes of several views: view 0 alone, the mean feature over views, or the features of each view."""
CENTER = "center"
"""Name of view 0: today's crop of the card, without a mirror or a turn."""

TUNING_VIEWS = (CENTER, "hflip", "vflip", "rot90", "rot180", "rot270", "transpose", "transverse")
"""The views that a backbone is fine-tuned on: the eight mirrors and turns of a square."""
TUNING_RATE = 2e-4
"""The largest learning rate of fine-tuning: five times as much lost what the network knew."""
TUNING_STORAGE: Storage = "float16"
"""Type of the maps on which a backbone is fine-tuned."""

Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
"""How an image can be resampled to another size."""
CropMode = Literal["center", "squash"]
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
"""How an image becomes square: by a centre crop, or by resizing both sides to the same length."""
Channels = Literal["RGB", "BGR", "L"]
CHANNELS: tuple[Channels, ...] = get_args(Channels)
"""Order of the colour channels; L is one channel of grey."""

LowerPrecision = Literal["int8", "float16"]
LOWER_PRECISIONS: tuple[LowerPrecision, ...] = get_args(LowerPrecision)
"""The precisions to which a backbone can be quantised."""
CALIBRATION_IMAGES = 128
"""Number of images on which quantisation measures the ranges of tensors."""

HEAD_NAMES = ("logreg", "linear-svm", "rbf-svm", "ridge", "knn", "class-mean", "mlp", "pca-logreg", "pca-svm")
SCORE_NAMES = (
    *("ridge", "press", "logme", "knn", "class-mean", "leep", "nce"),
    *("nleep", "gbc", "transrate", "h-score", "pactran"),
)
CLUSTER_METHODS = ("kmeans", "ward")
"""Ways to divide images into clusters; the first is the default."""
LABELLING_STRATEGIES = ("mixed", "typical", "cover", "uncertain", "random")
"""Ways to choose which images to label first; the first is the default."""
SAMPLE = 1_000
"""Most images on which each backbone is tried before one is chosen."""
TRIALS = "scores"
"""The folder of the caches of backbones that are tried."""
FUSION_NAMES = (
    "concat",
    "standardised",
    "weighted",
    "pca",
    "joint-pca",
    "kernel",
    "anova",
    "mutual-info",
    "l1",
    "stacked",
)
SPLIT_RULES = (
    "official",
    "stratified",
    "grouped",
    "blocks",
    "k-fold",
    "few-shot",
    "leave-one-domain-out",
    "source-target",
)
"""Names of heads, fusions and split rules, for help and completion: importing the rooms that define them is slow."""
