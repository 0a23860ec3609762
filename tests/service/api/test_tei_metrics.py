"""The metrics of text-embeddings-inference under its own names, read as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import Service


def scraped(service: Service) -> dict[tuple[str, str], float]:
    """Return the samples of TEI's metrics by their name and the value of their label."""
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    samples = [sample for family in families if family.name.startswith("te_") for sample in family.samples]
    return {(sample.name, "".join(sample.labels.values())): sample.value for sample in samples}


def test_requests_of_the_dialect_are_counted_under_its_names(service: Service) -> None:
    before = scraped(service)
    assert service.post("/predict", {"inputs": "orange yellow"}).status_code == 200
    assert service.post("/predict", {"inputs": []}).status_code == 422
    service.post("/v1/classify", {"text": "cyan"})  # of another dialect
    after = scraped(service)

    def more(name: str, label: str = "") -> float:
        return after[name, label] - before.get((name, label), 0.0)

    assert (more("te_request_count"), more("te_request_success"), more("te_request_failure", "tokenization")) == (
        2,
        1,
        1,
    )
    assert more("te_request_duration_count") == more("te_request_duration_bucket", "+Inf") == 2
    assert more("te_request_duration_sum") > 0
    # Both dialects share the queue and the models.
    assert more("te_request_inference_duration_count") == more("te_request_queue_duration_count") == 2
    assert after["te_queue_size", ""] == 0


def test_buckets_are_cumulative_and_in_order(service: Service) -> None:
    service.post("/predict", {"inputs": "orange yellow"})
    buckets = {
        label: value for (name, label), value in scraped(service).items() if name == "te_request_duration_bucket"
    }
    bounds = list(map(float, buckets))
    assert bounds == sorted(bounds)
    assert list(buckets.values()) == sorted(buckets.values())
