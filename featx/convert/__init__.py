"""Turns models into backbones.

`add_backbone` installs an ONNX model with a card, `export_model` a torch model, and `quantize_backbone` a backbone in
int8 or float16. `verify_backbone` compares the features on this machine with what they should be.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
