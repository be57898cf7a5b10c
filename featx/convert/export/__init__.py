"""Exports models of timm, torchvision or a Python file as backbones, verified with golden vectors of torch.

No other part of featx imports torch, timm or torchvision.
"""
