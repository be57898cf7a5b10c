"""A backbone and a device in; a callable from pixels to features out. The only place that knows ONNX Runtime."""
