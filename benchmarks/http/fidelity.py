"""Count what the service loses, changes or invents: numbers, units, code, placeholders, marks, elements.

    python -m benchmarks.http.fidelity --url URL [--cases FOLDER] [--dialect NAME] [--show] [--json FILE]
    python -m benchmarks.http.fidelity [--before FOLDER] ...

The first form asks a running service. The second one serves the translator that ships with this checkout, and with
`--before` also that of another checkout, whose figures are printed beside. All dialects of the API that translate are
asked; those that do not know Markdown get the other cases, DeepL's handling of XML tags the ones with tags.

Each case of the folder is a text with strings that must be in its translation as often as in the text. Besides, no
digits may appear that the text does not have, and brackets, quotation marks, signs, runs of punctuation and tags must
be as many as in the text, and elements with text must have some. An answer is `kept`, or `warned` if something is wrong
and it has a warning, or else a `silent fault`.

A file of cases is a kind. Its tables are directions; `cases` are plain texts, `html` and `markdown` texts of that
format. A case is a list: the text, then what must be kept; a list there gives the forms that are accepted, and the
first one that the text contains is its form in the text.
"""

import argparse
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common.figures import write_figures
from benchmarks.http.servers import attendant_server

CASES = Path("tests/service/translation/fidelity_cases")
MODEL = "translate-en-de-fr-es"
CHUNK = 40  # texts of a request
TIMEOUT = 600.0  # seconds
_FORMATS = {"cases": "text", "html": "html", "markdown": "markdown"}
_DIGITS = re.compile(r"\d+")
_SIGNS = "()[]{}<>&*_~#@$€£%°§|\\^=+"
_QUOTES = '"„“”«»'
_RUN = re.compile(r"[.!?…]{2,}")
_TAG = re.compile(r"</?[a-z][^<>]*>")
_ELEMENT = re.compile(r"<([a-z]+)[^<>]*>([^<>]*)</\1>")


@dataclass(frozen=True)
class Case:
    """A text, and what its translation must contain."""

    kind: str
    source: str
    target: str
    format: str
    text: str
    kept: tuple[tuple[str, ...], ...]  # the accepted forms of each

    def faults(self, translation: str) -> list[str]:
        """Return what is lost, changed or invented in a translation."""
        faults = []
        rest, source_rest = translation, self.text
        for forms in sorted(self.kept, key=lambda forms: -max(map(len, forms))):
            own = next((form for form in forms if form in source_rest), None)
            wanted = source_rest.count(own) if own else 1
            if own:
                source_rest = source_rest.replace(own, " ")
            pattern = re.compile("|".join(_whole(form) for form in sorted(forms, key=len, reverse=True)), re.IGNORECASE)
            found = len(pattern.findall(rest))
            if found != wanted:
                faults.append(f"{found} of {wanted} {forms[0]}")
            rest = pattern.sub(" ", rest)
        invented = Counter(_DIGITS.findall(rest)) - Counter(_DIGITS.findall(source_rest))
        faults += [f"invented {digits}" for digits in invented]
        faults += [
            f"{rest.count(sign)} of {source_rest.count(sign)} {sign}"
            for sign in _SIGNS
            if rest.count(sign) != source_rest.count(sign)
        ]
        quotes = sum(map(self.text.count, _QUOTES)), sum(map(translation.count, _QUOTES))
        if quotes[0] != quotes[1]:
            faults.append(f"{quotes[1]} of {quotes[0]} quotation marks")
        if sorted(_RUN.findall(self.text)) != sorted(_RUN.findall(translation)):
            faults.append("runs of punctuation")
        if self.format == "html":
            faults += _element_faults(self.text, translation)
        if any(map(str.isalpha, self.text)) and not any(map(str.isalpha, translation)):
            faults.append("no letters")
        return faults


def _whole(form: str) -> str:
    """Return a pattern of a form that is no part of a longer word or number."""
    before = r"(?<![\w.,])" if form[0].isdigit() else r"(?<!\w)" if form[0].isalpha() and form.isascii() else ""
    after = r"(?!\d|[.,]\d)" if form[-1].isdigit() else ""
    return before + re.escape(form) + after


def _element_faults(text: str, translation: str) -> Iterator[str]:
    if Counter(_TAG.findall(text)) != Counter(_TAG.findall(translation)):
        yield "tags"
    filled, empty = (
        Counter(name for name, content in _ELEMENT.findall(side) if bool(content.strip()) == has_text)
        for side, has_text in ((text, True), (translation, False))
    )
    for name in filled.keys() & empty.keys():
        yield f"empty <{name}>"


def read_cases(folder: Path = CASES) -> list[Case]:
    """Return the cases of all files of a folder."""
    cases = []
    for file in sorted(folder.glob("*.toml")):
        for direction, tables in tomllib.loads(file.read_text("utf-8")).items():
            source, target = direction.split("-")
            for key, rows in tables.items():
                for text, *kept in rows:
                    forms = tuple((form,) if isinstance(form, str) else tuple(form) for form in kept)
                    cases.append(Case(file.stem, source, target, _FORMATS[key], text, forms))
    return cases


@dataclass(frozen=True)
class Outcome:
    """A case with its translation, the warnings, and the faults."""

    dialect: str
    case: Case
    translation: str | None  # None: the request was refused
    warnings: list[str]
    faults: list[str]

    @property
    def verdict(self) -> str:
        if self.translation is None:
            return "refused"
        return "kept" if not self.faults else "warned" if self.warnings else "silent fault"


Answers = list[tuple[str, list[str]]]  # translations with their warnings
Group = tuple[str, str, str]  # source, target, format


def _native(client: httpx.Client, group: Group, texts: list[str]) -> Answers:
    source, target, format = group
    body = {"text": texts, "source": source, "target": target, "format": format}
    reply = client.post("/v1/translate", json=body).raise_for_status().json()
    return [(answer["text"], answer.get("warnings") or []) for answer in reply["translations"]]


def _libretranslate(client: httpx.Client, group: Group, texts: list[str]) -> Answers:
    source, target, format = group
    body = {"q": texts, "source": source, "target": target, "format": format}
    reply = client.post("/translate", json=body).raise_for_status().json()
    return list(zip(reply["translatedText"], reply.get("warnings") or [[]] * len(texts), strict=True))


def _deepl(client: httpx.Client, group: Group, texts: list[str], tags: str = "html") -> Answers:
    source, target, format = group
    body: dict[str, Any] = {"text": texts, "source_lang": source.upper(), "target_lang": target.upper()}
    body |= {"tag_handling": tags} if format == "html" else {}
    reply = client.post("/v2/translate", json=body).raise_for_status().json()
    return [(answer["text"], answer.get("warnings") or []) for answer in reply["translations"]]


def _deepl_xml(client: httpx.Client, group: Group, texts: list[str]) -> Answers:
    return _deepl(client, group, texts, "xml")


def _open_inference(client: httpx.Client, group: Group, texts: list[str]) -> Answers:
    inputs = [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]
    body = {"inputs": inputs, "parameters": {"source": group[0], "target": group[1]}}
    reply = client.post(f"/v2/models/{MODEL}/infer", json=body).raise_for_status().json()
    outputs = {one["name"]: one["data"] for one in reply["outputs"]}
    warnings = [one.split("; ") if one else [] for one in outputs["warnings"]]
    return list(zip(outputs["translation"], warnings, strict=True))


@dataclass(frozen=True)
class Dialect:
    """How a dialect is asked, and the formats that it knows."""

    ask: Callable[[httpx.Client, Group, list[str]], Answers]
    formats: frozenset[str]


DIALECTS = {
    "native": Dialect(_native, frozenset({"text", "html", "markdown"})),
    "LibreTranslate": Dialect(_libretranslate, frozenset({"text", "html"})),
    "DeepL": Dialect(_deepl, frozenset({"text", "html"})),
    "DeepL, tag_handling xml": Dialect(_deepl_xml, frozenset({"html"})),
    "Open Inference Protocol": Dialect(_open_inference, frozenset({"text"})),
}


def outcomes(client: httpx.Client, cases: Sequence[Case], dialect: str = "native") -> list[Outcome]:
    """Translate the cases whose format a dialect knows; requests have at most CHUNK texts."""
    groups: dict[Group, list[Case]] = {}
    for case in cases:
        if case.format in DIALECTS[dialect].formats:
            groups.setdefault((case.source, case.target, case.format), []).append(case)
    found = []
    for key, group in groups.items():
        for start in range(0, len(group), CHUNK):
            chunk = group[start : start + CHUNK]
            try:
                answers = DIALECTS[dialect].ask(client, key, [case.text for case in chunk])
            except httpx.HTTPStatusError:
                found += [Outcome(dialect, case, None, [], []) for case in chunk]
                continue
            for case, (text, warnings) in zip(chunk, answers, strict=True):
                found.append(Outcome(dialect, case, text, warnings, case.faults(text)))
    return found


def rows(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the counts of each dialect, and of each kind in the native dialect."""
    parts = [("all", dialect) for dialect in dict.fromkeys(one.dialect for one in found)]
    parts += [(kind, "native") for kind in dict.fromkeys(one.case.kind for one in found if one.dialect == "native")]
    table = []
    for kind, dialect in parts:
        chosen = [one for one in found if one.dialect == dialect and kind in {one.case.kind, "all"}]
        counts = Counter(one.verdict for one in chosen)
        table.append(
            {
                "dialect": dialect, "kind": kind, "cases": counts.total(), "kept": counts["kept"],
                "warned": counts["warned"], "silent": counts["silent fault"], "refused": counts["refused"],
                "with a warning": sum(bool(one.warnings) for one in chosen),
            }
        )  # fmt: skip
    return table


def _show(found: Sequence[Outcome]) -> None:
    for one in found:
        if one.faults or one.warnings or one.translation is None:
            case = one.case
            title = f"{one.verdict} [{one.dialect}, {case.kind}, {case.source}-{case.target}, {case.format}]"
            sys.stdout.write(f"{title} {case.text!r}\n    {one.translation!r} {one.faults} {one.warnings}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running service; default: start that of this checkout")
    parser.add_argument("--before", type=Path, help="another checkout, for comparison")
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--dialect", action="append", choices=DIALECTS, help="may be repeated (default: all)")
    parser.add_argument("--show", action="store_true", help="print every answer with a fault or a warning")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    settings: dict[str, Any] = {"ATTENDANT_REQUEST_TIMEOUT_SECONDS": str(TIMEOUT)}
    tables = []
    for checkout in [Path(), arguments.before] if arguments.before else [Path()]:
        with ExitStack() as stack:
            url = arguments.url if checkout == Path() else None
            if url is None:
                running = stack.enter_context(attendant_server([checkout / "models" / MODEL], checkout, **settings))
                url = f"http://127.0.0.1:{running.port}"
            client = stack.enter_context(httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False))
            cases = read_cases(arguments.cases)
            found = [one for name in arguments.dialect or DIALECTS for one in outcomes(client, cases, name)]
        if arguments.show:
            _show(found)
        tables.append(rows(found))
    table = tables[0]
    for row, before in zip(table, tables[1] if len(tables) > 1 else [], strict=False):
        row |= {f"before {name}": before[name] for name in ("kept", "warned", "silent", "refused")}
    for row in table:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    if arguments.json:
        write_figures(arguments.json, "What a translation loses, changes or invents", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
