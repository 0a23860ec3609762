"""Count what a running service loses, changes or invents: numbers, units, code, placeholders, marks, elements.

    python -m benchmarks.http.fidelity [--url URL] [--cases FOLDER] [--show] [--json FILE]

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common.figures import write_figures

CASES = Path("tests/service/translation/fidelity_cases")
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

    case: Case
    translation: str
    warnings: list[str]
    faults: list[str]

    @property
    def verdict(self) -> str:
        return "kept" if not self.faults else "warned" if self.warnings else "silent fault"


def outcomes(client: httpx.Client, cases: Sequence[Case]) -> list[Outcome]:
    """Translate all cases with a running service, one request per direction and format."""
    groups: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.source, case.target, case.format), []).append(case)
    found = []
    for (source, target, format), group in groups.items():
        body = {"text": [case.text for case in group], "source": source, "target": target, "format": format}
        reply = client.post("/v1/translate", json=body)
        reply.raise_for_status()
        for case, answer in zip(group, reply.json()["translations"], strict=True):
            text = answer["text"]
            found.append(Outcome(case, text, answer.get("warnings") or [], case.faults(text)))
    return found


def rows(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the counts of each kind, and of all."""
    kinds = [*dict.fromkeys(one.case.kind for one in found), "all"]
    table = []
    for kind in kinds:
        counts = Counter(one.verdict for one in found if kind in {one.case.kind, "all"})
        flagged = sum(bool(one.warnings) for one in found if kind in {one.case.kind, "all"})
        table.append(
            {
                "kind": kind, "cases": counts.total(), "kept": counts["kept"], "warned": counts["warned"],
                "silent": counts["silent fault"], "with a warning": flagged,
            }
        )  # fmt: skip
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--show", action="store_true", help="print every answer with a fault or a warning")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with httpx.Client(base_url=arguments.url, timeout=300, trust_env=False) as client:
        found = outcomes(client, read_cases(arguments.cases))
    for one in found if arguments.show else ():
        if one.faults or one.warnings:
            case = one.case
            sys.stdout.write(f"{one.verdict} [{case.kind} {case.source}-{case.target} {case.format}] {case.text!r}\n")
            sys.stdout.write(f"    {one.translation!r} {one.faults} {one.warnings}\n")
    table = rows(found)
    for row in table:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    if arguments.json:
        write_figures(arguments.json, "What a translation loses, changes or invents", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
