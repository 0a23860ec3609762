"""The errors that a request can end with; each class has its HTTP status and its stable code.

ServiceError
├── InvalidRequest 422          malformed or contradictory input
│   └── EmptyText 422
├── InvalidHeader 400           a header is missing, repeated or malformed
├── ExpectationFailed 417       `Expect` asks for something unknown
├── UnsupportedMediaType 415    Content-Type or Content-Encoding of the body
├── Unauthorised 401            an unknown API key
│   └── MissingKey 401          no API key
├── Forbidden 403               the API key may not do this
├── SlowBody 408                the body did not arrive in time
├── RateLimited 429             the caller exceeds its rate limits: Retry-After
├── UnknownModel 404            no such model, or no model for these languages
├── UnknownDocument 404         no such document, or one of another caller
├── UnknownGlossary 404         no such glossary, or one of another caller
├── InvalidDocument 400         a document that cannot be read as what its name says
├── UnsupportedDocument 415     a document format that cannot be translated
├── DocumentNotReady 503        the document's translation is not done: Retry-After
├── ModelRequired 400           several models could answer
├── TooLarge 413                body, number of texts, or length of a text
├── Overloaded 503              the queue is full: Retry-After
├── NotReady 503                the service is draining, or a worker has died: Retry-After
│   ├── EngineDown 503          the engine is being restarted, or does not respond
│   └── Stopping 503            the time to drain is over
├── FaultyModel 503         the model's artifact is faulty, so it is not served
├── NotLoaded 422           an artifact that was to be loaded is faulty
├── DeadlineExceeded 504
├── ClientGone 499              the client disconnected; the response is not read
├── NotSupported 501            a function of a dialect that this service does not have
├── SuggestionsDisabled 403     a function of LibreTranslate that is switched off
└── InternalError 500
"""

from collections.abc import Mapping


class ServiceError(Exception):
    """An error to report to the caller, with a message that states the value, the limit and the remedy."""

    status = 500
    code = "internal"
    title = "Internal error"
    retry_after: int | None = None
    example = "ValueError; the log has the details under the request id"  # of the message, for the OpenAPI document

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, in every dialect."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class InvalidRequest(ServiceError):
    """The request is malformed or contradicts itself."""

    status, code, title = 422, "invalid_request", "Invalid request"
    example = "body.text: Field required"


class EmptyText(InvalidRequest):
    """A text has nothing to translate or classify."""

    code, title = "empty_text", "Empty text"
    example = "text 1 is empty; leave it out"


class InvalidHeader(ServiceError):
    """A header is missing, repeated or malformed."""

    status, code, title = 400, "invalid_header", "Invalid header"
    example = "the request has 2 Host headers; send one"


class ExpectationFailed(ServiceError):
    """The header `Expect` asks for something unknown."""

    status, code, title = 417, "expectation_failed", "Expectation failed"
    example = "Expect is '200-ok'; only 100-continue is known"


class UnsupportedMediaType(ServiceError):
    """The body has a media type or a coding that the route does not read."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    example = "Content-Type is 'text/plain'; send application/json"

    def __init__(self, detail: str, accepted: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.accepted = dict(accepted or {})

    @property
    def headers(self) -> dict[str, str]:
        """What is accepted: `Accept-Encoding` where the coding is the error (RFC 9110, section 15.5.16)."""
        return self.accepted


class Unauthorised(ServiceError):
    """The API key is unknown."""

    status, code, title = 401, "unauthorised", "Unauthorised"
    example = "unknown API key; check that it is complete and was not withdrawn"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class MissingKey(Unauthorised):
    """There is no API key."""

    example = "no API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"

    def __init__(self, detail: str = example) -> None:
        super().__init__(detail)


class Forbidden(ServiceError):
    """The caller may not do this."""

    status, code, title = 403, "forbidden", "Forbidden"
    example = "key 'alice' is not an admin key; send one of ATTENDANT_ADMIN_KEYS"


class SlowBody(ServiceError):
    """The body did not arrive in time."""

    status, code, title = 408, "slow_body", "Request timeout"
    example = "only 1200 bytes of the body arrived within 30 s; send it faster, or in smaller requests"


class RateLimited(ServiceError):
    """The caller exceeds one of its rate limits."""

    status, code, title = 429, "rate_limited", "Too many requests"
    example = "key alice sends more than 60 requests a minute; try again in 1 s"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class UnknownModel(ServiceError):
    """No model has this name, or none translates between these languages."""

    status, code, title = 404, "unknown_model", "Unknown model or language"
    example = "no model translates xx to en"


class UnknownDocument(ServiceError):
    """No document has this id and key, or it is another caller's."""

    status, code, title = 404, "unknown_document", "Unknown document"
    example = "no document has this id and key; it may have been downloaded already, or has expired"


class UnknownGlossary(ServiceError):
    """No glossary has this id, or it is another caller's; or it has no dictionary for these languages."""

    status, code, title = 404, "unknown_glossary", "Unknown glossary"
    example = "Glossary not found"


class InvalidDocument(ServiceError):
    """The document cannot be read as what its name says."""

    status, code, title = 400, "invalid_document", "Invalid document"
    example = "report.docx is not a zip archive; save it again as docx"


class UnsupportedDocument(ServiceError):
    """Documents of this format cannot be translated."""

    status, code, title = 415, "unsupported_document", "Unsupported document format"
    example = "report.pdf: the file extension 'pdf' is not supported; send one of html, srt, txt"


class DocumentNotReady(ServiceError):
    """The translation of the document is not done."""

    status, code, title, retry_after = 503, "document_not_ready", "Document not ready", 1
    example = "the document is queued; ask for its status until it is done"


class ModelRequired(ServiceError):
    """Several models could answer, so the request must name one."""

    status, code, title = 400, "model_required", "Model or language required"
    example = "several languages translate to de: give source as one of en, fr"


class TooLarge(ServiceError):
    """The input exceeds a limit; it is never truncated silently."""

    status, code, title = 413, "too_large", "Too large"
    example = "text 0 has 24000 characters; at most 20000 are accepted: split it"


class Overloaded(ServiceError):
    """The queue is full."""

    status, code, title, retry_after = 503, "overloaded", "Overloaded", 1
    example = "model 'langid' has 2048 texts waiting; try again later"


class NotReady(ServiceError):
    """The model accepts no requests."""

    status, code, title, retry_after = 503, "not_ready", "Not ready", 5
    example = "model 'langid' takes no more requests"


class EngineDown(NotReady):
    """The engine process has died and is being restarted, or it does not respond."""

    example = "the engine process has died and is being restarted; send the request again"


class Stopping(NotReady):
    """The service is stopping, and its time to finish running requests is over."""

    example = "the service is stopping; try again"

    def __init__(self, detail: str = example) -> None:
        super().__init__(detail)


class FaultyModel(ServiceError):
    """The artifact of the model is faulty; the other models are served."""

    status, code, title = 503, "faulty_model", "Faulty model"
    example = "model 'langid' is not served: langid: weights.bin is missing"


class NotLoaded(ServiceError):
    """An artifact that was to be loaded is faulty. What was served before still is."""

    status, code, title = 422, "not_loaded", "Model not loaded"
    example = "model 'langid' is not loaded: langid: weights.bin is missing; langid goes on with version 2"


class DeadlineExceeded(ServiceError):
    """The answer was not computed in time."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"
    example = "no answer within 60 s"


class ClientGone(ServiceError):
    """The client closed the connection."""

    status, code, title = 499, "client_gone", "Client closed the connection"
    example = "the client closed the connection"


class NotSupported(ServiceError):
    """The dialect has this function, the service does not."""

    status, code, title = 501, "not_supported", "Not supported"
    example = "shared memory is not supported; send the data in the request"


class SuggestionsDisabled(ServiceError):
    """No suggestions of better translations are kept."""

    status, code, title = 403, "suggestions_disabled", "Suggestions disabled"
    example = "Suggestions are disabled on this server."

    def __init__(self, detail: str = example) -> None:
        super().__init__(detail)


class InternalError(ServiceError):
    """A bug, or a failure of the engine."""
