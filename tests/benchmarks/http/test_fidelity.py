"""The checker of translations against the table of cases under tests/service/translation/fidelity_cases."""

from collections import Counter

import pytest

from benchmarks.http.fidelity import Case, Outcome, read_cases, rows


def case(text: str, *kept: str, format: str = "text") -> Case:
    return Case("kind", "en", "de", format, text, tuple((one,) for one in kept))


def test_the_table_has_cases_of_all_kinds_in_four_languages() -> None:
    cases = read_cases()
    assert len(cases) >= 1300
    counts = Counter(one.kind for one in cases)
    assert len(counts) == 26
    assert min(counts.values()) >= 25
    directions = {(one.source, one.target) for one in cases}
    assert directions == {pair for other in ("de", "fr", "es") for pair in (("en", other), (other, "en"))}


def test_a_text_that_is_its_own_translation_has_no_fault() -> None:
    # Words for numbers are other words in a translation.
    same = [one for one in read_cases() if all(any(form in one.text for form in forms) for forms in one.kept)]
    assert len(same) >= 700
    assert [one.text for one in same if one.faults(one.text)] == []


@pytest.mark.parametrize(
    ("known", "translation"),
    [
        (case("Dose: 5 mg.", "5 mg"), "Setzen Sie mir!"),
        (case("It costs 25 €.", "25 €"), "Es kostet 25 €. (23)"),
        (case("It costs 25 €.", "25 €"), "Es kostet 125 €."),
        (case("Hello %{name}.", "%{name}"), "Hallo {name}."),
        (case("Tom & Anna are here."), "Tom ist hier."),
        (case("I am (very) hungry."), "Ich habe Hunger."),
        (case('He said "no".'), 'Er sagte "nein.'),
        (case("Stop!!!!"), "Halt!!"),
        (case("<p>The <b>red</b> house</p>", format="html"), "<p><b></b>Das rote Haus</p>"),
        (case("<p>The <b>red</b> house</p>", format="html"), "<p>Das rote Haus</p>"),
        (case("I am hungry."), "1."),
    ],
)
def test_faults_are_found(known: Case, translation: str) -> None:
    assert known.faults(translation)


def test_accepted_forms_are_no_faults() -> None:
    price = Case("kind", "de", "en", "text", "Er zahlt 3.500,50 €.", (("3.500,50 €", "€3,500.50"),))
    assert price.faults("He pays €3,500.50.") == []
    assert price.faults("He pays €3,500.") != []


def test_a_fault_with_a_warning_is_not_silent() -> None:
    one = case("x 5", "5")
    answers = [("x 5", [], []), ("x", ["number_changed"], ["5"]), ("x", [], ["5"]), (None, [], [])]
    found = [Outcome("native", one, *answer) for answer in answers] + [Outcome("DeepL", one, "x 5", [], [])]
    whole, other, kind = rows(found)
    assert [(row["dialect"], row["kind"]) for row in (whole, other, kind)] == [
        ("native", "all"), ("DeepL", "all"), ("native", "kind"),
    ]  # fmt: skip
    counts = {"cases": 4, "kept": 1, "warned": 1, "silent": 1, "refused": 1, "with a warning": 1}
    assert whole | counts == whole
    assert (other["cases"], other["kept"], kind["cases"]) == (1, 1, 4)
