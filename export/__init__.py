"""Checkpoint to artifact: ONNX graphs whose parity with the trained model is proven before anything is published."""
