"""API keys: who holds one. The service knows a key by its hash, never the key itself.

A key is NAME.SECRET, its entry NAME:HASH with the SHA-256 of the whole key. The secret is 256 random bits, so there is
no word list to try and a slow hash would guard nothing more; it would cost every request what this one does not.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.settings import Settings, words

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
ENTRY = re.compile(rf"({NAME.pattern}):([0-9a-f]{{64}})")
NOBODY = secrets.token_bytes(32)  # compared with when there is no holder of that name


class KeysError(Exception):
    """The keys cannot be used; an entry is named by its place, for it may be a plain key."""


@dataclass(frozen=True)
class Keys:
    """The hash of each holder's key; without any, the service is open to everybody."""

    digests: Mapping[str, bytes] = field(default_factory=dict)

    def holder(self, key: bytes) -> str | None:
        """Whose key it is, if it is one; the time it takes tells nothing of a secret or of who holds keys."""
        name = key.partition(b".")[0].decode("latin-1")
        right = hmac.compare_digest(hashlib.sha256(key).digest(), self.digests.get(name, NOBODY))
        return name if right else None


def make_key(name: str) -> tuple[str, str]:
    """A new key, and the entry by which the service will know it.

    Raises:
        KeysError: the name is none that an entry can hold.
    """
    if not NAME.fullmatch(name):
        raise KeysError(f"{name!r} names no key: give 1 to 40 letters, digits, _ and -, first a letter or a digit")
    key = f"{name}.{secrets.token_urlsafe(32)}"
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def read_keys(settings: Settings) -> Keys:
    """The keys of the environment and of the file.

    Raises:
        KeysError: with every fault at once; among them a source that is set and holds no key, which would otherwise
            open the service to everybody.
    """
    entries: list[tuple[str, str]] = []
    if settings.keys is not None:
        entries += _placed("ATTENDANT_KEYS", "entry", words(settings.keys))
    if settings.key_file is not None:
        entries += _placed(f"{settings.key_file}", "line", _lines(settings.key_file))
    digests: dict[str, bytes] = {}
    faults = []
    for place, entry in entries:
        found = ENTRY.fullmatch(entry)
        if not found:
            faults.append(
                f"{place} is not NAME:HASH with 64 hexadecimal digits; keys themselves are not kept: "
                "`python -m service key NAME` makes a key and its entry"
            )
        elif found[1] in digests:
            faults.append(f"{place}: there is a key named {found[1]!r} already; name the new one differently")
        else:
            digests[found[1]] = bytes.fromhex(found[2])
    if faults:
        raise KeysError("\n".join(faults))
    return Keys(digests)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"ATTENDANT_KEY_FILE: {file} cannot be read: {error}") from None


def _placed(source: str, unit: str, entries: Iterable[str]) -> list[tuple[str, str]]:
    """Entries with where they are; blank ones and comments are none."""
    numbered = ((f"{source}, {unit} {i}", entry.partition("#")[0].strip()) for i, entry in enumerate(entries, 1))
    found = [(place, entry) for place, entry in numbered if entry]
    if not found:
        raise KeysError(f"{source} holds no key; unset it to serve everybody, or add the entry of a key to it")
    return found
