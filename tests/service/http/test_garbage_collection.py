"""Full garbage collections wait until the service is idle."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from service.engine.process.runtime import MIDDLE_COLLECTIONS, YOUNG_OBJECTS
from service.http.garbage_collection import DUE, OVERDUE, IdleCollector


class Node:
    """An object in a cycle, which only the garbage collector removes."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector() -> Iterator[IdleCollector]:
    """A collector that has been started; Python's thresholds are restored at the end."""
    thresholds = gc.get_threshold()
    started = IdleCollector()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE_COLLECTIONS)  # as in the service: none of its own happens in a test
    started.start()
    gc.collect()
    yield started
    gc.set_threshold(*thresholds)


def garbage() -> "weakref.ref[Node]":
    """Return a reference to garbage."""
    node = Node()
    return weakref.ref(node)


def test_python_makes_full_collections_only_when_overdue(collector: IdleCollector) -> None:
    assert gc.get_threshold()[2] == OVERDUE


def test_idle_service_collects_when_many_objects_were_made(collector: IdleCollector) -> None:
    reference = garbage()
    many = [[] for _ in range(DUE)]  # type: ignore[var-annotated]
    collector.on_idle()
    assert reference() is None
    assert gc.get_count()[0] < DUE == len(many)


def test_idle_service_collects_what_survived_a_collection_under_load(collector: IdleCollector) -> None:
    node = Node()
    gc.collect(0)
    reference = weakref.ref(node)
    del node
    collector.on_idle()
    assert reference() is None


def test_idle_service_collects_nothing_before(collector: IdleCollector) -> None:
    reference = garbage()
    collector.on_idle()
    assert reference() is not None
