"""Attention maps: complete, as the model computed them, and drawn."""

from pathlib import Path

import pytest
import torch

from tests.training.models.test_recurrent import translator as recurrent
from tests.training.models.test_transformer import LENGTHS, configured, padded_source, some_target, translator
from tests.training.toys import CPU
from training.data.tokenizer import BOS, EOS
from training.models import build_classifier
from training.runs.run import RunFolder
from training.tools.attention_plots import attention_maps, draw_attention, token_names

SOURCE, TARGET = padded_source()[:1], some_target()[:1]  # 7 and 9 tokens


def test_transformer_has_maps_for_every_layer_and_head() -> None:
    maps = attention_maps(translator(encoder_layers=3, decoder_layers=2), SOURCE, TARGET)
    assert {name: tuple(weights.shape) for name, weights in maps.items()} == {
        "encoder_0": (4, 7, 7), "encoder_1": (4, 7, 7), "encoder_2": (4, 7, 7),
        "decoder_0": (4, 9, 9), "cross_0": (4, 9, 7), "decoder_1": (4, 9, 9), "cross_1": (4, 9, 7),
    }  # fmt: skip
    for name, weights in maps.items():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        assert (weights.triu(1) == 0).all() == name.startswith("decoder")


def test_maps_show_what_the_model_computes() -> None:
    # With a constant query, the expected weights follow from the keys alone.
    model = translator(encoder_layers=1, decoder_layers=1, kv_heads=4, heads=4)
    with torch.no_grad():
        layer = model.layers[0].cross_attention
        layer.query.weight.zero_()
        layer.query.bias.fill_(1.0)
        key = model.encode(SOURCE, LENGTHS[:1])["cross_key_0"]  # (1, H, 7, d)
    expected = (key.sum(-1) / key.size(-1) ** 0.5).softmax(-1)[0]  # (H, 7)
    maps = attention_maps(model, SOURCE, TARGET)
    torch.testing.assert_close(maps["cross_0"], expected[:, None].expand(-1, 9, -1))


@pytest.mark.parametrize("attention", ["additive", "multiplicative"])
def test_recurrent_model_has_one_map(attention: str) -> None:
    model = recurrent(attention=attention)
    maps = attention_maps(model, SOURCE, TARGET)
    assert list(maps) == ["cross_0"]
    assert maps["cross_0"].shape == (1, 9, 7)
    torch.testing.assert_close(maps["cross_0"].sum(-1), torch.ones(1, 9))
    state = model.encode(SOURCE, LENGTHS[:1])
    _, following = model.step(TARGET[:, 0], state)
    torch.testing.assert_close(maps["cross_0"][:, 0], model.attention_weights(following["hidden_1"], state))


def test_classifier_has_encoder_maps_and_model_without_attention_none() -> None:
    assert attention_maps(build_classifier(configured(), 20, labels=3).eval(), SOURCE, None).keys() == {
        "encoder_0", "encoder_1",
    }  # fmt: skip
    assert attention_maps(recurrent(attention="none"), SOURCE, TARGET) == {}


def test_draw_attention_writes_one_page_and_one_file_per_head(toy_translation_run: RunFolder, tmp_path: Path) -> None:
    task, model = toy_translation_run.open(CPU)
    (source,) = task.source_ids(["red $house$ two"], "b")  # type: ignore[call-arg]
    files = draw_attention(task, model, source, tmp_path / "maps", CPU)
    heads = [f"{layer}_head_{head}.svg" for layer in ("encoder_0", "decoder_0", "cross_0") for head in range(4)]
    assert {file.name for file in files} > set(heads)
    assert files[0].name == "attention.svg"
    assert len(files) == 1 + 5 * 4
    assert all("</svg>" in file.read_text("utf-8") for file in files)
    assert files[0].read_text("utf-8").count("<image") == 5 * 4 + 1  # the heads, and the colour bar


def test_token_names_are_readable(toy_translation_run: RunFolder) -> None:
    task, _ = toy_translation_run.open(CPU)
    tokenizer = task.codec.target
    ids = tokenizer.encode("grün 東", add_special_tokens=False).ids
    names = token_names(tokenizer, [BOS, *ids, EOS])
    assert names[0] == "<bos>"
    assert names[-1] == "<eos>"
    assert "".join(names[1:]).startswith("grün")
    assert all(name.strip() and "\ufffd" not in name for name in names)  # 東 is three tokens of one byte each
