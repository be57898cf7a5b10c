"""A table and the name of a head in; the head, tuned and fitted on training rows, and its result on test rows out."""

from featx.train.training import STACKED, STACKED_HEADS, train_head

__all__ = ["STACKED", "STACKED_HEADS", "train_head"]
