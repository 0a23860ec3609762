"""Where artifacts come from: folders, and URLs whose files are fetched into a cache and checked there."""

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from service.artifact import ArtifactError, sha256

log = logging.getLogger("attendant")

CHUNK = 4 * 2**20  # bytes that are read at a time
MAX_MANIFEST = 10 * 2**20  # bytes
DIGITS = 16  # of a hash in the name of a cached folder
_USER = re.compile(r"(?<=://)[^/@\s]*@")


class Found(NamedTuple):
    """Artifact folders, and the URLs that there is no folder for, by the last part of each, with the reason."""

    folders: list[Path]
    missing: dict[str, str]


class ModelSources:
    """The folders of artifact folders and the URLs of artifacts in ATTENDANT_MODELS.

    A URL is that of the folder which has manifest.json and the files that it lists: `https://`, or any other kind that
    fsspec reads, such as `s3://` and `hf://`. The files come into a folder of the cache, named by the hash of the
    manifest, and are the manifest's by their hashes. A download that was interrupted goes on where it was. While a URL
    cannot be reached, what it had last time is used.
    """

    def __init__(self, models: str, cache: Path) -> None:
        sources = [item.strip() for item in models.split(",")]
        self.folders = [Path(item) for item in sources if item and "://" not in item]
        self.urls = [item.rstrip("/") for item in sources if "://" in item]
        self._cache = cache.expanduser()

    def __str__(self) -> str:
        return ", ".join([*map(str, self.folders), *map(without_credentials, self.urls)])

    def find(self) -> Found:
        """Return the folders of all artifacts; those of URLs are fetched if they have changed.

        Raises:
            ArtifactError: there is neither a folder nor a URL.
        """
        inside = [path for folder in self.folders for path in folder.glob("*")]
        found = Found(sorted(path for path in inside if path.is_dir() and not path.name.startswith(".")), {})
        for url in self.urls:
            try:
                found.folders.append(self._folder_of(url))
            except ArtifactError as error:
                found.missing[_last_part(url)] = str(error)
        if not found.folders and not found.missing:
            raise ArtifactError(f"{self}: no artifact folder in it; set ATTENDANT_MODELS to a folder of artifacts")
        return found

    def is_gone(self, folder: Path, found: Found) -> bool:
        """Return whether an artifact is no longer there: its folder is gone, or its URL has another one now."""
        return not folder.is_dir() or (self._cache in folder.parents and folder not in found.folders)

    def _folder_of(self, url: str) -> Path:
        """Return the folder of a URL's artifact, fetched if it is not in the cache.

        Raises:
            ArtifactError: it cannot be fetched, and was not before.
        """
        note = self._cache / f"url-{hashlib.sha256(url.encode()).hexdigest()[:DIGITS]}"
        try:
            folder = self._fetch(url)
        except Exception as error:  # every file system of fsspec has exceptions of its own
            kind = "" if isinstance(error, ArtifactError) else f"{type(error).__name__}: "
            shown, reason = without_credentials(url), without_credentials(f"{kind}{error}")
            if note.is_file() and (known := self._cache / note.read_text("utf-8")).is_dir():
                log.warning("%s cannot be fetched, what it had before is used: %s", shown, reason[:500])
                return known
            raise ArtifactError(f"{shown}: cannot be fetched: {reason}") from None
        if not note.is_file() or note.read_text("utf-8") != folder.name:
            partial = note.with_suffix(f".{os.getpid()}")
            partial.write_text(folder.name, "utf-8")
            partial.replace(note)
        return folder

    def _fetch(self, url: str) -> Path:
        """Return the folder of a URL's artifact in the cache, after fetching what is not there.

        Raises:
            ArtifactError: fsspec, or its part for this kind of URL, is not installed; or the files are wrong.
            Exception: those of the file system.
        """
        files, root = _file_system(url)
        with files.open(f"{root}/manifest.json", "rb") as stream:
            manifest = stream.read(MAX_MANIFEST)
        hashes = _hashes(manifest)
        folder = self._cache / f"{_last_part(url)}-{hashlib.sha256(manifest).hexdigest()[:DIGITS]}"
        if folder.is_dir():
            return folder
        partial = folder.with_name(f".{folder.name}")
        self._cache.mkdir(parents=True, exist_ok=True)
        with _locked(partial.with_suffix(".lock")):
            if folder.is_dir():  # another process has fetched it meanwhile
                return folder
            log.info("fetching %s", without_credentials(url))
            partial.mkdir(exist_ok=True)
            for name, expected in hashes.items():
                _fetch_file(files, f"{root}/{name}", partial / name, expected)
            (partial / "manifest.json").write_bytes(manifest)
            partial.rename(folder)
        return folder


def without_credentials(text: str) -> str:
    """Return a URL, or a text with URLs, without the users and passwords in them."""
    return _USER.sub("", text)


def _last_part(url: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", url.partition("?")[0].rpartition("/")[2]).lstrip(".") or "artifact"


def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        ArtifactError: what it needs is not installed.
    """
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        raise ArtifactError(f"{error}; models from URLs need the extra `remote`, and those on S3 s3fs too") from None


def _hashes(manifest: bytes) -> dict[str, str]:
    """Return the hashes of an artifact's files by their names.

    Raises:
        ArtifactError: this is no manifest, or a name leads out of the folder.
    """
    try:
        files = json.loads(manifest)["files"]
        hashes = {str(name): str(expected) for name, expected in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ArtifactError("its manifest.json is not that of an artifact") from None
    for name in hashes:
        if name in ("", "..") or name.startswith(".") or Path(name).name != name:
            raise ArtifactError(f"its manifest.json lists {name!r}, which is not a plain file name")
    return hashes


def _fetch_file(files: Any, source: str, target: Path, expected: str) -> None:
    """Fetch a file, or the rest of it if its beginning is there.

    Raises:
        ArtifactError: it has not the hash that is expected.
    """
    had = target.stat().st_size if target.is_file() else 0
    if not had or sha256(target) != expected:
        with files.open(source, "rb") as stream, target.open("ab") as output:
            if had >= (stream.size or 0):  # not a beginning of this file, or of one of unknown size
                output.truncate(0)
                had = 0
            stream.seek(had)
            while chunk := stream.read(CHUNK):
                output.write(chunk)
        if (found := sha256(target)) != expected:
            target.unlink()  # the next attempt starts over
            raise ArtifactError(f"{target.name} has sha256 {found[:12]}…, its manifest says {expected[:12]}…")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Let one process at a time fetch an artifact, where the system has locks that end with a process."""
    with path.open("w") as stream:
        with contextlib.suppress(ImportError):  # Windows
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream
