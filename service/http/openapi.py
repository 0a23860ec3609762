"""What each route answers, as an example of its schema in the OpenAPI document."""

from typing import Any

TIMES = {"queue": 0.1, "compute": 9.8, "total": 11.2}
USAGE = {"source_tokens": 5, "target_tokens": 4}
SCORED = [{"score": 0.98, "label": "fr"}, {"score": 0.01, "label": "ca"}]
PAIR = {"source": "de", "target": "en"}

ANSWERS: dict[str, Any] = {
    "post /v1/translate": {
        "model": "translate-en-de-fr-es",
        "translations": [{"text": "Good morning.", **PAIR, "finish_reason": "stop"}],
        "usage": USAGE,
        "timings_ms": TIMES,
    },
    "post /v1/score": {
        "model": "translate-en-de-fr-es",
        "scores": [{"score": -0.29, "log_probability": -1.46, **PAIR}],
        "usage": USAGE,
        "timings_ms": TIMES,
    },
    "post /v1/classify": {
        "model": "langid",
        "results": [{"labels": [{"label": "fr", "score": 0.98}]}],
        "usage": {"source_tokens": 5, "target_tokens": 0},
        "timings_ms": TIMES,
    },
    "get /v1/models": {
        "models": [
            {
                "name": "langid", "version": "1", "task": "classify", "directions": [], "labels": ["de", "en"],
                "limits": {"source_length": 512, "target_length": 256}, "precision": "fp32", "licence": "CC-BY-4.0",
                "evaluation": [{"data": "leipzig", "split": "test", "metric": "accuracy", "value": 97.1}],
            }
        ]
    },
    "get /healthz": {"status": "alive"},
    "get /readyz": {"status": "ready"},
    "post /translate": {
        "translatedText": "Where's the station?",
        "detectedLanguage": {"confidence": 84.32, "language": "de"},
        "alternatives": ["Where is the station?"],
    },
    "post /detect": [{"confidence": 84.32, "language": "de"}],
    "get /languages": [{"code": "de", "name": "German", "targets": ["en"]}],
    "get /frontend/settings": {
        "charLimit": 20000, "frontendTimeout": 500, "apiKeys": False, "keyRequired": False, "suggestions": False,
        "filesTranslation": False, "supportedFilesFormat": [],
        "language": {"source": {"code": "auto", "name": "Auto Detect"}, "target": {"code": "de", "name": "German"}},
    },
    "get /health": {"status": "ok"},
    "post /v2/translate": {"translations": [{"detected_source_language": "DE", "text": "Good morning."}]},
    "get /v2/languages": [{"language": "DE", "name": "German", "supports_formality": False}],
    "get /v2/usage": {"character_count": 180118, "character_limit": 1_000_000_000_000},
    "post /predict": [SCORED],
    "get /info": {
        "model_id": "langid", "model_sha": None, "model_dtype": "float32",
        "model_type": {"classifier": {"id2label": {"0": "de", "1": "en"}, "label2id": {"de": 0, "en": 1}}},
        "max_concurrent_requests": 2048, "max_input_length": 512, "max_batch_tokens": 4096, "max_batch_requests": None,
        "max_client_batch_size": 256, "auto_truncate": False, "tokenization_workers": 1, "version": "0.1.0",
        "sha": None, "docker_label": None,
    },
    "post /classify": {
        "object": "classify", "data": [SCORED], "model": "langid", "usage": {"prompt_tokens": 5, "total_tokens": 5},
        "id": "infinity-5f0c1e9a7b3d4c52", "created": 1764000000,
    },
    "get /models": {
        "data": [
            {
                "id": "langid", "object": "model", "owned_by": "infinity", "created": 1764000000,
                "stats": {"queue_fraction": 0.0, "queue_absolute": 0, "results_pending": 0, "batch_size": 128},
                "backend": "onnxruntime", "capabilities": ["classify"],
            }
        ],
        "object": "list",
    },
    "get /v2": {"name": "attendant", "version": "0.1.0", "extensions": ["binary_tensor_data"]},
    "get /v2/health/live": {"live": True},
    "get /v2/health/ready": {"ready": True},
    "get /v2/models/{model}": {
        "name": "langid", "platform": "onnxruntime_onnx",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]}, {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "probability", "datatype": "FP32", "shape": [-1, 79]},
        ],
        "parameters": {"labels": ["de", "en"]},
    },
    "get /v2/models/{model}/ready": {"name": "langid", "ready": True},
    "post /v2/models/{model}/infer": {
        "model_name": "translate-en-de-fr-es",
        "outputs": [{"name": "translation", "datatype": "BYTES", "shape": [1], "data": ["Good morning."]}],
    },
}  # fmt: skip


def describe(document: dict[str, Any]) -> None:
    """Put the examples into an OpenAPI document."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            example = ANSWERS.get(f"{method} {path}")
            if example is not None:
                operation["responses"]["200"]["content"]["application/json"]["example"] = example
