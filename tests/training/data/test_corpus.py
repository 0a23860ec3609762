"""Corpora: every form gives the same rows, and an error names its file and line."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import write_rows
from training.config import NegativesConfig
from training.data.corpus import CorpusError, FilterReport, Row, clean, read_corpus, sample_negatives

ROWS = [("ein Haus", "a house"), ("zwei Hunde 🐕", "two dogs 🐕"), ("drei\u2028Vögel", "three birds")]
COLUMNS = ["de", "en"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder for the real `datasets` library, which caches beside it."""
    import datasets

    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as settings:
        settings.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        yield folder


def write_jsonl(path: Path, records: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


def refusal(source: str, root: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read_corpus([source], COLUMNS, root)
    return str(caught.value)


@pytest.mark.parametrize(
    "source", ["rows.tsv", "rows.tsv.gz", "windows.tsv", "rows.de + rows.en", "rows.de.gz + rows.en", "rows.jsonl"]
)
def test_every_corpus_form_gives_the_same_rows(tmp_path: Path, source: str) -> None:
    write_rows(tmp_path / "rows.tsv", ROWS)
    raw = (tmp_path / "rows.tsv").read_bytes()
    (tmp_path / "rows.tsv.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "windows.tsv").write_bytes(b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n"))
    (tmp_path / "rows.de").write_text("".join(f"{de}\n" for de, _ in ROWS), "utf-8")
    (tmp_path / "rows.de.gz").write_bytes(gzip.compress((tmp_path / "rows.de").read_bytes()))
    (tmp_path / "rows.en").write_text("\n".join(en for _, en in ROWS), "utf-8")
    write_jsonl(tmp_path / "rows.jsonl", [{"en": en, "note": 1, "de": de} for de, en in ROWS])
    assert read_corpus([source], COLUMNS, tmp_path) == ROWS
    assert read_corpus([source, "rows.tsv"], COLUMNS, tmp_path) == ROWS + ROWS


@pytest.mark.parametrize(
    ("source", "content", "place"),
    [
        ("a.tsv", b"ein\tone\nzwei\n", "a.tsv:2: expected 2 tab-separated fields, found 1"),
        ("a.tsv", b"ein\tone\nzwei\ttwo\tdos\n", "a.tsv:2: expected 2 tab-separated fields, found 3"),
        ("a.tsv", b"ein\tone\nf\xfcnf\tfive\n", "a.tsv:2: not UTF-8"),
        ("a.tsv", b"", "a.tsv: the corpus is empty"),
        ("a.tsv.gz", gzip.compress(b""), "a.tsv.gz: the corpus is empty"),
        ("a.tsv.gz", gzip.compress(b"ein\tone\n" * 9)[:-9], "a.tsv.gz:1: damaged gzip file"),
        ("a.tsv.gz", gzip.compress(b"ein\tone\n")[:-8] + bytes(8), "a.tsv.gz:1: damaged gzip file"),
        ("a.tsv.gz", gzip.compress(b"ein\tone\n")[:10] + b"\xff" * 20, "a.tsv.gz:1: damaged gzip file"),
        ("a.tsv.gz", b"ein\tone\n", "a.tsv.gz:1: damaged gzip file"),
        ("a.jsonl", b'{"de": "ein", "en": "one"}\n{"de": \n', "a.jsonl:2: not JSON"),
        ("a.jsonl", b'{"de": "ein"}\n', "a.jsonl:1: expected an object with de and en, found keys 'de'"),
        ("a.jsonl", b'["ein", "one"]\n', "a.jsonl:1: expected a JSON object"),
        ("a.jsonl", b'{"de": "ein", "en": {"a": 1}}\n', "a.jsonl:1: expected a text or a number"),
        ("a.jsonl", b'{"de": "ein", "en": ["one", "1"]}\n', "a.jsonl:1: a list, where one value was expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_corpus_error_names_file_and_line(tmp_path: Path, source: str, content: bytes, place: str) -> None:
    (tmp_path / source).write_bytes(content)
    assert place in refusal(source, tmp_path)


def test_misaligned_files_error_names_missing_line(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_text("ein\nzwei\ndrei\n", "utf-8")
    (tmp_path / "a.en").write_text("one\ntwo\n", "utf-8")
    assert "a.en:3: missing line" in refusal("a.de + a.en", tmp_path)
    assert "a.en:3: missing line" in refusal("a.en + a.de", tmp_path)
    assert "expected 2 parallel files, found 3" in refusal("a.de + a.en + a.en", tmp_path)


def test_unreadable_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "folder.tsv").mkdir()
    assert "none.tsv.gz: no such file; give the data folder with --data" in refusal("none.tsv.gz", tmp_path)
    assert "folder.tsv: cannot be read: Is a directory" in refusal("folder.tsv", tmp_path)


def test_hub_dataset_folder_is_read(hub: Path) -> None:
    write_jsonl(hub / "pairs" / "train.jsonl", [{"translation": {"de": de, "en": en}} for de, en in ROWS])
    write_jsonl(hub / "pairs" / "test.jsonl", [{"translation": {"de": "vier", "en": "four"}}])
    assert read_corpus(["hf:pairs"], COLUMNS, hub) == ROWS
    assert read_corpus(["hf:pairs#test"], COLUMNS, hub) == [("vier", "four")]
    assert "hf:pairs: " in refusal("hf:pairs#absent", hub)
    assert "hf:nobody/nothing: " in refusal("hf:nobody/nothing", hub)


def test_hub_class_label_becomes_its_name(hub: Path) -> None:
    write_jsonl(hub / "films" / "train.jsonl", [{"text": "dull", "label": 0}, {"text": "great", "label": 1}])
    names = "{class_label: {names: {'0': bad, '1': good}}}"
    features = f"[{{name: text, dtype: string}}, {{name: label, dtype: {names}}}]"
    (hub / "films" / "README.md").write_text(f"---\ndataset_info: {{features: {features}}}\n---\n", "utf-8")
    assert read_corpus(["hf:films"], ["label", "text"], hub) == [("bad", "dull"), ("good", "great")]
    write_jsonl(hub / "films" / "test.jsonl", [{"text": "dull", "label": 1}, {"text": "great", "label": -1}])
    write_jsonl(hub / "films" / "other.jsonl", [{"text": "dull", "label": None}])
    with pytest.raises(CorpusError, match=r"hf:films:2: no label: label -1; test splits often come without"):
        read_corpus(["hf:films#test"], ["label", "text"], hub)


def test_lone_surrogate_is_rejected_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"de": "a", "en": "b"}\n{"de": "a \\ud83d", "en": "b"}\n')
    assert "half.jsonl:2: a lone surrogate" in refusal("half.jsonl", tmp_path)


def test_filters_count_dropped_rows() -> None:
    rows: list[Row] = [(" a ", "b"), ("a", "b "), ("", "c"), ("d", " \t"), ("e", "f")]
    report = FilterReport()
    assert clean(rows, report) == [("a", "b"), ("e", "f")]
    assert (report.empty, report.duplicate) == (2, 1)
    # Repeated texts of a classification corpus are data, not noise.
    assert clean(rows, FilterReport(), distinct=False) == [("a", "b"), ("a", "b"), ("e", "f")]


def test_negatives_are_normalised_and_reproducible(tmp_path: Path) -> None:
    rows = [(f"Where's house {i}?", f"Wo ist Haus {i}?") for i in range(20)] + [("It burns.", "Es brennt.")]
    write_rows(tmp_path / "talk.tsv", rows)
    config = NegativesConfig(files=["talk.tsv"], columns=["text", "other"], rows=5, ending="?")
    drawn = sample_negatives(config, ["label", "text"], 3, tmp_path)
    assert len({text for _, text in drawn}) == 5
    assert all(label == "out_of_scope" and text.startswith("where's house ") for label, text in drawn)
    assert [(t, label) for label, t in drawn] == sample_negatives(config, ["text", "label"], 3, tmp_path)
    with pytest.raises(CorpusError, match="data.negatives.rows is 21, but its files hold only 20 such texts; lower it"):
        sample_negatives(config.model_copy(update={"rows": 21}), ["label", "text"], 3, tmp_path)


def test_file_may_name_its_own_columns(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.tsv", [("a house", "ein Haus")])
    write_rows(tmp_path / "b.tsv", [("une maison", "a house")])
    write_rows(tmp_path / "c.tsv", [("maison", "Haus", "house")])
    write_jsonl(tmp_path / "d.jsonl", [{"de": "Hund", "fr": "chien", "it": "cane"}])
    columns = ["en", "de", "fr"]
    sources = ["a.tsv as en, de", "b.tsv as fr,en", "c.tsv as fr, de, en", "d.jsonl as fr, de"]
    rows = read_corpus(sources, columns, tmp_path)
    assert rows == [
        ("a house", "ein Haus", ""), ("a house", "", "une maison"), ("house", "Haus", "maison"), ("", "Hund", "chien"),
    ]  # fmt: skip
    assert clean([*rows, ("alone", " ", ""), rows[0]], report := FilterReport()) == rows
    assert (report.empty, report.duplicate) == (1, 1)


@pytest.mark.parametrize("columns", ["en", "en, en", "en, it", ""])
def test_columns_missing_in_recipe_are_rejected(tmp_path: Path, columns: str) -> None:
    write_rows(tmp_path / "a.tsv", ROWS)
    assert "name two or more different columns after 'as', out of de, en" in refusal(f"a.tsv as {columns}", tmp_path)


def test_file_without_column_names_has_all_columns(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.tsv", ROWS)
    with pytest.raises(CorpusError, match=r"a.tsv:1: expected 3 tab-separated fields, found 2"):
        read_corpus(["a.tsv"], ["en", "de", "fr"], tmp_path)
