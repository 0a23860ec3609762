"""The two kinds of simulated users. Each sends requests in a closed loop and checks every answer."""

from itertools import count
from random import Random
from typing import Any, ClassVar

from locust import FastHttpUser, task

from loadtest.checks import AnswerError, ParsedResponse, compare, describe_failure, name_texts
from loadtest.client import ANSWER_TIMEOUT_S, Workload

LIST_SHARE = 0.1  # of the requests carry a list of texts, the others a single text
LIST_SIZES = (2, 8)  # smallest and largest
PAUSE_AFTER_FAILURE_S = 0.1  # so that a failing service is not flooded with requests


class EndpointUser(FastHttpUser):
    """Sends a request, waits for the response, compares its answers with the expected ones, and repeats."""

    abstract = True
    workload: ClassVar[Workload]  # run.py sets workload, seed and headers before the first user starts
    seed: ClassVar[int]
    headers: ClassVar[dict[str, str]]
    instances: ClassVar["count[int]"]
    network_timeout = ANSWER_TIMEOUT_S
    connection_timeout = ANSWER_TIMEOUT_S

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.rng = Random(f"{self.seed} {type(self).__name__} {next(self.instances)}")
        self.failed = False

    def wait_time(self) -> float:
        return PAUSE_AFTER_FAILURE_S if self.failed else 0.0

    def choose_texts(self) -> list[int]:
        """Return the indices of the next request's texts."""
        size = self.rng.randint(*LIST_SIZES) if self.rng.random() < LIST_SHARE else 1
        return [self.rng.randrange(len(self.workload.texts)) for _ in range(size)]

    def send(self) -> None:
        indices = self.choose_texts()
        texts = [self.workload.texts[index] for index in indices]
        endpoint = self.workload.endpoint
        body = endpoint.body(texts if len(texts) > 1 else texts[0])
        with self.client.post(endpoint.path, json=body, headers=self.headers, catch_response=True) as response:
            try:
                parsed = self.check(response, indices)
            except AnswerError as error:
                self.failed = True
                response.failure(str(error))
            else:
                self.failed = False
                response.request_meta["context"]["parsed"] = parsed  # reaches the recorder with the request event
                response.success()

    def check(self, response: Any, indices: list[int]) -> ParsedResponse:
        """Return the parsed response.

        Raises:
            AnswerError: its status, its shape or an answer is wrong.
        """
        try:
            if response.status_code != 200:
                failure = describe_failure(response.status_code, response.content, getattr(response, "error", None))
                raise AnswerError(failure)
            parsed = self.workload.endpoint.read(response.content, len(indices))
        except AnswerError as error:
            raise AnswerError(f"{name_texts(indices)}: {error}") from error
        compare(parsed, indices, self.workload.expected)
        return parsed


class TranslateUser(EndpointUser):
    """Sends POST /v1/translate."""

    instances = count()

    @task
    def translate(self) -> None:
        self.send()


class ClassifyUser(EndpointUser):
    """Sends POST /v1/classify."""

    instances = count()

    @task
    def classify(self) -> None:
        self.send()
