"""ImageSet: whatever holds images in; names, labels, splits, groups and weights in one fixed order out."""

from featx.images.folder import is_image_name
from featx.images.image_set import ImageSet, ImageSource, Stored, fingerprint
from featx.images.listing import list_images
from featx.images.memory import hold_images

__all__ = [
    "ImageSet",
    "ImageSource",
    "Stored",
    "fingerprint",
    "hold_images",
    "is_image_name",
    "list_images",
]
