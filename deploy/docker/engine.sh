#!/usr/bin/env bash
# Print the first of docker, podman and buildah that works here; ENGINE=... overrides. A client needs a running daemon.
set -euo pipefail
for engine in ${ENGINE:-docker podman buildah}; do
    if "$engine" info >/dev/null 2>&1; then
        echo "$engine"
        exit
    fi
done
echo "Building an image needs a working ${ENGINE:-docker, podman or buildah}: its 'info' command must succeed." >&2
exit 1
