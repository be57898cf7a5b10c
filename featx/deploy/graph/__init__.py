"""Heads as nodes of ONNX: from the features of backbones to class names and probabilities.

nodes        builds nodes and constants of one opset
steps        the steps of a pipeline before its classifier: rows -> rows
classifiers  the classifiers: rows -> class scores
ending       class scores -> probabilities and labels
joining      backbones and head -> one model
"""
