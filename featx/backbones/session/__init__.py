"""Opens a backbone on a device with ONNX Runtime: a session, which maps pixels to features."""
