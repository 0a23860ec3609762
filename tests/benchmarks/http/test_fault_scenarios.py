"""The replayed faults of connections, processes and files."""

from pathlib import Path

from benchmarks.http.fault_scenarios import SCENARIOS, running, status, unlike

MODELS = Path(__file__).resolve().parents[3] / "models"


def test_scenario_runs_against_a_service_of_its_own() -> None:
    [scenario] = [one for one in SCENARIOS if one.name.startswith("faulty artifacts")]
    with running(scenario, [MODELS / "langid"]) as server:
        assert scenario.replay(server) == []


def test_what_is_wrong_is_returned() -> None:
    assert unlike(status(b"HTTP/1.1 200 OK\r\n"), "503", "status") == ["status: 200 instead of 503"]
    assert unlike(status(b""), "none", "status") == []
