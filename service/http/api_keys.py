"""API keys: create them, and recognise their names. The service stores hashes, never a key itself.

A key is NAME.SECRET; its entry is NAME:HASH with the SHA-256 of the whole key. The secret is 256 random bits: there is
no word list to try, so a slow password hash would not add protection, and it would slow down every request.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.settings import Settings, split_list

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
ENTRY = re.compile(rf"({NAME.pattern}):([0-9a-f]{{64}})")
UNKNOWN_DIGEST = secrets.token_bytes(32)  # compared with when no key has the name, so that the time is the same


class ApiKeyError(Exception):
    """Invalid API keys, one error a line. An entry is named by its position, because it may be a plain key."""


@dataclass(frozen=True)
class ApiKeys:
    """The SHA-256 digest of each key by its name. Without keys, the service serves every caller.

    `admins` are the keys that may change which models are served; where keys are required, they are among them.
    """

    digests: Mapping[str, bytes] = field(default_factory=dict)
    admins: Mapping[str, bytes] = field(default_factory=dict)

    def name_of(self, key: bytes) -> str | None:
        """Return the name of a key, or None if the key is unknown, in a time that does not depend on the secret."""
        return _name_of(key, self.digests)

    def admin_name_of(self, key: bytes) -> str | None:
        """Return the name of an admin key, or None if the key is none."""
        return _name_of(key, self.admins)


def _name_of(key: bytes, digests: Mapping[str, bytes]) -> str | None:
    name = key.partition(b".")[0].decode("latin-1")
    known = hmac.compare_digest(hashlib.sha256(key).digest(), digests.get(name, UNKNOWN_DIGEST))
    return name if known else None


def make_api_key(name: str) -> tuple[str, str]:
    """Return a new key and its entry.

    Raises:
        ApiKeyError: the name is invalid.
    """
    if not NAME.fullmatch(name):
        raise ApiKeyError(
            f"{name!r} is not a valid key name; use 1 to 40 letters, digits, _ and -, the first a letter or digit"
        )
    key = f"{name}.{secrets.token_urlsafe(32)}"
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def read_api_keys(settings: Settings) -> ApiKeys:
    """Read the keys of the environment and of the key file.

    Raises:
        ApiKeyError: with all errors at once. A source that is set but has no key is an error, because the service would
            be open to everybody.
    """
    entries: list[tuple[str, str]] = []
    if settings.keys is not None:
        entries += _locate("ATTENDANT_KEYS", "entry", split_list(settings.keys))
    if settings.key_file is not None:
        entries += _locate(f"{settings.key_file}", "line", _lines(settings.key_file))
    admin_entries: list[tuple[str, str]] = []
    if settings.admin_keys is not None:
        admin_entries = _locate("ATTENDANT_ADMIN_KEYS", "entry", split_list(settings.admin_keys))
    digests: dict[str, bytes] = {}
    errors = []
    for place, entry in entries + admin_entries:
        match = ENTRY.fullmatch(entry)
        if not match:
            errors.append(
                f"{place} is not NAME:HASH with 64 hexadecimal digits; plain keys are not stored: "
                "`python -m service key NAME` makes a key and its entry"
            )
        elif match[1] in digests:
            errors.append(f"{place}: a key named {match[1]!r} already exists; choose another name")
        else:
            digests[match[1]] = bytes.fromhex(match[2])
    if errors:
        raise ApiKeyError("\n".join(errors))
    admins = {name: digests[name] for name in (entry.partition(":")[0] for _, entry in admin_entries)}
    return ApiKeys(digests if entries else {}, admins)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiKeyError(f"ATTENDANT_KEY_FILE: {file} cannot be read: {error}") from None


def _locate(source: str, unit: str, entries: Iterable[str]) -> list[tuple[str, str]]:
    """Return each entry with its position; drop blank entries and comments."""
    numbered = ((f"{source}, {unit} {i}", entry.partition("#")[0].strip()) for i, entry in enumerate(entries, 1))
    located = [(place, entry) for place, entry in numbered if entry]
    if not located:
        raise ApiKeyError(f"{source} has no key; unset it to serve every caller, or add the entry of a key to it")
    return located
