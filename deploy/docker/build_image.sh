#!/usr/bin/env bash
# build_image.sh IMAGE [FLAG...]: build the Dockerfile. Flags and the environment variable IMAGE_FLAGS are passed to the build command, for example
# IMAGE_FLAGS="--build-arg BASE=python:3.13-slim --secret id=pip.conf,src=$HOME/.config/pip/pip.conf"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
image=$1
engine=$(deploy/docker/engine.sh)
version=$(sed -n 's/^__version__ = "\([^"]*\)".*/\1/p' service/__init__.py)
revision=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
read -ra flags <<<"${IMAGE_FLAGS:-}"
flags+=("${@:2}")
# The OCI format has no HEALTHCHECK, so podman and buildah must write Docker's format.
[[ $engine == docker ]] || flags+=(--format docker)
echo "Building $image with $engine"
exec "$engine" build --file Dockerfile --tag "$image" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" "${flags[@]}" .
