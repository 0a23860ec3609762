"""Zip containers, such as docx and odt: read within limits, and written with some members replaced.

The sizes in a container's directory are those that its members are read to at most: a member that has more than it
declares is an error. So the limits hold before anything is unpacked.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping

from service.errors import InvalidDocument, TooLarge

MAX_MEMBERS = 5000
# Texts with much markup unpack to 10 to 50 times their packed size; deflate packs up to 1032 to one.
MAX_RATIO = 200
MIN_SUSPICIOUS_BYTES = 1_000_000  # a smaller member of any ratio costs nothing
OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # of old binary formats, and of encrypted Office files
ENCRYPTED_FLAG = 0x1
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError, RuntimeError)


class Container:
    """A zip container that has been checked."""

    def __init__(self, content: bytes, kind: str, max_unpacked_bytes: int) -> None:
        """Check a container; `kind` is the name of its format.

        Raises:
            InvalidDocument: it is broken or encrypted.
            TooLarge: it has too many members, or unpacks to too many bytes.
        """
        self._content, self._kind = content, kind
        if content.startswith(OLE_SIGNATURE):
            raise InvalidDocument(
                f"the file is encrypted, or in an old binary format; save it as {kind} without a password"
            )
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(content))
        except ZIP_ERRORS as error:
            raise InvalidDocument(f"the file is no {kind} file: {_reason(error)}; save it again") from None
        self._members = {info.filename: info for info in self._archive.infolist()}
        self._check(len(self._archive.infolist()), max_unpacked_bytes)

    @property
    def names(self) -> list[str]:
        """The names of the members, in order."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """Return a member.

        Raises:
            InvalidDocument: it is missing or broken.
        """
        if name not in self._members:
            raise InvalidDocument(f"the file is no {self._kind} file: it has no {name}; save it again")
        try:
            return self._archive.read(self._members[name])
        except ZIP_ERRORS as error:
            raise InvalidDocument(f"{name} in the file is broken: {_reason(error)}; save it again") from None

    def replaced(self, members: Mapping[str, bytes]) -> bytes:
        """Return the container with other contents of some members; the others and their order are unchanged.

        It is the same bytes if no content differs.

        Raises:
            InvalidDocument: a member is broken.
        """
        members = {name: content for name, content in members.items() if content != self.read(name)}
        if not members:
            return self._content
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w") as archive:
            for name, info in self._members.items():
                archive.writestr(_new_info(info), members[name] if name in members else self.read(name))
        return output.getvalue()

    def _check(self, count: int, max_unpacked_bytes: int) -> None:
        if count > MAX_MEMBERS:
            raise TooLarge(f"the file has {count} members; at most {MAX_MEMBERS} are accepted: split it")
        if count > len(self._members):
            raise InvalidDocument(f"the file is no {self._kind} file: it has two members of one name; save it again")
        unpacked = sum(info.file_size for info in self._members.values())
        if unpacked > max_unpacked_bytes:
            raise TooLarge(f"the file unpacks to {unpacked} bytes; at most {max_unpacked_bytes} are accepted: split it")
        for name, info in self._members.items():
            if info.flag_bits & ENCRYPTED_FLAG:
                raise InvalidDocument("the file is encrypted; save it without a password")
            if info.compress_type not in METHODS:
                raise InvalidDocument(f"{name[:100]} in the file is not packed by deflate; save it again")
            if info.file_size > max(MIN_SUSPICIOUS_BYTES, MAX_RATIO * info.compress_size):
                raise TooLarge(
                    f"{name[:100]} in the file unpacks from {info.compress_size} to {info.file_size} bytes; at most "
                    f"{MAX_RATIO} times its size is accepted"
                )


def _new_info(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return what describes a member, apart from its content."""
    new = zipfile.ZipInfo(info.filename, info.date_time)
    new.compress_type, new.comment, new.create_system = info.compress_type, info.comment, info.create_system
    new.external_attr, new.internal_attr = info.external_attr, info.internal_attr
    return new


def _reason(error: BaseException) -> str:
    return str(error)[:100] or type(error).__name__
