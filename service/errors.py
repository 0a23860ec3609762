"""What can go wrong, as a tree; a class carries its HTTP status and its stable code.

ServiceError
├── InvalidRequest 422          malformed or contradictory input
│   └── EmptyText 422
├── Unauthorised 401            no API key, or one that is not known
├── SlowBody 408                the request did not arrive in time
├── RateLimited 429             one caller asks too often or too much at once: Retry-After
├── UnknownModel 404            no such model, or none for these languages
├── ModelRequired 400           several models could answer
├── TooLarge 413                body, number of texts, or length of one
├── Overloaded 503              the queue is full: Retry-After
├── NotReady 503                draining, or a worker has died: Retry-After
│   └── Stopping 503            the time to drain is over
├── DeadlineExceeded 504
├── ClientGone 499              the caller left; nobody reads the answer
└── InternalError 500
"""


class ServiceError(Exception):
    """A fault that the caller is told about, in words that name the value, the limit and the remedy."""

    status = 500
    code = "internal"
    title = "Internal error"
    retry_after: int | None = None
    example = "ValueError; the log has the details under the request id"  # what such a fault may say

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's header says of the fault, whatever shape its body has."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class InvalidRequest(ServiceError):
    """The request cannot be understood."""

    status, code, title = 422, "invalid_request", "Invalid request"
    example = "body.text: Field required"


class EmptyText(InvalidRequest):
    """Nothing to translate or classify."""

    code, title = "empty_text", "Empty text"
    example = "text 1 is empty; leave it out"


class Unauthorised(ServiceError):
    """The caller has no API key that is known."""

    status, code, title = 401, "unauthorised", "Unauthorised"
    example = "no API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class SlowBody(ServiceError):
    """The body took too long to arrive."""

    status, code, title = 408, "slow_body", "Request timeout"
    example = "1200 bytes of the body came within 30 s, and not all; send it faster, or in smaller requests"


class RateLimited(ServiceError):
    """The caller asks more than one caller may."""

    status, code, title = 429, "rate_limited", "Too many requests"
    example = "key alice asks more than 60 times a minute; try again in 1 s"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class UnknownModel(ServiceError):
    """No model serves this."""

    status, code, title = 404, "unknown_model", "Unknown model or language"
    example = "no model translates xx to en"


class ModelRequired(ServiceError):
    """More than one model could answer."""

    status, code, title = 400, "model_required", "Model or language required"
    example = "several languages translate to de: give source as one of en, fr"


class TooLarge(ServiceError):
    """Above a limit; nothing is ever cut silently."""

    status, code, title = 413, "too_large", "Too large"
    example = "text 0 has 24000 characters; at most 20000 are taken: split it"


class Overloaded(ServiceError):
    """The queue is full."""

    status, code, title, retry_after = 503, "overloaded", "Overloaded", 1
    example = "model 'langid' has 2048 texts waiting; try again later"


class NotReady(ServiceError):
    """The model takes no requests."""

    status, code, title, retry_after = 503, "not_ready", "Not ready", 5
    example = "model 'langid' takes no more requests"


class Stopping(NotReady):
    """Told to stop, the service has waited for as long as it may."""

    example = "the service stops; ask again"

    def __init__(self, detail: str = example) -> None:
        super().__init__(detail)


class DeadlineExceeded(ServiceError):
    """The answer took too long."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"
    example = "no answer within 60 s"


class ClientGone(ServiceError):
    """The caller closed the connection."""

    status, code, title = 499, "client_gone", "Client closed the connection"
    example = "the client closed the connection"


class InternalError(ServiceError):
    """A defect, ours."""
