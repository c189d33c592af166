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
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.identity.google import KEYS_COOLDOWN_SECONDS, KEYS_TTL_SECONDS, BadIdentity, Google, KeyCache, ProviderAway
from engine.settings import load_settings
from tests.clock import HandClock

CLIENT, ISSUER, JWKS = "client.example", "https://accounts.example", "https://accounts.example/keys"


class Issuer:
    """An OpenID issuer: keys, tokens, and a key page that can be away."""

    def __init__(self, clock: HandClock) -> None:
        self.clock, self.seconds = clock, 1_000.0
        self.keys: dict[str, rsa.RSAPrivateKey] = {"one": first_key()}
        self.asked: list[str] = []
        self.away = False
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        settings = load_settings({}, google_client_id=CLIENT, google_issuer_url=ISSUER, google_jwks_url=JWKS)
        self.google = Google(settings, self.http)
        self.google.keys = KeyCache(JWKS, self.http, lambda: self.seconds)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(str(request.url))
        await asyncio.sleep(0)
        if self.away or str(request.url) != JWKS:
            return httpx2.Response(503)
        page = json.dumps({"keys": [public(id, key) for id, key in self.keys.items()]})
        return httpx2.Response(200, stream=httpx2.ByteStream(page.encode()))

    @property
    def fetches(self) -> int:
        return len(self.asked)

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


@cache
def other_key() -> rsa.RSAPrivateKey:
    """Another, of whoever would like to be the issuer."""
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
    message = b".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(pem, message, hashlib.sha256).digest()
    return (message + b"." + base64url(signature)).decode()


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def elsewhere(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), other_key(), "RS256", headers={"kid": "one"})


def by_hand(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token with any header at all, signed with the issuer's key."""
    message = b".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = issuer.keys["one"].sign(message, padding.PKCS1v15(), hashes.SHA256())
    return (message + b"." + base64url(signature)).decode()


def with_key_of_its_own(issuer: Issuer, **more: Any) -> str:
    """Signed with a key that the token itself brings along."""
    key = other_key()
    headers = {"kid": "one", "jwk": public("one", key), **more}
    return jwt.encode(issuer.claims(), key, "RS256", headers=headers)


BAD: dict[str, Forge] = {
    "48 alg none": lambda i: jwt.encode(i.claims(), "", "none", headers={"kid": "one"}),
    "48 HS256 with the public key": confused,
    "48 alg NONE": lambda i: by_hand(i, {"alg": "NONE", "kid": "one"}, i.claims()).rpartition(".")[0] + ".",
    "48 no alg": lambda i: by_hand(i, {"kid": "one"}, i.claims()),
    "48 RS512": lambda i: jwt.encode(i.claims(), i.keys["one"], "RS512", headers={"kid": "one"}),
    "48 PS256": lambda i: jwt.encode(i.claims(), i.keys["one"], "PS256", headers={"kid": "one"}),
    "48 an extension nobody knows": lambda i: by_hand(
        i, {"alg": "RS256", "kid": "one", "crit": ["x"], "x": 1}, i.claims()
    ),
    "48 no kid": lambda i: by_hand(i, {"alg": "RS256"}, i.claims()),
    "48 kid a list": lambda i: by_hand(i, {"alg": "RS256", "kid": ["one"]}, i.claims()),
    "48 another's signature": elsewhere,
    "48 another audience": lambda i: i.token(aud="other"),
    "48 ours among other audiences": lambda i: i.token(aud=[CLIENT, "other"]),
    "48 no audience": lambda i: i.token(aud=None),
    "48 no issuer": lambda i: i.token(iss=None),
    "48 an issuer that begins like ours": lambda i: i.token(iss=ISSUER + ".evil.example"),
    "48 no end": lambda i: i.token(exp=None),
    "48 an end as text": lambda i: i.token(exp=str(int(i.clock().timestamp()) + 3_600)),
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
    "48 no word on the address": lambda i: i.token(email_verified=None),
    "48 no subject": lambda i: i.token(sub=None),
    "48 an empty subject": lambda i: i.token(sub=""),
    "48 a long subject": lambda i: i.token(sub="1" * 256),
    "48 a subject with NUL": lambda i: i.token(sub="1\x00"),
    "51 a key that nobody has": lambda i: i.token(header={"kid": "two", "jku": "https://evil.example/keys"}),
    "51 jwk": with_key_of_its_own,
    "51 jku": lambda i: with_key_of_its_own(i, jku="https://evil.example/keys"),
    "51 x5u": lambda i: with_key_of_its_own(i, x5u="https://evil.example/keys"),
    "51 kid an address": lambda i: with_key_of_its_own(i, kid="https://evil.example/keys"),
    "52 too long": lambda i: i.token(x="x" * 10_000),
    "52 no token": lambda i: "a.b.c",
    "52 empty": lambda i: "",
}


@pytest.mark.parametrize("forge", BAD.values(), ids=BAD)
async def test_a_bad_id_token_is_refused(issuer: Issuer, clock: HandClock, forge: Forge) -> None:
    with pytest.raises(BadIdentity):
        await issuer.google.verify(forge(issuer), "n", clock())
    assert set(issuer.asked) <= {JWKS}  # nobody is called because a token says so


async def test_the_same_tokens_are_good_without_their_fault(issuer: Issuer, clock: HandClock) -> None:
    header = {"alg": "RS256", "kid": "one"}
    by_google = {
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/keys",
        "jwk": public("x", other_key()),
    }
    for good in (issuer.token(), by_hand(issuer, header, issuer.claims()), issuer.token(header=by_google)):
        assert (await issuer.google.verify(good, "n", clock())).subject == "1"


async def test_51_many_who_wait_make_one_fetch(issuer: Issuer, clock: HandClock) -> None:
    token = issuer.token()
    await asyncio.gather(*(issuer.google.verify(token, "n", clock()) for _ in range(50)))
    assert issuer.fetches == 1


async def test_51_made_up_key_ids_make_no_fetches(issuer: Issuer, clock: HandClock) -> None:
    await issuer.google.verify(issuer.token(), "n", clock())
    issuer.seconds += KEYS_COOLDOWN_SECONDS
    for number in range(20):
        with pytest.raises(BadIdentity):
            await issuer.google.verify(issuer.token(header={"kid": f"made-up-{number}"}), "n", clock())
    assert issuer.fetches == 2


async def test_51_keys_that_change_are_learned(issuer: Issuer, clock: HandClock) -> None:
    await issuer.google.verify(issuer.token(), "n", clock())
    issuer.keys = {"two": other_key()}
    issuer.seconds += KEYS_COOLDOWN_SECONDS
    await issuer.google.verify(issuer.token("two"), "n", clock())
    assert issuer.fetches == 2


async def test_51_known_keys_outlive_an_issuer_that_is_away(issuer: Issuer, clock: HandClock) -> None:
    await issuer.google.verify(issuer.token(), "n", clock())
    issuer.away = True
    issuer.seconds += KEYS_TTL_SECONDS + 1
    await issuer.google.verify(issuer.token(), "n", clock())
    assert issuer.fetches == 2


async def test_51_without_keys_the_provider_is_away(issuer: Issuer, clock: HandClock) -> None:
    issuer.away = True
    for _ in range(3):
        with pytest.raises(ProviderAway):
            await issuer.google.verify(issuer.token(), "n", clock())
    assert issuer.fetches == 1
