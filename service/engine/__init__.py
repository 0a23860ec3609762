"""Token ids to answers: queue, continuous batching and onnxruntime. It knows neither HTTP nor text."""
