# The service and its models, without torch, pip or a compiler. Built by `make image`, checked by `make image-test`.
# The base can be any image with Python 3.11 or later and its venv module: --build-arg BASE=...
# `make image-gpu` sets DEVICE=cuda: the same image on NVIDIA's base, with onnxruntime's build for CUDA. No name of a
# stage contains an argument: buildah 1.28 does not resolve it.
ARG DEVICE=cpu
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS python
# NVIDIA's base has no Python.
RUN command -v python3 || { apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*; }

FROM python AS build
ARG DEVICE
WORKDIR /app
RUN python3 -m venv /venv
ENV PATH=/venv/bin:$PATH
# Only these files determine the installed packages: after a change of code or of models this layer is still cached. pip
# installs nothing whose hash is not in the lock; onnxruntime for GPUs, which the lock does not have, by its version.
COPY pyproject.toml requirements.lock constraints.txt ./
COPY deploy/docker/slim.py /tmp/slim.py
# Pass these secrets behind a proxy or with your own package index (see CONTRIBUTING.md); they are not stored in the image.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/run/secrets/ca.pem \
    pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes -r requirements.lock \
    && if [ "$DEVICE" = cuda ]; then pip uninstall --yes onnxruntime \
        && pip install --no-cache-dir --no-compile --disable-pip-version-check -c constraints.txt onnxruntime-gpu; fi \
    && python /tmp/slim.py
COPY service service
# Compile byte code here: the service cannot write files at run time, and it starts faster. The import checks that
# slim.py removed nothing that the service needs.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib service \
    && ORT_DISABLE_TELEMETRY=1 python -c "import service.__main__, service.engine.process.__main__, service.api.open_inference.grpc.server, service.tracing.otel"

FROM python
ARG DEVICE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Attendant" \
      org.opencontainers.image.description="Translation and classification over HTTP, with continuous batching" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Without this, onnxruntime sends telemetry to Microsoft.
ENV ORT_DISABLE_TELEMETRY=1 \
    PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ATTENDANT_HOST=0.0.0.0 \
    ATTENDANT_PORT=8000 \
    ATTENDANT_DEVICE=${DEVICE} \
    ATTENDANT_MODELS=/app/models
WORKDIR /app
COPY --from=build /venv /venv
COPY models models
COPY --from=build /app/service service
# A numeric user, so that Kubernetes can check runAsNonRoot. root owns all files; the service only reads them.
USER 10001:10001
# 8001 is for gRPC, which ATTENDANT_GRPC_PORT=8001 turns on.
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['ATTENDANT_PORT']), timeout=2); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "service"]
