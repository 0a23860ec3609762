"""Devices: what a setting names, and a GPU that cannot be used."""

import logging

import numpy as np
import onnxruntime
import pytest

from service.engine.device import CPU, Device, DeviceError, parse_device
from service.engine.models.probe import attention_fault, differing_variants, find_device
from service.engine.models.session import CUDA


@pytest.mark.parametrize(
    ("setting", "device", "text"),
    [
        ("cpu", CPU, "cpu"),
        ("cpu:resident", Device(resident=True), "cpu:resident"),
        ("cuda", Device("cuda", 0, resident=True, row_buckets=True), "cuda:0"),
        ("cuda:3", Device("cuda", 3, resident=True, row_buckets=True), "cuda:3"),
        ("auto", Device("cuda", 0, resident=True, row_buckets=True), "cuda:0"),
    ],
)
def test_setting_names_a_device(setting: str, device: Device, text: str) -> None:
    assert parse_device(setting) == device
    assert str(device) == text


@pytest.mark.parametrize("setting", ["", "gpu", "cuda:", "cuda:x", "auto:1", "cpu:0", "cuda:-1"])
def test_other_settings_are_rejected(setting: str) -> None:
    with pytest.raises(ValueError, match="use cpu, cuda, cuda:N for the GPU of number N, or auto"):
        parse_device(setting)
    with pytest.raises(DeviceError, match="ATTENDANT_DEVICE"):
        find_device(setting)


def test_gpu_that_cannot_be_used_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(DeviceError, match=r"'cuda:99'.*(has no CUDA|device).*install the extra `gpu`") as caught:
        find_device("cuda:99")
    assert len(str(caught.value).splitlines()) == 1


def test_auto_falls_back_to_the_cpu_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        device = find_device("auto")
    assert device == CPU or not caplog.messages
    assert device.kind == "cuda" or "all models run on the CPU" in caplog.messages[0]


def test_attention_of_this_machine_is_right() -> None:
    assert attention_fault(CPU) == ""


def test_attention_that_differs_is_named() -> None:
    expected = {name: np.ones((2, 1, 128), np.float16) for name in ("encoded", "crossed", "decoded")}
    found = {**expected, "crossed": np.zeros((2, 1, 128), np.float16), "decoded": np.full((2, 1, 128), 1.001)}
    fault = differing_variants(found, expected)
    assert fault == "its onnxruntime computes GroupQueryAttention wrongly: of a query to a cache"


def test_attention_that_cannot_run_is_a_fault() -> None:
    if CUDA not in onnxruntime.get_available_providers():
        assert CUDA in attention_fault(Device("cuda"))
