"""The key-encryption key: the one secret that Tender is given, and what every subject's key is wrapped under.

It comes from `TENDER_KEY_ENCRYPTION_KEY`, or from a file: of yours, or in the data folder, where one is made
at the first start.  Several keys may be given: the first wraps, each may unwrap, so that it can be changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from events.personal import KEY_BYTES, SubjectKey

KEK_BYTES = 32
FILE = "key-encryption-key"
_NONCE_BYTES = 12


class UnknownKeyEncryptionKey(RuntimeError):
    """A subject's key is wrapped under a key-encryption key that was not given."""


class Wrapped(NamedTuple):
    """A subject's key, as it is stored."""

    home: str
    wrapped: bytes
    kek_id: str


class KeyEncryption:
    """Makes, wraps and unwraps the keys of data subjects."""

    def __init__(self, keys: Sequence[bytes], random: Callable[[int], bytes] = os.urandom) -> None:
        assert keys, "there must be a key-encryption key"
        assert all(len(key) == KEK_BYTES for key in keys), f"a key-encryption key has {KEK_BYTES} bytes"
        self._random = random
        self._ciphers = {_id_of(key): AESGCM(key) for key in keys}
        self._roots = [hmac.digest(key, b"tender derived keys", "sha256") for key in keys]
        self.current = _id_of(keys[0])

    @classmethod
    def parsed(cls, text: str) -> KeyEncryption:
        """Of one or more keys of 32 bytes in base64, separated by commas.  Raises `ValueError`."""
        try:
            keys = [base64.b64decode(part.strip(), validate=True) for part in text.split(",")]
        except binascii.Error as error:
            raise ValueError("a key-encryption key is 32 bytes in base64") from error
        if any(len(key) != KEK_BYTES for key in keys):
            raise ValueError("a key-encryption key is 32 bytes in base64")
        return cls(keys)

    def derived(self, purpose: str) -> tuple[bytes, ...]:
        """Keys for another purpose, of each key-encryption key, the first first."""
        return tuple(hmac.digest(root, purpose.encode(), "sha256") for root in self._roots)

    def make(self, home: str) -> tuple[Wrapped, SubjectKey]:
        """A new key for a data subject: as it is kept, and as it is used."""
        nonce, key = self._random(_NONCE_BYTES), self._random(KEY_BYTES)
        wrapped = self._ciphers[self.current].encrypt(nonce, key, home.encode())
        return Wrapped(home, nonce + wrapped, self.current), SubjectKey(home, key)

    def unwrap(self, stored: Wrapped) -> SubjectKey:
        """Raises `UnknownKeyEncryptionKey`."""
        nonce, wrapped = stored.wrapped[:_NONCE_BYTES], stored.wrapped[_NONCE_BYTES:]
        cipher = self._ciphers.get(stored.kek_id)
        try:
            if cipher is None:
                raise InvalidTag
            return SubjectKey(stored.home, cipher.decrypt(nonce, wrapped, stored.home.encode()))
        except InvalidTag as error:
            raise UnknownKeyEncryptionKey(
                f"the keys in this database are wrapped under the key-encryption key {stored.kek_id}, "
                f"not {', '.join(self._ciphers)}: set TENDER_KEY_ENCRYPTION_KEY"
            ) from error


def in_folder(folder: Path) -> str:
    """The key in a data folder; one that only its owner can read is made where there is none."""
    file = folder / FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"{FILE}.{os.getpid()}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(base64.b64encode(os.urandom(KEK_BYTES)))
            os.fsync(new.fileno())
        try:
            os.link(made, file)  # whoever is first wins, and nobody reads half a key
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return file.read_text()


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"tender key-encryption key" + key).hexdigest()[:16]
