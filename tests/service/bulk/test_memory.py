"""Lines that come again are translated once, in one run and after an interruption."""

from pathlib import Path

import pytest

from service.bulk import memory
from service.bulk.__main__ import main
from service.bulk.memory import LONGEST, TranslationMemory
from service.translation.translator import Translator
from tests.service.bulk.test_main import LANGUAGES


def test_the_lines_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LINES", 2)
    translations = TranslationMemory()
    translations.put("a", "1")
    translations.put("b", "2")
    assert translations.get("a") == "1"
    translations.put("c", "3")
    assert [translations.get(line) for line in ("a", "b", "c")] == ["1", None, "3"]
    translations.put("x" * (LONGEST + 1), "long")
    assert translations.get("x" * (LONGEST + 1)) is None


@pytest.mark.usefixtures("_settings")
def test_each_distinct_line_is_translated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translated: list[str] = []
    original = Translator.translate

    async def record(self: Translator, request: object, scope: object) -> object:
        translated.extend(request.texts)  # type: ignore[attr-defined]
        return await original(self, request, scope)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "translate", record)
    source, output = tmp_path / "in", tmp_path / "out"
    cycle = ["red house", "green dog", "", "bird", "red bird", "one dog", "two dog"]
    source.write_text("\n".join(cycle * 700) + "\nred  house\n", "utf-8")
    assert main([str(source), str(output), *LANGUAGES]) == 0
    lines = output.read_text("utf-8").split("\n")[:-1]
    assert lines == [*lines[:7] * 700, lines[-1]]
    assert lines[:3] == ["rot Haus", "grün Hund", ""]
    # Blocks that run at the same time may both translate a line.
    assert all(translated.count(line) <= 2 for line in cycle)

    translated.clear()
    output.rename(tmp_path / "out.part")
    (tmp_path / "out.part").write_text("\n".join(["kept", *lines[1:7]] * 15) + "\n", "utf-8")
    assert main([str(source), str(output), *LANGUAGES]) == 0
    resumed = output.read_text("utf-8").split("\n")[:-1]
    assert translated == ["red  house"]
    assert resumed == [*["kept", *lines[1:7]] * 700, lines[-1]]
