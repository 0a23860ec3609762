#!/usr/bin/env bash
# Prints the first of docker, podman and buildah that works here; ENGINE=... overrides. A client without a daemon does not count.
set -euo pipefail
for engine in ${ENGINE:-docker podman buildah}; do
    if "$engine" info >/dev/null 2>&1; then
        echo "$engine"
        exit
    fi
done
echo "Building an image needs a working ${ENGINE:-docker, podman or buildah} ('info' must succeed)." >&2
exit 1
