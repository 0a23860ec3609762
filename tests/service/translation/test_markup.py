"""HTML through the whole service and a real model: words are translated, everything else keeps its place."""

from collections import Counter
from typing import Any

import pytest

from service.text.markup.tokenizer import tokenise
from tests.service.conftest import Service, assert_problem

CASES = {
    "plain": ("one dog", "eins Hund"),
    "paragraphs": ("<p>one dog</p>\n\n  <p>two bird</p>\n", "<p>eins Hund</p>\n\n  <p>zwei Vogel</p>\n"),
    "bold": ("<p>one <b>red</b> dog</p>", "<p>eins <b>rot</b> Hund</p>"),
    "link": ('see <a href="x?a=1&b=2" title=\'<>\'>green house</a>', None),
    "nested": ("one <b>red <i>dog</i></b> two", None),
    "around everything": ("<b><i>one dog</i></b>", "<b><i>eins Hund</i></b>"),
    "list": ("<ul>\n<li>one dog\n<li>two <em>bird</em></ul>", "<ul>\n<li>eins Hund\n<li>zwei <em>Vogel</em></ul>"),
    "table": ("<table><tr><td>one<td>red dog</table>", "<table><tr><td>eins<td>rot Hund</table>"),
    "break": ("one dog<br>Two bird<br/>", None),
    "image": ("<p>red house<img src=a.png></p>", "<p>rot Haus<img src=a.png></p>"),
    "entities": ("one &amp; two &lt;dog&gt;", None),
    "code": ("one <code>x = 1</code> dog", None),
    "no translation": ('red <span translate="no">Wet Leg</span> house', None),
    "script": ("<script>if (a<b) x='</p>'</script>one dog", "<script>if (a<b) x='</p>'</script>eins Hund"),
    "comment": ("<!-- <b> -->one dog<!-- red -->", "<!-- <b> -->eins Hund<!-- red -->"),
    "head": (
        "<!doctype html><html><head><title>red house</title></head><body>one</body></html>",
        "<!doctype html><html><head><title>rot Haus</title></head><body>eins</body></html>",
    ),
    "wrongly nested": ("<b>one <i>two</b> three</i>", None),
    "never closed": ("<p>one <b>two dog", None),
    "closed too often": ("one dog</b> two</p>", None),
    "cut off": ("one dog <a href=\"x", None),
    "empty elements": ("one <b></b> dog<i></i>", None),
    "placeholders": ("<p>one {name} <b>dog</b></p>", None),
    "nothing to translate": ("<hr><p>12:30</p>", "<hr><p>12:30</p>"),
}  # fmt: skip


def translate(service: Service, markup: str, **options: Any) -> dict[str, Any]:
    body = {"text": markup, "source": "a", "target": "b", "format": "html", **options}
    reply = service.post("/v1/translate", body)
    assert reply.status_code == 200, reply.text
    [translation] = reply.json()["translations"]
    return translation  # type: ignore[no-any-return]


def tags(markup: str) -> list[str]:
    return [token.raw for token in tokenise(markup, "html") if token.kind != "text"]


def is_nested(markup: str) -> bool:
    path: list[str] = []
    for token in tokenise(markup, "html"):
        if token.kind == "open":
            path.append(token.name)
        elif token.kind == "close" and (not path or path.pop() != token.name):
            return False
    return not path


@pytest.mark.parametrize("name", CASES)
def test_markup_case(service: Service, name: str) -> None:
    markup, expected = CASES[name]
    text = translate(service, markup)["text"]
    assert Counter(tags(text)) == Counter(tags(markup))
    assert is_nested(text) or not is_nested(markup)
    if expected is not None:
        assert text == expected
    for kept in ("{name}", "Wet Leg", "x = 1"):
        assert text.count(kept) == markup.count(kept)


def test_a_sentence_is_not_broken_at_a_tag(service: Service) -> None:
    whole = translate(service, "three red house two bird")["text"]
    tagged = translate(service, "three <b>red</b> house <i>two</i> bird")["text"]
    assert tagged.replace("<b>", "").replace("</b>", "").replace("<i>", "").replace("</i>", "") == whole


def test_alternatives_are_whole_documents(service: Service) -> None:
    translation = translate(service, "<p>one <b>dog</b></p><p>red</p>", beam_size=3, n_best=3)
    texts = [translation["text"], *(other["text"] for other in translation["alternatives"])]
    assert len(set(texts)) == 3
    assert all(Counter(tags(text)) == Counter(tags(texts[0])) and is_nested(text) for text in texts)


@pytest.mark.parametrize("wrong", [{"format": "xml"}, {"format": "rst"}, {"include": ["alignment"]}])
def test_an_unknown_format_and_alignment_of_html_are_rejected(service: Service, wrong: dict[str, Any]) -> None:
    body = {"text": "one", "target": "b", "format": "html"} | wrong
    detail = assert_problem(service.post("/v1/translate", body), 422, "invalid_request")["detail"]
    assert "format" in detail or "html" in detail


def test_words_of_a_plain_text_are_linked(service: Service) -> None:
    body = {"text": "red house\n two dog", "source": "a", "target": "b", "include": ["alignment"]}
    [translation] = service.post("/v1/translate", body).json()["translations"]
    source, target = body["text"], translation["text"]
    assert target == "rot Haus\n zwei Hund"
    found = [
        (source[link["source_start"] : link["source_end"]], target[link["target_start"] : link["target_end"]])
        for link in translation["alignment"]
    ]
    assert [word for _, word in found] == ["rot", "Haus", "zwei", "Hund"]
