"""One function for each generated table of figures but those of speed; `BLOCKS` maps the block's name to it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from docs.generator.blocks import table
from docs.generator.cells import Column, plain, show
from docs.generator.figures import load
from service.artifact import Manifest

MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED = ("intents", "langid", "translate-en-de-fr-es")  # users have artifacts of their own beside them


def quality(name: str, columns: Sequence[Column]) -> str:
    """Return a quality table: what was tested, every metric, and the given further columns."""
    figures = load(name)
    rows = [
        [
            show(row.get("artifact", row["recipe"])), row["data"],
            "; ".join(f"{metric} {value:.2f}" for metric, value in row["metrics"].items()),
            *(column.cell(row) for column in columns),
        ]
        for row in figures.rows
    ]  # fmt: skip
    return table(["model", "test set", "result", *(column.heading for column in columns)], rows) + figures.caption()


def models() -> str:
    """Return the shipped models: what each does, its size, its licence, and where its card is."""
    rows = []
    for manifest in manifests():
        languages = {language for pair in manifest.directions for language in (pair.source, pair.target)}
        does = f"translate between {', '.join(sorted(languages))}" if languages else f"{len(manifest.labels)} labels"
        folder = MODELS / manifest.name
        size = sum((folder / file).stat().st_size for file in manifest.files) / 1e6
        rows.append([
            f"[`{manifest.name}`](../models/{manifest.name}/MODEL_CARD.md)", does, manifest.version,
            manifest.precision, f"{size:.1f} MB", manifest.provenance.licence,
        ])  # fmt: skip
    return table(["model", "task", "version", "precision", "size", "licence of the weights"], rows)


def int8() -> str:
    """Return quality in fp32 and int8, from the manifests of the shipped models and from docs/figures."""
    rows = []
    for manifest in manifests():
        values = {(one.split, one.metric, one.precision): one.value for one in manifest.evaluation}
        for (split, metric, precision), value in values.items():
            if precision == "int8" and not split.startswith("gate"):
                name = f"{manifest.name}, {split}, {'BLEU' if metric == 'bleu' else metric}"
                rows.append([name, f"{values[split, metric, 'fp32']:.2f}", f"{value:.2f}"])
    figures = load("int8-multi30k")
    rows += [[row["data"], show(row["fp32"], 2), show(row["int8"], 2)] for row in figures.rows]
    note = "\nThe rows of the shipped models come from their manifest.json. The last two rows:\n"
    return table(["model, data, metric", "fp32", "int8"], rows) + note + figures.caption()


def parity() -> str:
    """Return the largest differences seen at export, from the manifests of the shipped models and from docs/figures."""
    figures = load("parity")
    rows = [[row["artifact"], f"{row['cached']:.1e}", f"{row['onnx']:.1e}"] for row in figures.rows]
    for manifest in manifests():
        cached = f"{manifest.parity.cached:.1e}" if manifest.task == "translate" else "no cache"
        rows.append([manifest.name, cached, f"{manifest.parity.onnx:.1e}"])
    headings = ["artifact", "logits with a cache and without", "logits of ONNX and of torch"]
    return table(headings, rows) + figures.caption()


def manifests() -> list[Manifest]:
    """Return the manifests of the shipped models, by name."""
    return [Manifest.model_validate_json((MODELS / name / "manifest.json").read_text("utf-8")) for name in SHIPPED]


def cached_decoding() -> str:
    files = [load(name) for name in ("cached-decoding", "cached-decoding-multi30k")]

    def span(values: list[float]) -> str:
        return " to ".join(f"{value:.2f}" for value in dict.fromkeys((min(values), max(values))))

    rows = [
        [
            row["artifact"], str(row["rows"]), span(row["near_ms"]), span(row["far_ms"]),
            ", ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
        ]
        for figures in files
        for row in figures.rows
    ]  # fmt: skip
    headings = ["artifact", "rows", "step at 10, ms", "step at 100, ms", "ratio (median of rounds)"]
    return table(headings, rows) + "".join(figures.caption() for figures in files)


def word_alignment() -> str:
    figures = load("word-alignment")
    columns = [key for key in figures.rows[0] if "," in key]
    rows = [
        [
            f"layer {row['layer']} of {row['layers']}{', as served' if row.get('served') else ''}",
            *(f"{found} of {all_}, {found / all_:.1%}" for found, all_ in (row[column] for column in columns)),
        ]
        for row in figures.rows
    ]
    return table(["links by the attention of decoder", *columns], rows) + figures.caption()


def fuzz() -> str:
    """Return what the fuzzed requests of each kind were answered, and their sum."""
    figures = load("fuzz")
    columns = [
        Column("kind", "kind"), Column("cases", "cases"), Column("responses", "answers"), Column("2xx", "2xx"),
        Column("4xx", "4xx"), Column("501, 503", "refused"), Column("500, 502, 504", "failed"),
        Column("closed without a response", "closed"),
    ]  # fmt: skip
    total = {one.key: sum(row[one.key] for row in figures.rows) for one in columns[1:]} | {"kind": "all"}
    rows = [[column.cell(row) for column in columns] for row in [*figures.rows, total]]
    return table([column.heading for column in columns], rows) + figures.caption()


def load_test() -> str:
    figures = load("load-test")
    columns = [
        Column("endpoint", "endpoint"), Column("requests", "requests"), Column("failures", "failures"),
        Column("requests/s", "requests_per_s", 1), Column("texts/s", "texts_per_s", 1),
        Column("target tokens/s", "target_tokens_per_s", 1), Column("p50, ms", "p50_ms", 1),
        Column("p95, ms", "p95_ms", 1), Column("p99, ms", "p99_ms", 1), Column("max, ms", "max_ms", 1),
    ]  # fmt: skip
    shares = [("queue, ms (share)", "queue"), ("compute, ms (share)", "compute")]
    rows = [
        [
            *(column.cell(row) for column in columns),
            *(f"{row[f'{name}_ms']:.1f} ({row[f'{name}_share']:.0%})" for _, name in shares),
        ]
        for row in figures.rows
    ]
    return table([*(c.heading for c in columns), *(heading for heading, _ in shares)], rows) + figures.caption()


def muon() -> str:
    figures = load("training-muon")
    rows = [
        [str(row["updates"]), *(f"{row[name]:.2f} after {row[f'{name}_s']} s" for name in ("adamw", "muon"))]
        for row in figures.rows
    ]
    return table(["updates", "AdamW", "Muon"], rows) + figures.caption()


BLOCKS: dict[str, Callable[[], str]] = {
    "models": models,
    "quality-shipped": partial(
        quality, "quality-shipped", [Column("goal", "goal"), Column("for comparison", "compared_with")]
    ),
    "quality-recipes": partial(
        quality, "quality-recipes",
        [Column("parameters", "parameters"), Column("goal", "goal"), Column("for comparison", "compared_with")],
    ),
    "int8": int8,
    "imported-classifiers": partial(
        plain, "imported-classifiers",
        [
            Column("checkpoint", "checkpoint"), Column("requests", "requests"), Column("number", "texts"),
            Column("equal labels", "equal_labels"), Column("largest difference of scores", "difference"),
            Column("lines", "lines"), Column("equal ids", "equal_ids"),
        ],
    ),
    "imported-translators": partial(
        plain, "imported-translators",
        [
            Column("checkpoint", "checkpoint"), Column("parameters", "parameters"), Column("vocabulary", "vocabulary"),
            Column("largest difference of logits", "logits", 7), Column("lines", "lines"),
            Column("equal ids", "equal_ids"), Column("search", "search"), Column("sentences", "sentences"),
            Column("equal answers", "equal"), Column("different answers of transformers", "different_texts"),
        ],
    ),
    "fine-tuning": partial(
        plain, "fine-tuning",
        [
            Column("model", "model"), Column("rows", "data"), Column("precision", "precision"),
            Column("accuracy, %", "accuracy", 2), Column("size, MB", "megabytes", 1),
            Column("training, minutes", "minutes", 0),
        ],
    ),
    "parity": parity,
    "cached-decoding": cached_decoding,
    "word-alignment": word_alignment,
    "load-test": load_test,
    "fuzz": fuzz,
    "first-steps": partial(
        plain, "first-steps",
        [
            Column("command", "command"), Column("seconds", "seconds", 1),
            Column("minutes since the beginning", "minutes", 1),
        ],
    ),
    "faults": partial(
        plain, "faults",
        [
            Column("request or fault", "fault"), Column("answers", "answers"), Column("seconds", "seconds", 2),
            Column("longest answer of /healthz, ms", "stall_ms", 1),
        ],
    ),
    "resident": partial(
        plain, "resident",
        [
            Column("search", "kind"), Column("numpy arrays, CPU s", "numpy", 2),
            Column("GPU code path, CPU s", "device", 2),
            Column("ratio (median of rounds)", "ratio", 3),
        ],
    ),
    "fidelity": partial(
        plain, "fidelity",
        [
            Column("dialect", "dialect"), Column("kind", "kind"), Column("cases", "cases"), Column("kept", "kept"),
            Column("faulty, with a warning", "warned"), Column("faulty, silent", "silent"),
            Column("before: kept", "before kept"), Column("with a warning", "before warned"),
            Column("silent", "before silent"), Column("refused", "before refused"),
        ],
    ),
    "compare-quality": partial(
        plain, "compare-quality",
        [
            Column("direction", "direction"), Column("sentences", "rows"), Column("BLEU before", "before_bleu", 2),
            Column("BLEU", "after_bleu", 2), Column("answers that differ, %", "changed_percent", 1),
            Column("with a warning before, %", "before_warned_percent", 1),
            Column("with a warning, %", "after_warned_percent", 1),
            Column("tokens a sentence before", "before_tokens", 1), Column("tokens a sentence", "after_tokens", 1),
            Column("sentences/s before", "before_per_second", 1), Column("sentences/s", "after_per_second", 1),
            Column("median ratio of rates", "rate_ratio", 2),
        ],
    ),
    "overload": partial(
        plain, "overload",
        [
            Column("connections", "connections"), Column("peak, /s", "peak_per_second", 0),
            Column("offered, /s", "offered_per_second", 0), Column("answered, of the peak", "goodput_to_peak", 2),
            Column("p99 of the answers, of that at 0.8 of the peak", "p99_to_steady", 2),
            Column("refusals: p50, ms", "refused_p50_ms", 1), Column("p99, ms", "refused_p99_ms", 1),
            Column("longest, ms", "refused_max_ms", 1), Column("lost or wrong", "wrong"),
            Column("refused right after", "refused_after"),
        ],
    ),
    "fairness": partial(
        plain, "fairness",
        [
            Column("task", "task"), Column("large client", "large_client"), Column("alone: p95, ms", "alone_p95_ms", 1),
            Column("beside it: p95, ms", "beside_p95_ms", 1), Column("ratio", "p95_ratio", 1),
            Column("large client, texts/s", "large_texts_per_second", 0),
            Column("its refused requests", "large_refused"),
        ],
    ),
    "muon": muon,
    "invariance": partial(
        plain, "invariance",
        [Column("model", "model"), Column("texts", "texts"), Column("answers that differ", "differ")],
    ),
    "startup": partial(
        plain, "startup",
        [Column("starts", "starts"), Column("median, s", "median_s", 2), Column("slowest, s", "slowest_s", 2)],
    ),
    "soak": partial(
        plain, "soak",
        [
            Column("answers", "answers"), Column("errors", "errors"),
            Column("second minute, MB", "second_minute_mb", 1),
            Column("last minute, MB", "last_minute_mb", 1), Column("growth, %", "growth_percent", 1),
        ],
    ),
    "chaos": partial(
        plain, "chaos",
        [
            Column("fault", "fault"), Column("times", "times"), Column("right answers", "answered"),
            Column("left by the client", "abandoned"), Column("refused", "refused"), Column("lost", "lost"),
            Column("wrong", "wrong"), Column("ready again after at most, s", "longest_s", 1),
        ],
    ),
    "chaos-usage": partial(
        plain, "chaos-usage",
        [
            Column("process", "process"), Column("before, MB", "before_mb", 1), Column("after, MB", "after_mb", 1),
            Column("open files before", "files_before"), Column("open files after", "files_after"),
        ],
    ),
    "alerts": partial(
        plain, "alerts",
        [
            Column("alert", "alert"), Column("severity", "severity"), Column("must hold for", "for"),
            Column("fault", "fault"), Column("fires after, s", "fired_after_s", 0), Column("other alerts", "others"),
        ],
    ),
    "rolling-restart": partial(
        plain, "rolling-restart",
        [
            Column("proxy, and how instances end", "way"), Column("restarts", "restarts"),
            Column("requests", "requests"), Column("lost", "lost"), Column("longest answer, s", "longest_s", 1),
            Column("longest stop, s", "stop_s", 1), Column("longest start, s", "start_s", 1),
        ],
    ),
    "bulk": partial(
        plain, "bulk",
        [
            Column("lines", "lines"), Column("killed at line", "killed_at"), Column("written", "written"),
            Column("different", "different"), Column("lines/s", "lines_per_second", 0),
            Column("engine alone, sentences/s", "engine_per_second", 0), Column("ratio", "ratio", 2),
            Column("most memory in the first fifth, MB", "first_mb", 0), Column("in all, MB", "highest_mb", 0),
        ],
    ),
    "swap": partial(
        plain, "swap",
        [
            Column("clients", "clients"), Column("swaps", "swaps"), Column("of a corrupt artifact", "corrupt"),
            Column("right answers", "answers"), Column("lost", "lost"), Column("mixed", "mixed"),
            Column("from a version that did not serve", "not_serving"),
            Column("longest answer, s", "longest_answer_s", 2), Column("median of a swap, s", "median_swap_s", 2),
            Column("service, MB before", "service_before_mb", 0), Column("after", "service_after_mb", 0),
            Column("engine, MB before", "engine_before_mb", 0), Column("after", "engine_after_mb", 0),
        ],
    ),
    "image": partial(
        plain, "image",
        [
            Column("size, MB", "size_mb"), Column("ready, s", "ready_s", 1), Column("user", "user"),
            Column("torch", "torch"),
        ],
    ),
    "step-profile": partial(
        plain, "step-profile",
        [
            Column("operator", "operator"), Column("base, int8", "base_int8", 1), Column("base, fp32", "base_fp32", 1),
            Column("shipped, int8", "shipped_int8", 2),
        ],
    ),
    "training-throughput": partial(
        plain, "training-throughput",
        [
            Column("", "system"), Column("dropout 0.1", "dropout 0.1"), Column("ours to it", "ratio 0.1", 2),
            Column("dropout 0", "dropout 0"), Column("ours to it", "ratio 0", 2),
        ],
    ),
    "training-bf16": partial(
        plain, "training-bf16", [Column("", "what"), Column("tokens a second of CPU time", "tokens_per_cpu_s")]
    ),
}  # fmt: skip
