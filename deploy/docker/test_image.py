"""Runs a built image and checks it from outside: `python3 deploy/docker/test_image.py IMAGE`. Standard library only."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

READY_SECONDS = 120
STOP_SECONDS = 30
# uvicorn ends by the very signal that stopped it, unless it is process 1, which the kernel spares: both are clean.
CLEAN = {0, 128 + signal.SIGTERM}

# Answers come from this machine: no proxy may stand between.
http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ImageError(Exception):
    pass


def check(condition: bool, message: str) -> None:
    if not condition:
        raise ImageError(message)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def read_children(task: Path) -> list[int]:
    return [int(pid) for pid in (task / "children").read_text().split()]


class Container(Protocol):
    def run(self, *command: str) -> subprocess.CompletedProcess[str]: ...
    def health_command(self) -> list[str]: ...
    def uid(self) -> int: ...
    def alive(self) -> bool: ...
    def terminate(self) -> int: ...
    def log(self) -> str: ...
    def remove(self) -> None: ...
    def image_size(self) -> str: ...


class DockerContainer:
    """docker and podman: without writes, capabilities and privileges, so that a need for one is found here."""

    def __init__(self, engine: str, image: str, port: int) -> None:
        self.engine, self.image = engine, image
        hardened = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        self.id = output(engine, "run", "--detach", *hardened, "--publish", f"127.0.0.1:{port}:8000", image)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.engine, "exec", self.id, *command], text=True, capture_output=True)

    def health_command(self) -> list[str]:
        form = "{{json .Config.Healthcheck.Test}}"
        test: list[str] = json.loads(output(self.engine, "image", "inspect", "--format", form, self.image))
        return test[1:]

    def uid(self) -> int:
        return int(self.run("python", "-c", "import os; print(os.stat('/proc/1').st_uid)").stdout)

    def alive(self) -> bool:
        return output(self.engine, "inspect", "--format", "{{.State.Running}}", self.id) == "true"

    def terminate(self) -> int:
        output(self.engine, "kill", "--signal", "TERM", self.id)
        waiting = subprocess.run([self.engine, "wait", self.id], text=True, capture_output=True, timeout=STOP_SECONDS)
        return int(waiting.stdout)

    def log(self) -> str:
        return subprocess.run(
            [self.engine, "logs", self.id], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ).stdout

    def remove(self) -> None:
        output(self.engine, "rm", "--force", self.id)

    def image_size(self) -> str:
        return f"{int(output(self.engine, 'image', 'inspect', '--format', '{{.Size}}', self.image)) / 1e6:.0f} MB"


class BuildahContainer:
    """buildah has no `run --detach`: the service is a child of this process, on the network of this machine."""

    def __init__(self, image: str, port: int) -> None:
        self.image = image
        self.name = output("buildah", "from", "--pull-never", image)
        config = json.loads(output("buildah", "inspect", self.name))["Docker"]["config"]
        self.health: list[str] = config["Healthcheck"]["Test"][1:]
        output("buildah", "config", "--env", f"ATTENDANT_PORT={port}", "--env", "ATTENDANT_HOST=127.0.0.1", self.name)
        descriptor, self.log_file = tempfile.mkstemp(prefix="attendant-image-", suffix=".log")
        # buildah turns a death by signal into status 1; a shell in between turns it into 128 + signal.
        command = ["buildah", "run", self.name, "--", "sh", "-c", '"$@"; exit $?', "sh", *config["Cmd"]]
        self.process = subprocess.Popen(command, stdout=descriptor, stderr=subprocess.STDOUT)
        os.close(descriptor)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["buildah", "run", self.name, "--", *command], text=True, capture_output=True)

    def health_command(self) -> list[str]:
        return self.health

    def service(self) -> int:
        """The innermost child of `buildah run`, whose threads each have children of their own, but for its engine."""
        pid = self.process.pid
        while children := [child for task in Path(f"/proc/{pid}/task").iterdir() for child in read_children(task)]:
            if b"service.engine" in Path(f"/proc/{children[0]}/cmdline").read_bytes():
                break
            pid = children[0]
        return pid

    def uid(self) -> int:
        return os.stat(f"/proc/{self.service()}").st_uid

    def alive(self) -> bool:
        return self.process.poll() is None

    def terminate(self) -> int:
        os.kill(self.service(), signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def log(self) -> str:
        return Path(self.log_file).read_text()

    def remove(self) -> None:
        if self.alive():
            os.kill(self.service(), signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
        output("buildah", "rm", self.name)
        os.unlink(self.log_file)

    def image_size(self) -> str:
        return output("buildah", "images", "--format", "{{.Size}}", self.image)


def start(engine: str, image: str, port: int) -> Container:
    return BuildahContainer(image, port) if engine == "buildah" else DockerContainer(engine, image, port)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_ready(container: Container, url: str) -> float:
    begun = time.monotonic()
    last: object = None
    while time.monotonic() - begun < READY_SECONDS:
        check(container.alive(), "the service ended before it was ready")
        try:
            with http.open(f"{url}/readyz", timeout=2):
                return time.monotonic() - begun
        except (urllib.error.URLError, OSError) as error:
            last = error
            time.sleep(0.1)
    raise ImageError(f"/readyz did not answer 200 within {READY_SECONDS} s; last: {last}")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with http.open(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise ImageError(f"{url}: {error.code} {error.read().decode()}") from error


def first_classifier(url: str) -> str:
    """Which model to ask: with several of them, /v1/classify needs to be told."""
    with http.open(f"{url}/v1/models", timeout=30) as response:
        names = [model["name"] for model in json.load(response)["models"] if model["task"] == "classify"]
    check(len(names) > 0, "the image has no model to classify with")
    return str(names[0])


def check_envelope(answer: dict[str, Any]) -> None:
    check(isinstance(answer["model"], str), f"model is not a string: {answer}")
    check(all(type(count) is int for count in answer["usage"].values()), f"usage is not counts: {answer}")
    check({"queue", "compute", "total"} <= answer["timings_ms"].keys(), f"timings_ms is not complete: {answer}")


def check_translate(url: str) -> str:
    answer = post(f"{url}/v1/translate", {"text": "Guten Morgen.", "source": "de", "target": "en"})
    check_envelope(answer)
    (translation,) = answer["translations"]
    check(isinstance(translation["text"], str) and translation["text"] != "", f"no text: {answer}")
    check((translation["source"], translation["target"]) == ("de", "en"), f"wrong languages: {answer}")
    check(translation["finish_reason"] in {"stop", "length", "loop"}, f"unknown finish_reason: {answer}")
    return f"{answer['model']}: {translation['text']}"


def check_classify(url: str) -> str:
    answer = post(f"{url}/v1/classify", {"text": "Bonjour le monde", "model": first_classifier(url)})
    check_envelope(answer)
    (result,) = answer["results"]
    scores = [each["score"] for each in result["labels"]]
    check(len(scores) > 0 and all(0 <= score <= 1 for score in scores), f"scores are not probabilities: {answer}")
    check(scores == sorted(scores, reverse=True), f"labels are not best first: {answer}")
    return f"{answer['model']}: {result['labels'][0]['label']}"


def check_image(container: Container, url: str) -> None:
    say(f"ready after {wait_until_ready(container, url):.1f} s")
    say(f"translates: {check_translate(url)}")
    say(f"classifies: {check_classify(url)}")
    health = container.run(*container.health_command())
    check(health.returncode == 0, f"the health check fails: {health.stderr}")
    say("health check passes")
    check(container.uid() != 0, "the service runs as root")
    say(f"runs as uid {container.uid()}")
    torch = container.run("python", "-c", "import torch")
    check("ModuleNotFoundError" in torch.stderr, f"`import torch` did not fail: {torch.stderr}")
    say("has no torch")
    status = container.terminate()
    check(status in CLEAN, f"SIGTERM ended it with status {status}")
    say(f"stops on SIGTERM with status {status}")
    say(f"image size {container.image_size()}")


def say(line: str) -> None:
    sys.stdout.write(f"ok  {line}\n")
    sys.stdout.flush()


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: test_image.py IMAGE\n")
        return 2
    engine = output(str(Path(__file__).with_name("engine.sh")))
    port = free_port()
    container = start(engine, sys.argv[1], port)
    try:
        check_image(container, f"http://127.0.0.1:{port}")
    except (ImageError, KeyError, ValueError, TypeError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"FAILED  {error!r}\n--- log of the service\n{container.log()}")
        return 1
    finally:
        container.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
