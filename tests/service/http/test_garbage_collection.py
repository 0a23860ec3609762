"""Full garbage collections wait until the service is idle."""

import gc
import weakref
from collections.abc import Iterator

import pytest

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
    started.start()
    gc.collect()
    yield started
    gc.set_threshold(*thresholds)


def old_garbage() -> "weakref.ref[Node]":
    """Return a reference to garbage that survived the collections of young objects, after `DUE` of them."""
    node = Node()
    for _ in range(DUE):
        gc.collect(1)
    return weakref.ref(node)


def test_python_makes_full_collections_only_when_overdue(collector: IdleCollector) -> None:
    assert gc.get_threshold()[2] == OVERDUE
    reference = old_garbage()
    gc.collect(1)
    assert reference() is not None


def test_idle_service_collects_when_it_is_due(collector: IdleCollector) -> None:
    reference = old_garbage()
    collector.on_idle()
    assert reference() is None
    assert gc.get_count()[2] == 0


def test_idle_service_collects_nothing_before(collector: IdleCollector) -> None:
    node = Node()
    gc.collect(1)
    reference = weakref.ref(node)
    del node
    collector.on_idle()
    assert reference() is not None
