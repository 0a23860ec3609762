"""Text Embeddings Inference's dialect for the tokenizer of a classifier: /tokenize, /decode."""

from itertools import accumulate
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, RootModel

from service.api.shared import MODEL_ERRORS, request_scope
from service.api.tei import ERROR_FORMAT, ModelName, checked_inputs, input_schema
from service.api.text_fields import Texts, list_schema
from service.errors import EmptyText, InvalidRequest, TooLarge
from service.http.forms import read_json
from service.http.openapi import inline_schema, json_body, response_example
from service.models.registry import Registry
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.tokenizer import MAX_INLINE_CHARACTERS, TokenizedText

TOKENIZE_EXAMPLES = {"one text": {"inputs": "Bonjour"}, "a batch": {"inputs": ["Hello there", "Hallo Welt"]}}
TOKENIZE_RESPONSE = response_example([[{"id": 7, "text": "B", "special": False, "start": 0, "stop": 1}]])
DECODE_EXAMPLES = {"one text": {"ids": [7, 12]}, "a batch": {"ids": [[7, 12], [9]]}}
DECODE_RESPONSE = response_example(["bonjour"])


class TokenizeBody(BaseModel):
    """Texts to tokenise."""

    model_config = ConfigDict(strict=True)

    inputs: Texts
    add_special_tokens: bool = True
    prompt_name: Annotated[None, Field(description="Must be null: classifiers have no prompts.")] = None
    model: ModelName = None


class SimpleToken(BaseModel):
    """A token: the part of the text that it covers, and where that begins and ends, in bytes of UTF-8."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class TokenizeReply(RootModel[list[list[SimpleToken]]]):
    """The tokens of each text."""


class DecodeBody(BaseModel):
    """Token ids to turn into texts."""

    model_config = ConfigDict(strict=True)

    ids: Annotated[Any, Field(description="The ids of one text, or a list of such lists.")]
    skip_special_tokens: bool = True
    model: ModelName = None


class DecodeReply(RootModel[list[str]]):
    """The texts."""


def tei_tokens_router(registry: Registry, settings: Settings) -> APIRouter:
    """Return the routes over the tokenizers of the classifiers."""
    router = APIRouter(tags=["text-embeddings-inference"])
    errors = ERROR_FORMAT.openapi_responses(*MODEL_ERRORS)
    tokenize_schema, decode_schema = inline_schema(TokenizeBody), inline_schema(DecodeBody)
    text = input_schema(settings)
    tokenize_schema["properties"]["inputs"] |= {"anyOf": [text, list_schema(dict(text), settings)]}
    ids = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    decode_schema["properties"]["ids"] |= {"anyOf": [ids, list_schema(dict(ids), settings)], "examples": [[7, 12]]}

    @router.post(
        "/tokenize",
        responses=errors | TOKENIZE_RESPONSE,
        response_model=TokenizeReply,
        openapi_extra=json_body(tokenize_schema, TOKENIZE_EXAMPLES),
    )
    async def tokenize(request: Request) -> JSONResponse:
        """Tokenise texts as they are before they are classified."""
        body = await read_json(request, TokenizeBody)
        texts = checked_inputs([body.inputs] if isinstance(body.inputs, str) else body.inputs, settings)
        model = registry.classifier(body.model)

        def tokens_of(text: str) -> list[dict[str, Any]]:
            scope.check()
            [tokenised] = model.codec.tokenise_sources([text])
            return _tokens(model, text, tokenised, body.add_special_tokens)

        with request_scope(request, settings) as scope:
            is_long = sum(map(len, texts)) > MAX_INLINE_CHARACTERS
            return JSONResponse(await scope.run(lambda: list(map(tokens_of, texts)), in_thread=is_long))

    @router.post(
        "/decode",
        responses=errors | DECODE_RESPONSE,
        response_model=DecodeReply,
        openapi_extra=json_body(decode_schema, DECODE_EXAMPLES),
    )
    async def decode(request: Request) -> JSONResponse:
        """Turn token ids into texts."""
        body = await read_json(request, DecodeBody)
        model = registry.classifier(body.model)
        lists = checked_ids(body.ids, model.codec.source_vocabulary, settings)

        def decoded(ids: list[int]) -> str:
            scope.check()
            return model.codec.decode_source(ids, body.skip_special_tokens)

        with request_scope(request, settings) as scope:
            is_long = sum(map(len, lists)) > MAX_INLINE_CHARACTERS
            return JSONResponse(await scope.run(lambda: list(map(decoded, lists)), in_thread=is_long))

    return router


def _tokens(model: ServedModel, text: str, tokenised: TokenizedText, special: bool) -> list[dict[str, Any]]:
    """Return the tokens of a text, with those that the model reads around it if `special`."""
    bytes_before = [0, *accumulate(len(character.encode("utf-8")) for character in text)]  # by position of a character
    tokens: list[dict[str, Any]] = [
        {"id": id, "text": text[start:stop], "special": False, "start": bytes_before[start], "stop": bytes_before[stop]}
        for id, (start, stop) in zip(tokenised.ids, tokenised.spans, strict=True)
    ]
    if not special:
        return tokens
    marks = model.manifest.special_tokens
    ends = [marks.eos] if model.manifest.append_eos else []
    before, after = (
        [
            {"id": id, "text": model.codec.source_token_text(id), "special": True, "start": None, "stop": None}
            for id in ids
        ]
        for ids in ([marks.bos], ends)
    )
    return before + tokens + after


def checked_ids(given: Any, vocabulary: int, settings: Settings) -> list[list[int]]:
    """Return the ids of each text.

    Raises:
        EmptyText: there are none, of any text or of one.
        TooLarge: there are too many texts.
        InvalidRequest: they are not lists of ids of the vocabulary.
    """
    lists = [given] if isinstance(given, list) and given and not isinstance(given[0], list) else given
    if not isinstance(lists, list):
        raise InvalidRequest("ids: give a list of integers, or a list of such lists")
    if not lists:
        raise EmptyText("`ids` cannot be empty")
    if len(lists) > settings.max_texts:
        raise TooLarge(f"batch size {len(lists)} > maximum allowed batch size {settings.max_texts}")
    for i, ids in enumerate(lists):
        if not isinstance(ids, list):
            raise InvalidRequest(f"ids.{i}: give a list of integers")
        if not ids:
            raise EmptyText("`input_ids` cannot be empty")
        for j, id in enumerate(ids):
            if type(id) is not int:  # not a boolean either
                raise InvalidRequest(f"ids.{i}.{j}: give an integer")
            if not 0 <= id < vocabulary:
                raise InvalidRequest(f"ids.{i}.{j} is {str(id)[:20]}; the vocabulary has the ids 0 to {vocabulary - 1}")
    return lists
