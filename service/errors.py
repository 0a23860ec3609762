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

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's header says of the fault, whatever shape its body has."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class InvalidRequest(ServiceError):
    """The request cannot be understood."""

    status, code, title = 422, "invalid_request", "Invalid request"


class EmptyText(InvalidRequest):
    """Nothing to translate or classify."""

    code, title = "empty_text", "Empty text"


class Unauthorised(ServiceError):
    """The caller has no API key that is known."""

    status, code, title = 401, "unauthorised", "Unauthorised"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class SlowBody(ServiceError):
    """The body took too long to arrive."""

    status, code, title = 408, "slow_body", "Request timeout"


class RateLimited(ServiceError):
    """The caller asks more than one caller may."""

    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class UnknownModel(ServiceError):
    """No model serves this."""

    status, code, title = 404, "unknown_model", "Unknown model or language"


class ModelRequired(ServiceError):
    """More than one model could answer."""

    status, code, title = 400, "model_required", "Model or language required"


class TooLarge(ServiceError):
    """Above a limit; nothing is ever cut silently."""

    status, code, title = 413, "too_large", "Too large"


class Overloaded(ServiceError):
    """The queue is full."""

    status, code, title, retry_after = 503, "overloaded", "Overloaded", 1


class NotReady(ServiceError):
    """The model takes no requests."""

    status, code, title, retry_after = 503, "not_ready", "Not ready", 5


class DeadlineExceeded(ServiceError):
    """The answer took too long."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"


class ClientGone(ServiceError):
    """The caller closed the connection."""

    status, code, title = 499, "client_gone", "Client closed the connection"


class InternalError(ServiceError):
    """A defect, ours."""
