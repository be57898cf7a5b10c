"""Finds out how a model's images are prepared: from flags, from its trainers' files, else as is usual for ImageNet."""

from featx.convert.preprocessing.finding import Found as Found, find_preprocessing as find_preprocessing
from featx.convert.preprocessing.own_normalisation import consider_normalisation as consider_normalisation
from featx.convert.preprocessing.specification import (
    IMAGENET_MEAN as IMAGENET_MEAN,
    IMAGENET_STD as IMAGENET_STD,
    Preprocessing as Preprocessing,
    complete as complete,
)
