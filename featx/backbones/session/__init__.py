"""Opens a backbone on a device with ONNX Runtime, as a session that maps pixels to features."""
