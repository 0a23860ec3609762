"""JSON of large replies, which is encoded in pieces."""

import math

from service.api.native.responses import (
    Alternative,
    TextTranslation,
    Timings,
    TokenScore,
    TranslateReply,
    Usage,
    json_response,
    large_json_response,
)


def test_a_large_reply_has_the_bytes_of_a_small_one() -> None:
    tokens = [TokenScore(id=k, text='"\u00e9\u2028\x01', log_probability=p) for k, p in enumerate([-1e-7, 1e300, -0.1])]
    alternative = Alternative(text="b", finish_reason="stop", score=-math.inf, tokens=tokens)
    one = TextTranslation(
        text="a\n\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), finish_reason="length", score=-1e-12,
        tokens=[], source="en", target="de", alternatives=[alternative, alternative], warnings=["x", "y"],
    )  # fmt: skip
    reply = TranslateReply(
        model="m", translations=[one, one.model_copy(update={"alternatives": None})],
        usage=Usage(source_tokens=1, target_tokens=2), timings_ms=Timings(queue=0.1, compute=1e-9, total=3),
    )  # fmt: skip
    assert large_json_response(reply).body == json_response(reply).body
