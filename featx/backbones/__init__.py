"""Finds the features of ONNX models, and runs models as backbones.

A backbone is a model with a card (`load_backbone`). `graph` finds the features of a model and cuts it down to them;
`open_session` opens that graph on a device, as a function from pixels to features.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
