"""The figures and the examples of a translator's model card, through HTTP, greedy, as it is served by default.

    python -m benchmarks.http.translator_card ARTIFACT --data data --recipe NAME --parameters "8.2 M"
        --took "195 min" --notes training/recipes/NAME.md [--text FILE] [--json docs/figures/quality-shipped.json]

Measures all directions on the test sets of benchmarks/offline/quality.py whose files exist, and translates the hard
inputs below. The rows of the artifact in the JSON file are replaced, the others stay. The notes are Markdown for
`python -m export --notes`: the table, the text of FILE, and the examples.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common.figures import write_figures
from benchmarks.http.quality import post
from benchmarks.http.servers import attendant_server
from benchmarks.offline.quality import SETS
from service.artifact import Artifact, Direction, read_artifact
from training.data.corpus import read_corpus
from training.metrics import translation_metrics

KINDS = (
    "long", "several sentences", "all capitals", "lower-cased, no punctuation", "misspelt", "mixed case", "news",
    "documentation",
)  # fmt: skip
HARD_INPUTS = {
    "en": (
        "When I arrived at the station yesterday evening, the last train had already left, so I had to spend the night "
        "in a small hotel near the river, where a friendly old woman gave me something to eat and told me stories "
        "about the war until midnight.",
        "I don't know what to do. Can you help me? My brother is ill and he can't go to work tomorrow. Please call me "
        "back!",
        "WHERE IS MY MONEY? GIVE IT BACK!",
        "where do you live now and what is your name",
        "I dont knwo where teh next bus stpo is.",
        "tom SAID he'd be here at 2:30... he is not here yet!!",
        "The European Commission proposed new rules on the taxation of digital services on Wednesday.",
        "To delete the file, click Settings and then select the Remove option.",
    ),
    "de": (
        "Als ich gestern Abend am Bahnhof ankam, war der letzte Zug schon abgefahren, sodass ich die Nacht in einem "
        "kleinen Hotel in der Nähe des Flusses verbringen musste, wo mir eine freundliche alte Frau etwas zu essen gab "
        "und mir bis Mitternacht Geschichten erzählte.",
        "Ich weiß nicht, was ich tun soll. Kannst du mir helfen? Mein Bruder ist krank und kann morgen nicht zur "
        "Arbeit gehen. Ruf mich bitte zurück!",
        "WO IST MEIN GELD? GIB ES ZURÜCK!",
        "wo wohnst du jetzt und wie heißt du",
        "Ich weis nciht, wo die nächste Bushaltestele ist.",
        "tom SAGTE er wäre um 14:30 hier... er ist noch nicht da!!",
        "Die Europäische Kommission hat am Mittwoch neue Regeln zur Besteuerung digitaler Dienste vorgeschlagen.",
        "Um die Datei zu löschen, klicken Sie auf Einstellungen und wählen Sie dann die Option Entfernen aus.",
    ),
    "fr": (
        "Quand je suis arrivé à la gare hier soir, le dernier train était déjà parti, alors j'ai dû passer la nuit "
        "dans un petit hôtel près de la rivière, où une vieille dame sympathique m'a donné à manger et m'a raconté des "
        "histoires jusqu'à minuit.",
        "Je ne sais pas quoi faire. Peux-tu m'aider ? Mon frère est malade et il ne peut pas aller travailler demain. "
        "Rappelle-moi, s'il te plaît !",
        "OÙ EST MON ARGENT ? RENDS-LE-MOI !",
        "où habites-tu maintenant et comment t'appelles-tu",
        "Je ne sait pas ou est le prochian arrêt de bus.",
        "tom a DIT qu'il serait ici à 14:30... il n'est pas encore là !!",
        "La Commission européenne a proposé mercredi de nouvelles règles sur la taxation des services numériques.",
        "Pour supprimer le fichier, cliquez sur Paramètres, puis sélectionnez l'option Supprimer.",
    ),
    "es": (
        "Cuando llegué a la estación ayer por la noche, el último tren ya había salido, así que tuve que pasar la "
        "noche en un pequeño hotel cerca del río, donde una anciana amable me dio algo de comer y me contó historias "
        "hasta la medianoche.",
        "No sé qué hacer. ¿Puedes ayudarme? Mi hermano está enfermo y no puede ir a trabajar mañana. ¡Llámame, por "
        "favor!",
        "¿DÓNDE ESTÁ MI DINERO? ¡DEVUÉLVEMELO!",
        "dónde vives ahora y cómo te llamas",
        "No se donde esta la proxima parda de autobús.",
        "tom DIJO que estaría aquí a las 14:30... ¡¡todavía no está!!",
        "La Comisión Europea propuso el miércoles nuevas normas sobre la tributación de los servicios digitales.",
        "Para eliminar el archivo, haga clic en Configuración y, a continuación, seleccione la opción Quitar.",
    ),
}


class ServedTranslator:
    """An artifact that is served."""

    def __init__(self, artifact: Artifact, client: httpx.Client) -> None:
        self.directions, self._name, self._client = artifact.manifest.directions, artifact.manifest.name, client

    def translate(self, texts: Sequence[str], direction: Direction) -> list[str]:
        """Return the translations; that of a refused text is empty."""
        body = {"model": self._name, "source": direction.source, "target": direction.target}
        answers = post(self._client, "/v1/translate", dict[str, object](body), list(texts), "translations")
        return [answer.get("text", "") for answer in answers]

    def measure(self, data: Path) -> Iterator[tuple[str, Direction, int, dict[str, float]]]:
        """Yield the name of a set, the direction, the number of rows, BLEU and chrF."""
        for name, start in SETS.items():
            for direction in self.directions:
                pair = (direction.source, direction.target)
                for columns in (pair, pair[::-1]):
                    file = f"{start}.{'-'.join(columns)}.tsv.gz"
                    if (data / file).is_file():
                        rows = read_corpus([file], list(columns), data)
                        source = columns.index(direction.source)
                        found = self.translate([row[source] for row in rows], direction)
                        metrics = translation_metrics(found, [row[1 - source] for row in rows])
                        wanted = {"BLEU": round(float(metrics["bleu"]), 2), "chrF": round(float(metrics["chrf"]), 2)}
                        yield name, direction, len(rows), wanted


def table_of(rows: Sequence[tuple[str, Direction, int, dict[str, float]]]) -> list[str]:
    """Return a Markdown table: a line for each direction, a column for each set."""
    sizes: dict[str, set[int]] = {}
    cells: dict[str, dict[str, str]] = {}
    for name, direction, count, metrics in rows:
        sizes.setdefault(name, set()).add(count)
        key = f"{direction.source} to {direction.target}"
        cells.setdefault(key, {})[name] = f"{metrics['BLEU']:.2f}; {metrics['chrF']:.2f}"
    heads = [f"{name} ({', '.join(f'{count:,}' for count in sorted(counts))})" for name, counts in sizes.items()]
    return [
        f"| direction | {' | '.join(heads)} |",
        "|---" * (len(heads) + 1) + "|",
        *(f"| {key} | {' | '.join(found.get(name, '') for name in sizes)} |" for key, found in cells.items()),
    ]


def examples_of(translator: ServedTranslator) -> Iterator[str]:
    """Yield the lines of the examples, in Markdown."""
    for direction in translator.directions:
        texts = HARD_INPUTS.get(direction.source, ())
        yield from ("", f"### {direction.source} to {direction.target}", "")
        yield from ("| input | text | translation |", "|---|---|---|")
        for kind, text, translation in zip(KINDS, texts, translator.translate(texts, direction), strict=True):
            yield f"| {kind} | {text} | {translation} |".replace("\n", " ")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--parameters", required=True, help="of the model, such as '8.2 M'")
    parser.add_argument("--took", required=True, help="how long the training took, in words")
    parser.add_argument("--text", type=Path, help="Markdown between the table and the examples")
    parser.add_argument("--notes", type=Path, required=True, help="file to write")
    parser.add_argument("--json", type=Path, help="file whose rows of this artifact are replaced")
    arguments = parser.parse_args(words)
    artifact = read_artifact(arguments.artifact)
    with (
        attendant_server([arguments.artifact]) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=120, trust_env=False) as client,
    ):
        translator = ServedTranslator(artifact, client)
        rows = []
        for row in translator.measure(arguments.data):
            rows.append(row)
            sys.stdout.write(f"{row[0]} {row[1].source}-{row[1].target}: {row[3]}\n")
            sys.stdout.flush()
        examples = list(examples_of(translator))
    text = arguments.text.read_text("utf-8").strip().splitlines() if arguments.text else []
    lines = [
        "## Over HTTP, greedy", "", "Cased BLEU; chrF.", "", *table_of(rows), "", *text, "", "## Examples", "",
        "Translations by the service with this artifact, unselected.", *examples,
    ]  # fmt: skip
    arguments.notes.write_text("\n".join(lines) + "\n", "utf-8")
    if arguments.json:
        before: dict[str, Any] = json.loads(arguments.json.read_text("utf-8"))
        kept = [row for row in before["rows"] if row["artifact"] != artifact.manifest.name]
        goals = {row["data"]: {"goal": row["goal"]} for row in before["rows"] if "goal" in row}
        training = {"recipe": arguments.recipe, "parameters": arguments.parameters, "took": arguments.took}
        measured = []
        for name, direction, count, metrics in rows:
            test_set = f"{name} {direction.source}-{direction.target} ({count:,})"
            figures = {"data": test_set, "metrics": metrics, "artifact": artifact.manifest.name}
            measured.append(figures | goals.get(test_set, {}) | training)
        write_figures(arguments.json, before["what"], [*measured, *kept])
    return 0


if __name__ == "__main__":
    sys.exit(main())
