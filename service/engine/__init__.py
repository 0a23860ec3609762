"""Token ids in, token ids out: request queue, continuous batching and onnxruntime. Knows neither HTTP nor text."""
