"""ONNX graphs: what a model holds, where its features are, and the graph that a session is given."""
