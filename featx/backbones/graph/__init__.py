"""ONNX graphs: reads a model file, finds its features, and builds the graph that a session runs."""
