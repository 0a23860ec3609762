"""Run the real nginx and HAProxy in front of instances of the service."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.common.processes import free_port
from deploy.check import make_certificate, write_nginx_config

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
START_SECONDS = 10.0


class ProxyError(RuntimeError):
    """A proxy is not installed, or does not start."""


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its port, and whether it speaks TLS there."""

    port: int
    tls: bool


def find_proxy(name: str) -> str | None:
    """Return the path of nginx or haproxy; Debian has them where PATH of an ordinary user does not lead."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def pod() -> Mapping[str, Any]:
    """Return the specification of a pod in deploy/kubernetes."""
    deployment = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "deployment.yaml").read_text("utf-8"))
    found: Mapping[str, Any] = deployment["spec"]["template"]["spec"]
    return found


@contextmanager
def nginx(ports: Sequence[int]) -> Iterator[Proxy]:
    """Run nginx with deploy/nginx/attendant.conf on these instances; only ports and certificate are others.

    Raises:
        ProxyError: it is not installed, or does not start.
        ValueError: the configuration has not as many servers as there are ports.
    """
    text = (DEPLOY / "nginx" / "attendant.conf").read_text("utf-8")
    servers = re.findall(r"server 127\.0\.0\.1:(\d+)", text)
    if len(servers) != len(ports):
        raise ValueError(f"attendant.conf has {len(servers)} servers, not {len(ports)}")
    for old, new in zip(servers, ports, strict=True):
        text = text.replace(f"127.0.0.1:{old} ", f"127.0.0.1:{new} ")
    port = free_port()
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    with tempfile.TemporaryDirectory(prefix="attendant-nginx-") as name:
        folder = Path(name)
        make_certificate(folder)
        write_nginx_config(folder, text)
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""  # else its workers may not read the folder
        command = ["-p", name, "-c", f"{folder}/nginx.conf", "-g", f"daemon off; {user}"]
        with _running("nginx", command, folder, port):
            yield Proxy(port, tls=True)


@contextmanager
def haproxy(ports: Sequence[int]) -> Iterator[Proxy]:
    """Run HAProxy with the readiness probe of the pods in deploy/kubernetes, in the place of a Service's endpoints.

    Raises:
        ProxyError: it is not installed, or does not start.
    """
    probe, port = pod()["containers"][0]["readinessProbe"], free_port()
    check = f"check inter {probe['periodSeconds']}s fall {probe['failureThreshold']} rise 1"
    servers = "\n".join(f"    server s{k} 127.0.0.1:{one} {check}" for k, one in enumerate(ports))
    configuration = f"""
defaults
    mode http
    timeout connect 2s
    timeout client 70s
    timeout server 70s
    timeout check {probe["timeoutSeconds"]}s
    retries 3
    option redispatch 1
listen attendant
    bind 127.0.0.1:{port}
    balance leastconn
    option httpchk GET {probe["httpGet"]["path"]}
    http-reuse never
{servers}
"""
    with tempfile.TemporaryDirectory(prefix="attendant-haproxy-") as name:
        path = Path(name) / "haproxy.cfg"
        path.write_text(configuration, "utf-8")
        with _running("haproxy", ["-f", str(path), "-db"], Path(name), port):
            yield Proxy(port, tls=False)


@contextmanager
def _running(name: str, arguments: Sequence[str], folder: Path, port: int) -> Iterator[None]:
    program = find_proxy(name)
    if program is None:
        raise ProxyError(f"the program {name} is not installed; Debian has it")
    with (folder / "output").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise ProxyError(f"{name} did not start; exit status {process.poll()}: {log.read()[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
