"""The two users of the load: one behaviour a class, a closed loop, every answer checked."""

from itertools import count
from random import Random
from typing import Any, ClassVar

from locust import FastHttpUser, task

from loadtest.checks import AnswerError, Reply, compare, named, refusal
from loadtest.client import ANSWER_TIMEOUT_S, Bench

LIST_SHARE = 0.1  # of the requests carry a list of texts, the others a single one
LIST_SIZES = (2, 8)
PAUSE_AFTER_FAILURE_S = 0.1  # who was refused does not hammer


class BenchUser(FastHttpUser):
    """Asks, waits for the answer, compares it with the book, asks again."""

    abstract = True
    bench: ClassVar[Bench]  # bench, seed and headers are set by `run.py` before the first user is born
    seed: ClassVar[int]
    headers: ClassVar[dict[str, str]]
    births: ClassVar["count[int]"]
    network_timeout = ANSWER_TIMEOUT_S
    connection_timeout = ANSWER_TIMEOUT_S

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.rng = Random(f"{self.seed} {type(self).__name__} {next(self.births)}")
        self.failed = False

    def wait_time(self) -> float:
        return PAUSE_AFTER_FAILURE_S if self.failed else 0.0

    def pick(self) -> list[int]:
        """Indices of the next request's texts."""
        size = self.rng.randint(*LIST_SIZES) if self.rng.random() < LIST_SHARE else 1
        return [self.rng.randrange(len(self.bench.texts)) for _ in range(size)]

    def ask(self) -> None:
        indices = self.pick()
        texts = [self.bench.texts[index] for index in indices]
        endpoint = self.bench.endpoint
        body = endpoint.body(texts if len(texts) > 1 else texts[0])
        with self.client.post(endpoint.path, json=body, headers=self.headers, catch_response=True) as response:
            try:
                reply = self.judge(response, indices)
            except AnswerError as error:
                self.failed = True
                response.failure(str(error))
            else:
                self.failed = False
                response.request_meta["context"]["reply"] = reply  # travels to the recorder with the request event
                response.success()

    def judge(self, response: Any, indices: list[int]) -> Reply:
        """The reply, when its status, its shape and every answer in it are right."""
        try:
            if response.status_code != 200:
                raise AnswerError(refusal(response.status_code, response.content, getattr(response, "error", None)))
            reply = self.bench.endpoint.read(response.content, len(indices))
        except AnswerError as error:
            raise AnswerError(f"{named(indices)}: {error}") from error
        compare(reply, indices, self.bench.book)
        return reply


class TranslateUser(BenchUser):
    """Translates, and does nothing else."""

    births = count()

    @task
    def translate(self) -> None:
        self.ask()


class ClassifyUser(BenchUser):
    """Classifies, and does nothing else."""

    births = count()

    @task
    def classify(self) -> None:
        self.ask()
