"""A model of timm, of torchvision or of a Python file in; a backbone with golden vectors of torch, verified, out.

The only place that knows torch, timm and torchvision.
"""
