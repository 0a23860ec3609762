"""Language tags: which served language a tag finds."""

import pytest
from langcodes import Language

from service.text.languages import MAX_CACHED_TAGS, language_name, match_language

SERVED = {"en", "de", "fr", "pt-BR", "zh-Hans", "zh-Hant", "nb", "sr"}


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"), ("EN", "en"), ("en-US", "en"), ("de_AT", "de"), ("De-aT", "de"), ("de-1996", "de"),
        ("de-u-co-phonebk", "de"), ("fra", "fr"), ("fre", "fr"), ("pt_br", "pt-BR"), ("pt", "pt-BR"),
        ("zh-Hans", "zh-Hans"), ("zh", "zh-Hans"), ("zh-CN", "zh-Hans"), ("ZH-TW", "zh-Hant"), ("zh_HK", "zh-Hant"),
        ("cmn", "zh-Hans"), ("no", "nb"), ("nb_NO", "nb"), ("no-NO", "nb"), ("sr-Latn", "sr"),
        # no match: another language, another region's variety, no language, no tag
        ("nl", None), ("pt-PT", None), ("und", None), ("auto", None), ("zz", None), ("x-de", None), ("i-klingon", None),
        ("", None), ("de@formal", None), ("de_DE.UTF-8", None), ("x" * 35, None), ("\ud800", None), ("en-", None),
    ],
)  # fmt: skip
def test_a_tag_finds_a_served_language(tag: str, language: str | None) -> None:
    assert match_language(tag, SERVED) == language


def test_a_served_language_has_any_spelling() -> None:
    assert match_language("a", {"a", "b"}) == "a"  # no tag at all, but the name of a model's language
    assert match_language("zh-cn", {"zh_CN"}) == "zh_CN"
    assert match_language("he", {"iw"}) == "iw"
    assert match_language("zh-TW", {"zh"}) == "zh"
    assert match_language("de", set()) is None


def test_the_most_specific_language_is_found() -> None:
    assert match_language("PT", {"pt", "pt-BR"}) == "pt"
    assert match_language("PT_BR", {"pt", "pt-BR"}) == "pt-BR"
    assert match_language("pt-PT", {"pt", "pt-BR"}) == "pt"
    assert match_language("en", {"en-GB"}) == match_language("EN_gb", {"en-GB"}) == "en-GB"
    assert match_language("en-US", {"en-GB"}) is None


def test_the_memory_for_tags_is_limited() -> None:
    for i in range(3 * MAX_CACHED_TAGS):
        assert match_language(f"de-x-{i}", {"de"}) == "de"
    assert len(Language._PARSE_CACHE) + len(Language._INSTANCES) < 2 * MAX_CACHED_TAGS


def test_names() -> None:
    assert [language_name(code) for code in ("de", "zh-TW", "pt_BR", "tlh")] == [
        "German", "Chinese (TW)", "Portuguese (BR)", "tlh",
    ]  # fmt: skip
