"""Google's ID tokens, against an issuer of our own with real keys. Rows by their numbers in the security matrix."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.identity.google import KEYS_COOLDOWN_SECONDS, KEYS_TTL_SECONDS, BadIdentity, Google, KeyCache, ProviderAway
from engine.settings import load_settings
from tests.clock import HandClock

CLIENT, ISSUER, JWKS = "client.example", "https://accounts.example", "https://accounts.example/keys"


class Issuer:
    """An OpenID issuer: keys, tokens, and a key page that can be away."""

    def __init__(self, clock: HandClock) -> None:
        self.clock, self.seconds = clock, 1_000.0
        self.keys = {"one": first_key()}
        self.fetches, self.away = 0, False
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        settings = load_settings({}, google_client_id=CLIENT, google_issuer_url=ISSUER, google_jwks_url=JWKS)
        self.google = Google(settings, self.http)
        self.google.keys = KeyCache(JWKS, self.http, lambda: self.seconds)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.away or str(request.url) != JWKS:
            return httpx2.Response(503)
        return httpx2.Response(200, json={"keys": [public(id, key) for id, key in self.keys.items()]})

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock().timestamp())
        good = {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "1",
            "iat": now,
            "exp": now + 3_600,
            "nonce": "n",
            "email": "ada@gmail.com",
            "email_verified": True,
            "name": "Ada",
            "picture": "https://x.example/a",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, key: str = "one", header: dict[str, Any] | None = None, **changes: Any) -> str:
        return jwt.encode(self.claims(**changes), self.keys[key], "RS256", headers={"kid": key, **(header or {})})


@cache
def first_key() -> rsa.RSAPrivateKey:
    """A tenth of a second to make, so made once."""
    return new_key()


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(id: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**described, "kid": id, "alg": "RS256", "use": "sig"}


@pytest.fixture
def issuer(clock: HandClock) -> Issuer:
    return Issuer(clock)


async def test_a_good_token_says_who_and_whether_google_owns_the_address(issuer: Issuer, clock: HandClock) -> None:
    ours: list[tuple[str, dict[str, Any], bool]] = [
        ("ada@gmail.com", {}, True),
        ("ada@firm.example", {"hd": "firm.example"}, True),
        ("ada@yahoo.example", {}, False),
        ("ada@notgmail.com", {}, False),
    ]
    for email, more, owns in ours:
        identity = await issuer.google.verify(issuer.token(email=email, **more), "n", clock())
        assert (identity.subject, identity.email, identity.owns_address) == ("1", email, owns)


Forge = Callable[[Issuer], str]


def confused(issuer: Issuer) -> str:
    """HS256 with the public key for a secret, as careless verifiers accept it."""
    pem = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "kid": "one"}, issuer.claims()]
    message = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.new(pem, message, hashlib.sha256).digest()
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def elsewhere(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), new_key(), "RS256", headers={"kid": "one"})


BAD: dict[str, Forge] = {
    "48 none": lambda i: jwt.encode(i.claims(), "", "none", headers={"kid": "one"}),
    "48 HS256 with the public key": confused,
    "48 another's signature": elsewhere,
    "48 another audience": lambda i: i.token(aud="other"),
    "48 made for another party": lambda i: i.token(azp="other"),
    "48 another issuer": lambda i: i.token(iss="https://evil.example"),
    "48 over": lambda i: i.token(exp=int(i.clock().timestamp()) - 60),
    "48 an hour old": lambda i: i.token(iat=int(i.clock().timestamp()) - 3_000),
    "48 from the future": lambda i: i.token(iat=int(i.clock().timestamp()) + 600),
    "48 no nonce": lambda i: i.token(nonce=None),
    "48 another nonce": lambda i: i.token(nonce="other"),
    "48 address not verified": lambda i: i.token(email_verified=False),
    "48 verified by word only": lambda i: i.token(email_verified="true"),
    "48 no address": lambda i: i.token(email=None),
    "48 no subject": lambda i: i.token(sub=None),
    "51 a key of its own": lambda i: i.token(header={"kid": "two", "jku": "https://evil.example/keys"}),
    "52 too long": lambda i: i.token(x="x" * 10_000),
    "52 no token": lambda i: "a.b.c",
    "52 empty": lambda i: "",
}


@pytest.mark.parametrize("forge", BAD.values(), ids=BAD)
async def test_a_bad_id_token_is_refused(issuer: Issuer, clock: HandClock, forge: Forge) -> None:
    with pytest.raises(BadIdentity):
        await issuer.google.verify(forge(issuer), "n", clock())


async def test_many_who_wait_make_one_fetch(issuer: Issuer, clock: HandClock) -> None:
    token = issuer.token()
    await asyncio.gather(*(issuer.google.verify(token, "n", clock()) for _ in range(50)))
    assert issuer.fetches == 1


async def test_made_up_key_ids_make_no_fetches(issuer: Issuer, clock: HandClock) -> None:
    await issuer.google.verify(issuer.token(), "n", clock())
    issuer.seconds += KEYS_COOLDOWN_SECONDS
    for number in range(20):
        with pytest.raises(BadIdentity):
            await issuer.google.verify(issuer.token(header={"kid": f"made-up-{number}"}), "n", clock())
    assert issuer.fetches == 2


async def test_keys_that_change_are_learned(issuer: Issuer, clock: HandClock) -> None:
    await issuer.google.verify(issuer.token(), "n", clock())
    issuer.keys = {"two": new_key()}
    issuer.seconds += KEYS_COOLDOWN_SECONDS
    await issuer.google.verify(issuer.token("two"), "n", clock())
    assert issuer.fetches == 2


async def test_known_keys_outlive_an_issuer_that_is_away(issuer: Issuer, clock: HandClock) -> None:
    await issuer.google.verify(issuer.token(), "n", clock())
    issuer.away = True
    issuer.seconds += KEYS_TTL_SECONDS + 1
    await issuer.google.verify(issuer.token(), "n", clock())
    assert issuer.fetches == 2


async def test_without_keys_the_provider_is_away(issuer: Issuer, clock: HandClock) -> None:
    issuer.away = True
    for _ in range(3):
        with pytest.raises(ProviderAway):
            await issuer.google.verify(issuer.token(), "n", clock())
    assert issuer.fetches == 1
