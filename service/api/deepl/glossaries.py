"""The routes of glossaries: /v2/glossaries with one pair of languages each, /v3/glossaries with several."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from service.api.deepl.errors import ERROR_FORMAT
from service.api.deepl.glossary_models import (
    DICTIONARY_EXAMPLE,
    ENTRIES_EXAMPLE,
    PAIR_EXAMPLE,
    V2_EXAMPLE,
    V3_EXAMPLE,
    DeepLDictionary,
    DeepLEntries,
    DeepLGlossariesV2,
    DeepLGlossariesV3,
    DeepLGlossaryV2,
    DeepLGlossaryV3,
    DictionaryBody,
    GlossaryChanges,
    GlossaryV2Body,
    GlossaryV3Body,
    LanguagePair,
    LanguagePairs,
)
from service.api.shared import MIDDLEWARE_ERRORS
from service.errors import InvalidRequest, TooLarge, UnknownGlossary, UnsupportedMediaType
from service.glossaries.entries import format_tsv, parse_entries
from service.glossaries.store import GlossaryInfo, GlossaryStore, Pair
from service.glossaries.terms import GlossaryTerms
from service.http.forms import read_json_or_form
from service.http.openapi import inline_schema, json_body, json_or_form_body
from service.models.loop_turns import LoopTurns
from service.text.languages import match_language
from service.translation.translator import Translator

LISTED_AT_ONCE = 32  # glossaries
TSV = "text/tab-separated-values"
GLOSSARY_ERRORS = (*MIDDLEWARE_ERRORS, InvalidRequest, UnknownGlossary, TooLarge)
LanguageQuery = Annotated[str, Query(min_length=1, max_length=35)]


def glossary_router(store: GlossaryStore, translator: Translator) -> APIRouter:
    """Return the routes over the glossaries."""
    router = APIRouter(tags=["deepl"])
    _add_v2_routes(router, store, translator)
    _add_v3_routes(router, store, translator)
    return router


def _responses(status: int, example: Any, media_type: str = "application/json") -> dict[int | str, dict[str, Any]]:
    errors = ERROR_FORMAT.openapi_responses(*GLOSSARY_ERRORS)
    content = {"description": "Success", "content": {media_type: {"example": example}}}
    return errors | ({status: content} if example is not None else {status: {"description": "Success"}})


def _add_v2_routes(router: APIRouter, store: GlossaryStore, translator: Translator) -> None:
    @router.get("/v2/glossary-language-pairs", responses=_responses(200, {"supported_languages": [PAIR_EXAMPLE]}))
    async def language_pairs() -> LanguagePairs:
        """List the pairs of languages between which a glossary may be used."""
        pairs = [LanguagePair(source_lang=source, target_lang=target) for source, target in translator.language_pairs()]
        return LanguagePairs(supported_languages=pairs)

    @router.post(
        "/v2/glossaries",
        status_code=201,
        responses=_responses(201, V2_EXAMPLE),
        response_model=DeepLGlossaryV2,
        openapi_extra=json_or_form_body(
            inline_schema(GlossaryV2Body), {"name": "My glossary", **PAIR_EXAMPLE, **ENTRIES_EXAMPLE}
        ),
    )
    async def create(request: Request) -> JSONResponse:
        """Create a glossary of one pair of languages."""
        body = await read_json_or_form(request, GlossaryV2Body)
        entries = await asyncio.to_thread(_parse_all, [body], translator)
        info = await asyncio.to_thread(store.create, owner_of(request), body.name, entries)
        return JSONResponse(_v2(info), 201)

    @router.get(
        "/v2/glossaries",
        responses=_responses(200, {"glossaries": [V2_EXAMPLE]}),
        response_model=DeepLGlossariesV2,
    )
    async def list_all(request: Request) -> Response:
        """List the glossaries of one pair of languages."""
        found = await asyncio.to_thread(store.all_of, owner_of(request))
        return await _list(_v2, [info for info in found if len(info.entry_counts) == 1])

    @router.get("/v2/glossaries/{glossary_id}", responses=_responses(200, V2_EXAMPLE), response_model=DeepLGlossaryV2)
    async def get(request: Request, glossary_id: UUID) -> JSONResponse:
        """Describe a glossary."""
        return JSONResponse(_v2(await asyncio.to_thread(_of_one_pair, store, owner_of(request), glossary_id)))

    @router.get(
        "/v2/glossaries/{glossary_id}/entries",
        responses=_responses(200, "dog\tKöter", TSV) | ERROR_FORMAT.openapi_responses(UnsupportedMediaType),
        response_class=Response,
    )
    async def entries(request: Request, glossary_id: UUID) -> Response:
        """Return the entries of a glossary, tab-separated."""
        accepted = request.headers.get("accept", "*/*")
        if not any(kind in accepted for kind in (TSV, "text/*", "*/*")):
            raise UnsupportedMediaType(f"No supported media type specified in Accept header; there is {TSV}")

        def work() -> str:
            info = _of_one_pair(store, owner_of(request), glossary_id)
            return format_tsv(store.entries(owner_of(request), info.id, next(iter(info.entry_counts))))

        return Response(await asyncio.to_thread(work), media_type=TSV)

    router.delete("/v2/glossaries/{glossary_id}", status_code=204, responses=_responses(204, None))(_deleter(store))


def _add_v3_routes(router: APIRouter, store: GlossaryStore, translator: Translator) -> None:
    dictionary_example = PAIR_EXAMPLE | ENTRIES_EXAMPLE

    @router.post(
        "/v3/glossaries",
        status_code=201,
        responses=_responses(201, V3_EXAMPLE),
        response_model=DeepLGlossaryV3,
        openapi_extra=json_body(
            inline_schema(GlossaryV3Body),
            {"a glossary": {"name": "My glossary", "dictionaries": [dictionary_example]}},
        ),
    )
    async def create(request: Request) -> JSONResponse:
        """Create a glossary."""
        body = await read_json_or_form(request, GlossaryV3Body)
        entries = await asyncio.to_thread(_parse_all, body.dictionaries, translator)
        return JSONResponse(_v3(await asyncio.to_thread(store.create, owner_of(request), body.name, entries)), 201)

    @router.get(
        "/v3/glossaries",
        responses=_responses(200, {"glossaries": [V3_EXAMPLE]}),
        response_model=DeepLGlossariesV3,
    )
    async def list_all(request: Request) -> Response:
        """List all glossaries."""
        return await _list(_v3, await asyncio.to_thread(store.all_of, owner_of(request)))

    @router.get("/v3/glossaries/{glossary_id}", responses=_responses(200, V3_EXAMPLE), response_model=DeepLGlossaryV3)
    async def get(request: Request, glossary_id: UUID) -> JSONResponse:
        """Describe a glossary."""
        return JSONResponse(_v3(await asyncio.to_thread(store.get, owner_of(request), str(glossary_id))))

    @router.patch(
        "/v3/glossaries/{glossary_id}",
        responses=_responses(200, V3_EXAMPLE),
        response_model=DeepLGlossaryV3,
        openapi_extra=json_body(
            inline_schema(GlossaryChanges),
            {"a name": {"name": "Dogs"}, "entries to add": {"dictionaries": [dictionary_example]}},
        ),
    )
    async def change(request: Request, glossary_id: UUID) -> JSONResponse:
        """Rename a glossary, or add entries to its dictionaries."""
        body = await read_json_or_form(request, GlossaryChanges)
        entries = await asyncio.to_thread(_parse_all, body.dictionaries, translator)
        update = store.update
        return JSONResponse(
            _v3(await asyncio.to_thread(update, owner_of(request), str(glossary_id), body.name, entries))
        )

    @router.get(
        "/v3/glossaries/{glossary_id}/entries",
        responses=_responses(200, {"dictionaries": [dictionary_example]}),
        response_model=DeepLEntries,
    )
    async def entries(
        request: Request, glossary_id: UUID, source_lang: LanguageQuery, target_lang: LanguageQuery
    ) -> JSONResponse:
        """Return the entries of a dictionary."""
        pair = _pair(source_lang, target_lang, translator)
        found = await asyncio.to_thread(store.entries, owner_of(request), str(glossary_id), pair)
        return JSONResponse(
            {"dictionaries": [_pair_fields(pair) | {"entries": format_tsv(found), "entries_format": "tsv"}]}
        )

    @router.put(
        "/v3/glossaries/{glossary_id}/dictionaries",
        responses=_responses(200, DICTIONARY_EXAMPLE),
        response_model=DeepLDictionary,
        openapi_extra=json_or_form_body(inline_schema(DictionaryBody), dictionary_example),
    )
    async def replace(request: Request, glossary_id: UUID) -> JSONResponse:
        """Replace a dictionary, or create it."""
        body = await read_json_or_form(request, DictionaryBody)
        [(pair, entries)] = (await asyncio.to_thread(_parse_all, [body], translator)).items()
        await asyncio.to_thread(store.replace, owner_of(request), str(glossary_id), pair, entries)
        return JSONResponse(_pair_fields(pair) | {"entry_count": len(entries)})

    @router.delete("/v3/glossaries/{glossary_id}/dictionaries", status_code=204, responses=_responses(204, None))
    async def delete_dictionary(
        request: Request, glossary_id: UUID, source_lang: LanguageQuery, target_lang: LanguageQuery
    ) -> None:
        """Delete a dictionary."""
        pair = _pair(source_lang, target_lang, translator)
        await asyncio.to_thread(store.delete_dictionary, owner_of(request), str(glossary_id), pair)

    router.delete("/v3/glossaries/{glossary_id}", status_code=204, responses=_responses(204, None))(_deleter(store))


def glossary_terms(
    store: GlossaryStore, request: Request, glossary_id: str, source: str | None, target: str
) -> GlossaryTerms:
    """Return the dictionary of a glossary for a request's languages.

    Raises:
        InvalidRequest: the request has no source language, or what it has is no id.
    """
    if not source:
        raise InvalidRequest("Use of a glossary requires the source_lang parameter to be specified")
    try:
        glossary = str(UUID(glossary_id))
    except ValueError:
        raise InvalidRequest("Value for 'glossary_id' not supported.") from None
    return GlossaryTerms(store, owner_of(request), glossary, (source, target))


def owner_of(request: Request) -> str:
    """Return whose glossaries a request means: the API key's, or where keys are not required those of all callers."""
    return request.scope.get("key") or ""


def _deleter(store: GlossaryStore) -> Callable[..., Any]:
    async def delete(request: Request, glossary_id: UUID) -> None:
        """Delete a glossary."""
        await asyncio.to_thread(store.delete, owner_of(request), str(glossary_id))

    return delete


def _of_one_pair(store: GlossaryStore, owner: str, glossary_id: UUID) -> GlossaryInfo:
    """Return a glossary that version 2 of the API can describe.

    Raises:
        UnknownGlossary: there is none.
    """
    info = store.get(owner, str(glossary_id))
    if len(info.entry_counts) != 1:
        raise UnknownGlossary("Glossary not found: it has several dictionaries, or none; see /v3/glossaries")
    return info


def _parse_all(bodies: Sequence[DictionaryBody], translator: Translator) -> dict[Pair, dict[str, str]]:
    """Return the entries of each pair of languages.

    Raises:
        InvalidRequest: languages are not supported, a pair occurs twice, or entries are invalid.
    """
    dictionaries: dict[Pair, dict[str, str]] = {}
    for body in bodies:
        pair = _pair(body.source_lang, body.target_lang, translator)
        if pair in dictionaries:
            raise InvalidRequest(f"two dictionaries from {pair[0]} to {pair[1]}; send one")
        dictionaries[pair] = parse_entries(body.entries, body.entries_format, (body.source_lang, body.target_lang))
    return dictionaries


def _pair(source: str, target: str, translator: Translator) -> Pair:
    """Return the served languages that a glossary is for.

    Raises:
        InvalidRequest: nothing translates between them.
    """
    pairs = translator.language_pairs()
    found = match_language(source, {one for one, _ in pairs}), match_language(target, {one for _, one in pairs})
    if found not in pairs:
        raise InvalidRequest(
            f"Unsupported glossary source and target language pair: {ascii(source[:35])}, {ascii(target[:35])}; "
            "see /v2/glossary-language-pairs"
        )
    return found


def _pair_fields(pair: Pair) -> dict[str, Any]:
    return {"source_lang": pair[0].lower(), "target_lang": pair[1].lower()}


def _time(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _list(describe: Callable[[GlossaryInfo], dict[str, Any]], infos: Sequence[GlossaryInfo]) -> Response:
    """Return descriptions of glossaries, made in short turns of the event loop: a thousand take longer than a probe."""
    turns, pieces = LoopTurns.of(asyncio.get_running_loop()), []
    for start in range(0, len(infos), LISTED_AT_ONCE):
        await turns.next()
        listed = [describe(info) for info in infos[start : start + LISTED_AT_ONCE]]
        pieces.append(json.dumps(listed, ensure_ascii=False, separators=(",", ":"))[1:-1])
    return Response(f'{{"glossaries":[{",".join(pieces)}]}}', media_type="application/json")


def _v2(info: GlossaryInfo) -> dict[str, Any]:
    [(pair, count)] = info.entry_counts.items()
    common = {"glossary_id": info.id, "name": info.name, "ready": True, "creation_time": _time(info.created)}
    return common | _pair_fields(pair) | {"entry_count": count}


def _v3(info: GlossaryInfo) -> dict[str, Any]:
    dictionaries = [_pair_fields(pair) | {"entry_count": count} for pair, count in info.entry_counts.items()]
    common = {"glossary_id": info.id, "name": info.name, "creation_time": _time(info.created)}
    return common | {"dictionaries": dictionaries}
