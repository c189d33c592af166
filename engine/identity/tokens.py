"""Access tokens (JWT, short-lived) and refresh tokens (opaque, one use, hashed at rest). Pure functions.

A refresh token is 16 bytes of the login's id, 32 random bytes and a 16-byte MAC, in base64url. The MAC tells a
token that was really given out (and so, if it is not the current one, was used before) from one made up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

import jwt
import msgspec
from msgspec import Meta

from engine.identity.keys import Keys, keyed_hash

ALGORITHM = "HS256"
ACCESS_TYPE = "at+jwt"
"""RFC 9068. Tickets and refresh tokens are no JWTs, so that none can be taken for another."""
ISSUER = "interview-engine"
AUDIENCE = "interview-engine/api"
ACCESS_CHARS_MAX = 2_048
SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""RFC 7515, compact. Exactly: `=` after it would be a second way to write the same token."""
HEADER = frozenset({"alg", "typ", "kid"})
LEEWAY_SECONDS = 5
"""For the clocks of two nodes."""

LOGIN_BYTES, RANDOM_BYTES, MAC_BYTES = 16, 32, 16
REFRESH_BYTES = LOGIN_BYTES + RANDOM_BYTES + MAC_BYTES


class BadToken(ValueError):
    """The token is not ours, not of this kind, or over. Which of these is not told."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says: who, by which login, and until when (seconds since the epoch)."""

    user: UUID
    login: UUID
    expires_at: int


Seconds = Annotated[int, Meta(ge=0, le=2**40)]


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    iss: str
    aud: str
    sub: UUID
    sid: UUID
    jti: str
    iat: Seconds
    exp: Seconds


def sign_access(keys: Keys, user: UUID, login: UUID, now: datetime, ttl_seconds: int) -> str:
    """An access token for a user's login."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user),
        "sid": str(login),
        "jti": uuid4().hex,
        "iat": issued_at,
        "exp": issued_at + ttl_seconds,
    }
    headers = {"typ": ACCESS_TYPE, "kid": keys.signing}
    return jwt.encode(claims, keys.access[keys.signing], ALGORITHM, headers=headers)


def read_access(keys: Keys, token: str, now: datetime) -> Access:
    """What a good access token says. Raises BadToken."""
    key = keys.access.get(_key_id(token))
    if key is None:
        raise BadToken("no such key")
    try:
        # The times are checked below, by the clock that is passed in.
        options: jwt.types.Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        decoded = jwt.decode(token, key, [ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options)
        claims = msgspec.convert(decoded, _Claims)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise BadToken("not a good token") from error
    seconds = now.timestamp()
    if claims.exp + LEEWAY_SECONDS <= seconds or claims.iat - LEEWAY_SECONDS > seconds or "nbf" in decoded:
        raise BadToken("over, or from the future")
    return Access(user=claims.sub, login=claims.sid, expires_at=claims.exp)


def remembered_seconds(ttl_seconds: int) -> int:
    """How long a login's end must be remembered: until no node's clock takes an access token of it any more.

    Twice the leeway, for the token may have been signed by a clock that is ahead and be read by one that is not.
    """
    return ttl_seconds + 2 * LEEWAY_SECONDS


def _key_id(token: str) -> str:
    """The key a token names, once its header is known to be exactly one of ours."""
    if len(token) > ACCESS_CHARS_MAX or not SHAPE.fullmatch(token):
        raise BadToken("no token")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise BadToken("no token") from error
    kid = header.get("kid")
    exact = set(header) == HEADER and header["typ"] == ACCESS_TYPE and header["alg"] == ALGORITHM
    if not exact or not isinstance(kid, str):
        raise BadToken("not an access token")
    return kid


def new_refresh(keys: Keys, login: UUID) -> str:
    """A fresh refresh token of a login."""
    body = login.bytes + secrets.token_bytes(RANDOM_BYTES)
    return _text(body + _mac(keys.refresh[0], body))


def read_refresh(keys: Keys, token: str) -> UUID:
    """The login a refresh token was given out for, whether or not it is still good. Raises BadToken."""
    raw = _raw(token)
    body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not any(hmac.compare_digest(mac, _mac(key, body)) for key in keys.refresh):
        raise BadToken("never given out")
    return UUID(bytes=body[:LOGIN_BYTES])


def refresh_hash(token: str) -> bytes:
    """What the record keeps of a refresh token. Its 256 random bits need no slow hash."""
    return hashlib.sha256(_raw(token)).digest()


def seal(old: str, new: str) -> bytes:
    """`new` as only the bearer of `old` can read it: for the client whose answer was lost on the way.

    A one-time pad drawn from the old token's random bits; an old token seals one successor, and is then spent.
    """
    return _xor(_raw(new), _pad(old))


def unseal(old: str, sealed: bytes) -> str:
    """The inverse of `seal`."""
    return _text(_xor(sealed, _pad(old)))


def _pad(old: str) -> bytes:
    return hmac.new(_raw(old), b"successor", hashlib.sha512).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _mac(key: bytes, body: bytes) -> bytes:
    return keyed_hash(key, body)[:MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(token: str) -> bytes:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadToken("not a refresh token") from error
    if len(raw) != REFRESH_BYTES or _text(raw) != token:
        raise BadToken("not a refresh token")
    return raw
