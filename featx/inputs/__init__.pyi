from .decode import (
    decode_image as decode_image,
    decode_thumbnail as decode_thumbnail,
    decode_views as decode_views,
    encode_jpeg as encode_jpeg,
    fast_reduction as fast_reduction,
)
from .fingerprints import FINGERPRINT_BYTES as FINGERPRINT_BYTES, Fingerprints as Fingerprints
from .pixels import PixelSpec as PixelSpec
from .sets.image_set import ImageSet as ImageSet, Stored as Stored, fingerprint as fingerprint
from .sets.listing import list_images as list_images
from .sets.memory import images_of_array as images_of_array
from .sets.remote import hide_secrets as hide_secrets
from .shapes import draw_shapes as draw_shapes
from .thumbnails import THUMBNAIL_SIZE as THUMBNAIL_SIZE, read_thumbnails as read_thumbnails
from .views import (
    KNOWN_VIEWS as KNOWN_VIEWS,
    SYMMETRIES as SYMMETRIES,
    check_views as check_views,
    order_views as order_views,
    parse_views as parse_views,
)
