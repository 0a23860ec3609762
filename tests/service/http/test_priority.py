"""The header `Priority` (RFC 9218)."""

import pytest

from service.http.priority import is_bulk


@pytest.mark.parametrize(
    ("values", "bulk"),
    [
        ([], False),
        ([b"u=7"], True),
        ([b"u=7, i"], True),
        ([b"i,u=7;x=1"], True),
        ([b"u=3"], False),
        ([b"u=4"], False),  # what Firefox sends with every fetch()
        ([b"u=7, u=1"], False),
        ([b"u=1", b"u=7"], True),
        ([b"u=77"], False),
        ([b"bulk"], False),
        ([b"u=\xff"], False),
    ],
)
def test_only_the_urgency_of_background_tasks_is_bulk(values: list[bytes], bulk: bool) -> None:
    assert is_bulk([(b"host", b"u=7"), *[(b"priority", value) for value in values]]) == bulk
