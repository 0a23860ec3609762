"""Run a built image and check it from outside: `python3 deploy/docker/test_image.py IMAGE`. Standard library only."""

import json
import os
import re
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
# uvicorn re-raises the signal that stopped it; process 1 is immune to that and exits with 0. Both are clean.
CLEAN_STATUSES = {0, 128 + signal.SIGTERM}

# The service runs on this machine: use no proxy.
http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ImageError(Exception):
    """The image fails a check."""


def check(condition: bool, message: str) -> None:
    if not condition:
        raise ImageError(message)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def read_children(task: Path) -> list[int]:
    return [int(pid) for pid in (task / "children").read_text().split()]


class Container(Protocol):
    """A running container of the image, whatever the engine."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]: ...
    def health_command(self) -> list[str]: ...
    def uid(self) -> int: ...
    def alive(self) -> bool: ...
    def terminate(self) -> int: ...
    def log(self) -> str: ...
    def remove(self) -> None: ...
    def image_size(self) -> str: ...


class DockerContainer:
    """A container of docker or podman, without writes, capabilities and privileges, to show that none is needed."""

    def __init__(self, engine: str, image: str, port: int) -> None:
        self.engine, self.image = engine, image
        hardened = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        self.id = output(engine, "run", "--detach", *hardened, "--publish", f"127.0.0.1:{port}:8000", image)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.engine, "exec", self.id, *command], text=True, capture_output=True)

    def health_command(self) -> list[str]:
        template = "{{json .Config.Healthcheck.Test}}"
        test: list[str] = json.loads(output(self.engine, "image", "inspect", "--format", template, self.image))
        return test[1:]

    def uid(self) -> int:
        return int(self.run("python", "-c", "import os; print(os.stat('/proc/1').st_uid)").stdout)

    def alive(self) -> bool:
        return output(self.engine, "inspect", "--format", "{{.State.Running}}", self.id) == "true"

    def terminate(self) -> int:
        output(self.engine, "kill", "--signal", "TERM", self.id)
        result = subprocess.run([self.engine, "wait", self.id], text=True, capture_output=True, timeout=STOP_SECONDS)
        return int(result.stdout)

    def log(self) -> str:
        return subprocess.run(
            [self.engine, "logs", self.id], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ).stdout

    def remove(self) -> None:
        output(self.engine, "rm", "--force", self.id)

    def image_size(self) -> str:
        return f"{int(output(self.engine, 'image', 'inspect', '--format', '{{.Size}}', self.image)) / 1e6:.0f} MB"


class BuildahContainer:
    """A container of buildah, which has no `run --detach`: the service is a child process on the host's network."""

    def __init__(self, image: str, port: int) -> None:
        self.image = image
        self.name = output("buildah", "from", "--pull-never", image)
        config = json.loads(output("buildah", "inspect", self.name))["Docker"]["config"]
        self.health: list[str] = config["Healthcheck"]["Test"][1:]
        output("buildah", "config", "--env", f"ATTENDANT_PORT={port}", "--env", "ATTENDANT_HOST=127.0.0.1", self.name)
        descriptor, self.log_file = tempfile.mkstemp(prefix="attendant-image-", suffix=".log")
        # buildah reports status 1 if a signal ends the process; with a shell in between, it reports 128 + signal.
        command = ["buildah", "run", self.name, "--", "sh", "-c", '"$@"; exit $?', "sh", *config["Cmd"]]
        self.process = subprocess.Popen(command, stdout=descriptor, stderr=subprocess.STDOUT)
        os.close(descriptor)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["buildah", "run", self.name, "--", *command], text=True, capture_output=True)

    def health_command(self) -> list[str]:
        return self.health

    def service(self) -> int:
        """Return the service's process id: the innermost descendant of `buildah run`, engine process excluded."""
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
    started = time.monotonic()
    last: object = None
    while time.monotonic() - started < READY_SECONDS:
        check(container.alive(), "the service ended before it was ready")
        try:
            with http.open(f"{url}/readyz", timeout=2):
                return time.monotonic() - started
        except (urllib.error.URLError, OSError) as error:
            last = error
            time.sleep(0.1)
    raise ImageError(f"/readyz did not answer 200 within {READY_SECONDS} s; last error: {last}")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with http.open(request, timeout=30) as response:
            document: dict[str, Any] = json.load(response)
            return document
    except urllib.error.HTTPError as error:
        raise ImageError(f"{url}: {error.code} {error.read().decode()}") from error


def first_classifier(url: str) -> str:
    """Return the name of a classifier; with several of them, /v1/classify requires `model`."""
    with http.open(f"{url}/v1/models", timeout=30) as response:
        names = [model["name"] for model in json.load(response)["models"] if model["task"] == "classify"]
    check(len(names) > 0, "the image has no classifier")
    return str(names[0])


def check_common_fields(response: dict[str, Any]) -> None:
    check(isinstance(response["model"], str), f"model is not a string: {response}")
    check(all(type(count) is int for count in response["usage"].values()), f"usage is not made of counts: {response}")
    check({"queue", "compute", "total"} <= response["timings_ms"].keys(), f"timings_ms is not complete: {response}")


def check_translate(url: str) -> str:
    response = post(f"{url}/v1/translate", {"text": "Guten Morgen.", "source": "de", "target": "en"})
    check_common_fields(response)
    (translation,) = response["translations"]
    check(isinstance(translation["text"], str) and translation["text"] != "", f"no text: {response}")
    check((translation["source"], translation["target"]) == ("de", "en"), f"wrong languages: {response}")
    check(translation["finish_reason"] in {"stop", "length", "loop"}, f"unknown finish_reason: {response}")
    return f"{response['model']}: {translation['text']}"


def check_classify(url: str) -> str:
    response = post(f"{url}/v1/classify", {"text": "Bonjour le monde", "model": first_classifier(url)})
    check_common_fields(response)
    (result,) = response["results"]
    scores = [each["score"] for each in result["labels"]]
    check(len(scores) > 0 and all(0 <= score <= 1 for score in scores), f"scores are not probabilities: {response}")
    check(scores == sorted(scores, reverse=True), f"labels are not best first: {response}")
    return f"{response['model']}: {result['labels'][0]['label']}"


def check_page(url: str, path: str) -> int:
    """Load a page and all that it refers to; return the number of files."""
    with http.open(f"{url}{path}", timeout=30) as response:
        references = re.findall(r'(?:src|href)="([^"]+)"', response.read().decode())
    check(len(references) > 3, f"{path} is not complete: {references}")
    for reference in references:
        check(":" not in reference, f"{path} refers to another host: {reference}")
        with http.open(f"{url}/{reference}", timeout=30) as response:
            check(len(response.read()) > 0, f"{reference} is empty")
    return len(references)


def check_image(container: Container, url: str) -> None:
    report(f"ready after {wait_until_ready(container, url):.1f} s")
    report(f"translates: {check_translate(url)}")
    report(f"classifies: {check_classify(url)}")
    for path in ("/", "/docs"):
        report(f"serves {path} with {check_page(url, path)} files of its own")
    health = container.run(*container.health_command())
    check(health.returncode == 0, f"the health check fails: {health.stderr}")
    report("health check passes")
    check(container.uid() != 0, "the service runs as root")
    report(f"runs as uid {container.uid()}")
    torch = container.run("python", "-c", "import torch")
    check("ModuleNotFoundError" in torch.stderr, f"`import torch` did not fail: {torch.stderr}")
    report("has no torch")
    status = container.terminate()
    check(status in CLEAN_STATUSES, f"the service ended with status {status} on SIGTERM")
    report(f"stops on SIGTERM with status {status}")
    report(f"image size {container.image_size()}")


def report(line: str) -> None:
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
        sys.stderr.write(f"FAILED  {error!r}\n--- service log\n{container.log()}")
        return 1
    finally:
        container.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
