"""The architecture diagrams: the whole project, the walk of a request, and the walk of a weight."""

from collections.abc import Callable

from docs.generator.svg import Drawing


def architecture() -> str:
    """Return the picture of the README: from a corpus to answers."""
    drawing = Drawing(920, 300, "Attendant: a corpus becomes a checkpoint, an artifact, and a running service")
    drawing.box(20, 30, 130, 62, ["Corpus", "TSV, JSONL, text,", "Hugging Face hub"])
    drawing.box(205, 30, 145, 62, ["training/", "PyTorch; recipes", "in TOML"], "strong")
    drawing.box(405, 30, 145, 62, ["export/", "ONNX graphs, int8,", "parity check"], "strong")
    drawing.box(605, 30, 130, 62, ["Artifact", "a folder of models/"])
    drawing.arrow((150, 61), (203, 61))
    drawing.arrow((350, 61), (403, 61), label="run", at=(377, 52))
    drawing.arrow((550, 61), (603, 61))
    drawing.arrow((670, 92), (670, 142), label="loaded at start", at=(718, 112))
    drawing.box(205, 128, 620, 152, ["service/ (no torch)"], "group", "start")
    drawing.box(
        225,
        160,
        290,
        104,
        [
            "Service process",
            "HTTP limits and API keys",
            "six API dialects",
            "segmentation, markup, glossary",
            "quality checks",
        ],
        "strong",
    )
    drawing.box(
        590,
        160,
        215,
        104,
        [
            "Engine process",
            "one queue per model",
            "continuous batching",
            "KV cache pool, onnxruntime",
            "greedy, beam, sampling",
        ],
        "strong",
    )
    drawing.arrow((515, 197), (588, 197), label="token ids", at=(552, 190))
    drawing.arrow((590, 232), (517, 232), label="token ids", at=(553, 249))
    drawing.box(20, 172, 130, 80, ["Clients", "HTTP, LibreTranslate,", "DeepL, TEI, infinity,", "Triton"])
    drawing.arrow((150, 197), (223, 197), label="HTTP", at=(178, 190))
    drawing.arrow((225, 232), (152, 232))
    return drawing.render()


REQUEST = (
    ("http/protocol, request_log", "head size and time, request id, access log, metrics"),
    ("http/body_limit, auth, rate_limit", "body size and time, API key, requests per minute and at once"),
    ("api/native, deepl, tei, ...", "validate the body; open the RequestScope: deadline and disconnect"),
    ("translation/translator, detection", "source language, route (direct or by way of English)"),
    ("translation/document, text/", "markup, sentences, placeholders, token ids: segments"),
    ("translation/pipeline", "glossary, second tries, pivot; waits for all segments"),
    ("models/engine_client", "admission, bounded in segments and tokens; otherwise 503"),
)
ENGINE = (
    ("engine/process, queue", "one EngineRequest per segment waits for free rows"),
    ("engine/scheduler, worker", "pick: requests that fit join the batch"),
    ("engine/models/translate", "step: one pass of the decoder, KV caches in place"),
    ("engine/decoding", "choose tokens: greedy, beam, sampling"),
    ("engine/scheduler", "settle: finished rows leave at once"),
)


def request() -> str:
    """Return the walk of one POST /v1/translate, by the modules of service/ that it passes."""
    drawing = Drawing(920, 560, "The walk of a translation request through service/")
    drawing.box(20, 16, 450, 528, ["Service process: one asyncio event loop"], "group", "start")
    top = 50
    for i, (name, what) in enumerate(REQUEST):
        drawing.box(40, top + 70 * i, 410, 48, [name, what])
        if i:
            drawing.arrow((245, top + 70 * i - 22), (245, top + 70 * i - 2))
    drawing.box(500, 16, 400, 400, ["Engine process: one thread per worker"], "group", "start")
    for i, (name, what) in enumerate(ENGINE):
        drawing.box(520, top + 70 * i, 340, 48, [name, what], "strong")
        if i:
            drawing.arrow((690, top + 70 * i - 22), (690, top + 70 * i - 2))
    drawing.arrow((860, top + 304), (882, top + 304), (882, top + 94), (862, top + 94))
    drawing.text(700, 405, "repeat until no row runs and the queue is empty")
    drawing.arrow((450, 494), (485, 494), (485, 74), (518, 74))
    drawing.box(
        520,
        440,
        340,
        96,
        [
            "The way back",
            "EngineResult, then detokenise, restore placeholders",
            "and casing; quality checks; put tags and white space",
            "back; format the reply or an error of the dialect",
        ],
    )
    drawing.arrow((690, 416), (690, 438), label="token ids", at=(725, 431))
    return drawing.render()


def weight() -> str:
    """Return the walk of a weight from initialisation to a product in the service."""
    drawing = Drawing(920, 330, "The walk of a weight from training to the service")
    rows = (
        (
            ("training/models", "nn.Linear, initialised", "by the recipe's seed"),
            ("training/trainer", "updated by AdamW or Muon;", "bf16 products, fp32 weights"),
            ("training/runs/checkpoint", "safetensors, one per epoch;", "the best, or the average"),
            ("runs/NAME", "weights, recipe, tokenizer,", "report"),
        ),
        (
            ("export/graphs", "encode, step, score, select", "or classify, as ONNX"),
            ("export/checks/parity", "logits within 1e-4 of torch,", "greedy answers identical"),
            ("export/quantization", "int8 per output column, static", "activation scales, int8 KV caches"),
            ("export/checks/quality_gate", "refused above 0.3 BLEU", "or points of accuracy lost"),
        ),
        (
            ("models/NAME", "manifest.json with sha256,", "weights.bin, graphs, card"),
            ("service/artifact", "schema and checksums;", "all problems in one error"),
            ("engine/models/session", "onnxruntime; KV caches and", "logits bound by address"),
            ("engine/models/translate", "a product in every step", "of every worker"),
        ),
    )
    for i, row in enumerate(rows):
        for j, lines in enumerate(row):
            drawing.box(20 + 227 * j, 20 + 104 * i, 199, 74, lines, "strong" if i == 1 else "box")
            if j:
                drawing.arrow((20 + 227 * j - 28, 57 + 104 * i), (18 + 227 * j, 57 + 104 * i))
        if i:
            y = 20 + 104 * i
            drawing.arrow((800, y - 30), (800, y - 15), (120, y - 15), (120, y - 2))
    return drawing.render()


PICTURES: dict[str, Callable[[], str]] = {
    "architecture.svg": architecture, "request.svg": request, "weight.svg": weight,
}  # fmt: skip
