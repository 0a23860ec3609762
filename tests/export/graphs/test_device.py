"""The graphs that move rows on a device: the service has the current ones."""

from export.graphs.device import FOLDER, device_graphs


def test_the_service_has_the_current_graphs() -> None:
    """`python -m export.graphs.device` writes them."""
    graphs = device_graphs()
    assert {file.name for file in FOLDER.iterdir()} == {f"{name}.onnx" for name in graphs}
    for name, model in graphs.items():
        assert (FOLDER / f"{name}.onnx").read_bytes() == model.SerializeToString(deterministic=True)
