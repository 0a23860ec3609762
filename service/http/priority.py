"""The priority that a request asks for (RFC 9218, "Extensible Prioritization Scheme for HTTP")."""

from collections.abc import Iterable

# The lowest urgency, which the RFC reserves for background tasks. The others are all alike here: browsers send 0 to 6
# without being asked.
BACKGROUND = "u=7"


def is_bulk(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether the header `Priority` has the urgency 7. The last urgency counts; parameters are ignored."""
    bulk = False
    for name, value in headers:
        if name == b"priority":
            for member in value.decode("latin-1").split(","):
                item = member.partition(";")[0].strip(" \t")
                if item.startswith("u="):
                    bulk = item == BACKGROUND
    return bulk
