"""One secret, kept outside the database, and the keys derived from it: one a purpose, so that none serves two."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from engine.settings import SECRET_CHARS_MIN, Settings

SECRET_FILE = "secret_key"
SECRET_BYTES = 48
KEY_ID_CHARS = 8

Purpose = Literal["access", "refresh", "code", "subject"]


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys in use. What was signed by an older secret is still accepted; new things use the newest."""

    signing: str
    """Id of the key that signs access tokens."""
    access: Mapping[str, bytes]
    """By key id."""
    refresh: tuple[bytes, ...]
    """Newest first."""
    code: tuple[bytes, ...]
    """Newest first."""
    subject: bytes
    """Keys the hashes by which addresses stand in Redis. The newest only: what is kept there is soon over."""

    def __repr__(self) -> str:
        return f"<Keys {self.signing}>"


def keys_of(settings: Settings) -> Keys:
    """The keys that these settings give."""
    return derive(secret_of(settings), *settings.older_secret_keys)


def derive(secret: str, *older: str) -> Keys:
    """The keys of a secret, and of others that are good for checking only. Raises ValueError if one is short."""
    for one in (secret, *older):
        if len(one) < SECRET_CHARS_MIN:
            raise ValueError(f"a secret has at least {SECRET_CHARS_MIN} characters")
    access = _keys("access", secret, *older)
    return Keys(
        signing=_key_id(access[0]),
        access={_key_id(key): key for key in access},
        refresh=_keys("refresh", secret, *older),
        code=_keys("code", secret, *older),
        subject=_key(secret, "subject"),
    )


def secret_of(settings: Settings) -> str:
    """The secret that is set; in development, where none is, one that is made once and kept in the data folder."""
    if settings.secret_key:
        return settings.secret_key
    if settings.production:  # settings refuse this before; a default secret must never pass
        raise ValueError("production needs a secret key")
    return _kept(settings.data_dir / SECRET_FILE)


def keyed_hash(key: bytes, *parts: str | bytes) -> bytes:
    """HMAC-SHA-256 over parts, each with its length before it, so that no two lists of parts look alike."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        mac.update(len(data).to_bytes(4, "big") + data)
    return mac.digest()


def _kept(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        # Written aside and linked in: of those that start at once one is first, and nobody reads half a secret.
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES))
        with suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text().strip()


def _keys(purpose: Purpose, *secrets: str) -> tuple[bytes, ...]:
    return tuple(_key(one, purpose) for one in secrets)


def _key(secret: str, purpose: Purpose) -> bytes:
    return hmac.new(secret.encode(), f"interview-engine/1/{purpose}".encode(), hashlib.sha256).digest()


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"key id" + key).hexdigest()[:KEY_ID_CHARS]
