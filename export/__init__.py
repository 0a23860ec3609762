"""Export a run to an artifact: ONNX graphs that are checked against the trained model before they are published."""
