"""Folders that other programs expect around a deployed model.

folders      files of one folder: held, checked and written together
huggingface  README.md, config.json, preprocessor_config.json, onnx/model.onnx
triton       config.pbtxt, 1/model.onnx
"""
