"""A model of timm, of torchvision or of a Python file in; a backbone with golden vectors of torch, verified, out.

The only place that knows torch, timm and torchvision.
"""

from featx.export.exporting import Exported, export_model
from featx.export.models import Recipe

__all__ = ["Exported", "Recipe", "export_model"]
