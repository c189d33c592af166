"""Google's ID tokens: verified here, with Google's keys, which are fetched once for all who wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import httpx2
import jwt
import msgspec
from msgspec import Meta

from engine.settings import Settings
from engine.telemetry import log

ALGORITHM = "RS256"
TOKEN_CHARS_MAX = 8_192
KEYS_TTL_SECONDS = 3_600.0
KEYS_COOLDOWN_SECONDS = 30.0
"""At most one fetch in this time, so that made-up key ids are no way to make us call Google."""
FETCH_SECONDS = 5.0
KEYS_BYTES_MAX = 65_536
LEEWAY_SECONDS = 30
AGE_SECONDS_MAX = 600
"""An ID token is shown right after it was made; an older one was lying around."""


class BadIdentity(ValueError):
    """The ID token proves nothing here. Why is not told to who showed it."""


class ProviderAway(Exception):
    """The provider's keys cannot be had just now."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a provider says this is. `owns_address`: the provider is the authority on that address."""

    subject: str
    email: str
    owns_address: bool
    name: str
    picture: str | None


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    aud: str
    """One, not a list: a token for several parties is none of ours."""
    sub: Annotated[str, Meta(pattern="^[!-~]{1,255}$")]
    """OpenID Connect Core, section 2."""
    email: str
    iat: int
    exp: int
    nonce: str | None = None
    email_verified: bool = False
    hd: str = ""
    name: str = ""
    picture: str | None = None
    azp: str | None = None


class _KeyPage(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class KeyCache:
    """An issuer's public keys by id. One fetch serves all who wait; known keys outlive an issuer that is away."""

    def __init__(self, url: str, http: httpx2.AsyncClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url, self._http, self._monotonic = url, http, monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def key(self, id: str) -> jwt.PyJWK | None:
        """The key with this id; None if the issuer has none. Raises ProviderAway."""
        if id in self._keys and not self._stale():
            return self._keys[id]
        async with self._one_at_a_time:
            wanted = self._stale() or id not in self._keys
            if wanted and self._monotonic() - self._tried_at >= KEYS_COOLDOWN_SECONDS:
                await self._fetch()
        if not self._keys:
            raise ProviderAway
        return self._keys.get(id)

    def _stale(self) -> bool:
        return self._monotonic() - self._fetched_at > KEYS_TTL_SECONDS

    async def _fetch(self) -> None:
        self._tried_at = self._monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                fetched = _keys_in(await self._download())
        except (httpx2.HTTPError, msgspec.MsgspecError, ValueError, RecursionError, TimeoutError) as error:
            log.warning("google_keys_not_fetched", exc_info=error)
            if not self._keys:
                raise ProviderAway from error
            return  # those we know are good until we hear otherwise
        self._keys, self._fetched_at = fetched, self._monotonic()

    async def _download(self) -> bytes:
        """The key page: from its own address, whatever that says of others, and no more of it than there can be."""
        page = bytearray()
        plain = {"accept-encoding": "identity"}
        async with self._http.stream("GET", self._url, headers=plain, follow_redirects=False) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_raw():
                page += chunk
                if len(page) > KEYS_BYTES_MAX:
                    raise ValueError("more keys than an issuer has")
        return bytes(page)


def _keys_in(page: bytes) -> dict[str, jwt.PyJWK]:
    """The keys that can have signed ID tokens, by id. Raises ValueError if there is none, and msgspec's errors."""
    keys = {}
    for described in msgspec.json.decode(page, type=_KeyPage).keys:
        if kid := described.get("kid"):
            with suppress(jwt.PyJWTError, ValueError, TypeError):  # of another kind, or no key at all
                keys[str(kid)] = jwt.PyJWK(described, ALGORITHM)
    if not keys:
        raise ValueError("no keys")
    return keys


class Google:
    """Verifies ID tokens made for one client id."""

    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self.client_id = settings.google_client_id
        self._issuers = [settings.google_issuer_url, settings.google_issuer_url.removeprefix("https://")]
        self.keys, self._http = KeyCache(settings.google_jwks_url, http), http

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def verify(self, token: str, nonce: str, now: datetime) -> Identity:
        """Who this ID token is about. `nonce` must be the one it was asked for with.

        Raises BadIdentity, and ProviderAway when the keys to check it with cannot be had.
        """
        claims = await self._claims(token)
        seconds = now.timestamp()
        if claims.exp + LEEWAY_SECONDS <= seconds or claims.iat - LEEWAY_SECONDS > seconds:
            raise BadIdentity("over, or from the future")
        if seconds - claims.iat > AGE_SECONDS_MAX or claims.nonce != nonce:
            raise BadIdentity("not asked for here, or long ago")
        if not claims.email_verified or claims.azp not in (None, self.client_id):
            raise BadIdentity("the address is not verified, or the token was made for another")
        at_gmail = claims.email.lower().endswith("@gmail.com")
        return Identity(
            subject=claims.sub,
            email=claims.email,
            owns_address=at_gmail or bool(claims.hd),
            name=_shown(claims.name),
            picture=_shown(claims.picture) if claims.picture else None,
        )

    async def _claims(self, token: str) -> _Claims:
        if len(token) > TOKEN_CHARS_MAX:
            raise BadIdentity("too long")
        try:
            header = jwt.get_unverified_header(token)
            # The key comes from the issuer's own list, whatever the header says of other places to look.
            key = await self.keys.key(str(header.get("kid")))
            if key is None:
                raise BadIdentity("no such key")
            decoded = jwt.decode(
                token,
                key,
                [ALGORITHM],
                audience=self.client_id,
                issuer=self._issuers,
                options={
                    "require": ["exp", "iat", "sub", "aud", "iss"],
                    "verify_exp": False,  # checked by the clock that is passed in
                    "verify_iat": False,
                },
            )
            return msgspec.convert(decoded, _Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, RecursionError) as error:
            raise BadIdentity("not a good ID token") from error


def _shown(text: str) -> str:
    """What can be shown, and stored: no control characters, no halves of surrogate pairs."""
    return "".join(character for character in text if character.isprintable())
