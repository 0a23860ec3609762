"""What the Open Inference Protocol tells about the server and its models, the same for HTTP and gRPC.

Every function returns the JSON form of the protobuf message with the same subject (protos/grpc_service.proto and
protos/model_config.proto), with integers of 64 bits as numbers, as Triton's HTTP API writes it.
"""

from collections.abc import Mapping
from typing import Any

from service import __version__
from service.api.open_inference.inference import CLASSIFY_OUTPUTS, TRANSLATE_OUTPUTS
from service.errors import InvalidRequest
from service.metrics import Metrics
from service.models.registry import Registry
from service.models.served_model import ServedModel

Json = dict[str, Any]
EXTENSIONS = [
    "classification",
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
    "trace",
    "logging",
]
PLATFORM = "onnxruntime_onnx"
CONFIG_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
NANOSECONDS = 1e9  # in a second
SERIES = (  # of the metrics, that the statistics are made of
    "queue_seconds_sum", "compute_seconds_sum", "compute_seconds_count", "step_seconds_count", "engine_failures_total",
)  # fmt: skip
# Triton's settings with its own values for "off": nothing is traced, and the log goes to stderr (docs/deployment.md).
TRACE_SETTINGS: Json = {
    "trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0", "trace_file": "",
    "trace_mode": "triton",
}  # fmt: skip
LOG_SETTINGS: Json = {
    "log_file": "", "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0,
    "log_format": "default",
}  # fmt: skip
REFUSALS = {
    "shared_memory": "shared memory is not supported; send the data in the request",
}


def check_settings(wanted: Mapping[str, Any], current: Json) -> None:
    """Check that a client wants the settings as they are; nothing, or null, asks for the default, which they have.

    Raises:
        InvalidRequest: a setting is unknown, or would change.
    """
    for name, value in wanted.items():
        if name not in current:
            raise InvalidRequest(f"unknown setting {name[:80]!r}; there are {', '.join(current)}")
        if value not in (None, []) and _texts(value) != _texts(current[name]):
            raise InvalidRequest(
                f"{name} is {str(value)[:80]!r}: it stays {current[name]!r} while the service runs; leave it out"
            )


def _texts(value: Any) -> list[str]:
    return [str(one).casefold() for one in (value if isinstance(value, list) else [value])]


def server_metadata() -> Json:
    """Return the name and version of the server, and the extensions of the protocol that it supports."""
    return {"name": "attendant", "version": __version__, "extensions": EXTENSIONS}


def model_metadata(model: ServedModel) -> Json:
    """Return the inputs and outputs of a model; -1 is an axis of any size."""
    return {
        "name": model.name,
        "versions": [model.manifest.version],
        "platform": PLATFORM,
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in _outputs(model)],
    }


def model_parameters(model: ServedModel) -> dict[str, list[str]]:
    """Return the labels of a classifier, or the directions of a translator."""
    manifest = model.manifest
    if manifest.task == "classify":
        return {"labels": manifest.labels}
    return {"directions": [f"{direction.source}-{direction.target}" for direction in manifest.directions]}


def model_config(model: ServedModel) -> Json:
    """Return a model's configuration in the terms of Triton.

    `max_batch_size` is 0, because the first axis of a tensor is not the batch: texts of all requests share the running
    batch. `instance_group` has the workers.
    """
    parameters = {name: {"string_value": ",".join(values)} for name, values in model_parameters(model).items()}
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [{"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}],
        "output": [
            {"name": name, "data_type": CONFIG_TYPES[datatype], "dims": shape}
            for name, datatype, shape in _outputs(model)
        ],
        "instance_group": [{"name": model.name, "kind": "KIND_CPU", "count": model.worker_pool.size}],
        "parameters": parameters,
        "model_transaction_policy": {"decoupled": False},
    }


def _outputs(model: ServedModel) -> list[tuple[str, str, list[int]]]:
    if model.manifest.task == "translate":
        return TRANSLATE_OUTPUTS
    *others, (name, datatype, shape) = CLASSIFY_OUTPUTS
    return [*others, (name, datatype, [*shape[:-1], len(model.manifest.labels)])]


def model_statistics(model: ServedModel, metrics: Metrics) -> Json:
    """Return what a model has done since the start, for requests of all dialects: the figures of GET /metrics.

    An inference is a segment (a sentence of a translation, a text of a classification). An execution is a step of the
    running batch. Failures count groups and steps, and have no durations. Tokenising is not measured.
    """
    of_model = metrics.samples(model.name, *SERIES)
    segments = int(of_model["compute_seconds_count"])
    queue, compute = (int(NANOSECONDS * of_model[f"{name}_seconds_sum"]) for name in ("queue", "compute"))
    nothing = {"count": 0, "ns": 0}
    return {
        "name": model.name,
        "version": model.manifest.version,
        "last_inference": int(1000 * model.engine_client.observer.answered_at),
        "inference_count": segments,
        "execution_count": int(of_model["step_seconds_count"]),
        "inference_stats": {
            "success": {"count": segments, "ns": queue + compute},
            "fail": {"count": int(of_model["engine_failures_total"]), "ns": 0},
            "queue": {"count": segments, "ns": queue},
            "compute_input": nothing,
            "compute_infer": {"count": segments, "ns": compute},
            "compute_output": nothing,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
        "memory_usage": [],
    }


def repository_index(registry: Registry, ready: bool) -> list[Json]:
    """Return the state of every model, faulty ones included, or of those that are ready."""
    index = [
        {
            "name": model.name,
            "version": model.manifest.version,
            "state": "UNAVAILABLE" if model.problem else "READY",
            "reason": model.problem,
        }
        for model in registry
    ]
    index += [
        {"name": one.name, "version": "", "state": "UNAVAILABLE", "reason": one.reason} for one in registry.faulty
    ]
    return [one for one in index if one["state"] == "READY" or not ready]
