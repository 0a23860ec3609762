"""What can go wrong, as a tree; a class carries its HTTP status and its stable code.

ServiceError
├── InvalidRequest 422          malformed or contradictory input
│   └── EmptyText 422
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
    example = "ValueError; the log has the details under the request id"  # what such a fault may say


class InvalidRequest(ServiceError):
    """The request cannot be understood."""

    status, code, title = 422, "invalid_request", "Invalid request"
    example = "body.text: Field required"


class EmptyText(InvalidRequest):
    """Nothing to translate or classify."""

    code, title = "empty_text", "Empty text"
    example = "text 1 is empty; leave it out"


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
