"""Only tokens of ours, of the right kind and in time, are good. Rows by their numbers in the security matrix."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.identity import tokens
from engine.identity.keys import Keys, derive
from engine.identity.tokens import Access, BadToken

USER, LOGIN = uuid4(), uuid4()
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
Forge = Callable[[Keys], str]


def claims(**changes: Any) -> dict[str, Any]:
    good = {
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
        "sub": str(USER),
        "sid": str(LOGIN),
        "jti": "j",
        "iat": SECONDS,
        "exp": SECONDS + 900,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(keys: Keys, payload: dict[str, Any], header: dict[str, Any] | None = None, key: bytes | None = None) -> str:
    headers = {"typ": tokens.ACCESS_TYPE, "kid": keys.signing, **(header or {})}
    return jwt.encode(payload, key or keys.access[keys.signing], tokens.ALGORITHM, headers=headers)


def by_hand(keys: Keys, header: Any, payload: Any) -> str:
    """A token with any header at all, signed with our key."""
    return by_hand_raw(keys, json.dumps(header).encode(), json.dumps(payload).encode())


def by_hand_raw(keys: Keys, header: bytes, payload: bytes) -> str:
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload)]
    message = b".".join(parts)
    signature = hmac.new(keys.access[keys.signing], message, hashlib.sha256).digest()
    return b".".join([message, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def header(keys: Keys, **changes: Any) -> dict[str, Any]:
    return {"alg": "HS256", "typ": "at+jwt", "kid": keys.signing, **changes}


def spliced(claims_of: str, rest_of: str) -> str:
    """The claims of one good token under the header and signature of another."""
    header, _, signature = rest_of.split(".")
    return ".".join((header, claims_of.split(".")[1], signature))


def other_spelling(token: str) -> str:
    """The same signature, with a spare bit of its last letter set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


BAD: dict[str, Forge] = {
    "52 alg none": lambda k: by_hand(k, header(k, alg="none"), claims()).rpartition(".")[0] + ".",
    "52 another algorithm": lambda k: jwt.encode(
        claims(), k.access[k.signing] * 2, "HS512", headers={"typ": "at+jwt", "kid": k.signing}
    ),
    "52 RS256": lambda k: jwt.encode(
        claims(),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "RS256",
        headers={"typ": "at+jwt", "kid": k.signing},
    ),
    "52 HS512 by our key": lambda k: by_hand(k, header(k, alg="HS512"), claims()),
    "52 no alg": lambda k: by_hand(k, {"typ": "at+jwt", "kid": k.signing}, claims()),
    "52 no typ": lambda k: by_hand(k, {"alg": "HS256", "kid": k.signing}, claims()),
    "52 no kid": lambda k: by_hand(k, {"alg": "HS256", "typ": "at+jwt"}, claims()),
    "52 kid a path": lambda k: signed(k, claims(), {"kid": "../../etc/passwd"}),
    "52 kid a path of nothing": lambda k: signed(k, claims(), {"kid": "../../dev/null"}, key=b"\0" * 32),
    "52 kid SQL": lambda k: signed(k, claims(), {"kid": "x' UNION SELECT 'k"}, key=b"k" * 32),
    "52 kid in other letters": lambda k: signed(k, claims(), {"kid": k.signing + " "}),
    "52 kid a list": lambda k: by_hand(k, header(k, kid=["x"]), claims()),
    "52 another's key": lambda k: signed(k, claims(), key=b"x" * 32),
    "52 jwk in the header": lambda k: signed(k, claims(), {"jwk": {"kty": "oct", "k": "eA"}}),
    "52 jku in the header": lambda k: signed(k, claims(), {"jku": "https://evil.example/keys"}),
    "52 x5u in the header": lambda k: signed(k, claims(), {"x5u": "https://evil.example/key.pem"}),
    "52 payload not encoded": lambda k: by_hand(k, header(k, b64=False, crit=["b64"]), claims()),
    "52 the key that hashes codes": lambda k: signed(k, claims(), key=k.code[0]),
    "52 the key of refresh tokens": lambda k: signed(k, claims(), key=k.refresh[0]),
    "52 the key's id as key": lambda k: signed(k, claims(), key=k.signing.encode() * 4),
    "52 unknown crit": lambda k: by_hand(k, header(k, crit=["exp"]), claims()),
    "52 typ JWT": lambda k: signed(k, claims(), {"typ": "JWT"}),
    "52 typ of a refresh token": lambda k: signed(k, claims(), {"typ": "rt+jwt"}),
    "52 typ of an ID token": lambda k: signed(k, claims(), {"typ": "id+jwt"}),
    "52 typ of a ticket": lambda k: signed(k, claims(), {"typ": "ticket"}),
    "52 ours among other audiences": lambda k: signed(k, claims(aud=[tokens.AUDIENCE, "other"])),
    "52 no audience": lambda k: signed(k, claims(aud=None)),
    "52 no issuer": lambda k: signed(k, claims(iss=None)),
    "52 another audience": lambda k: signed(k, claims(aud="other")),
    "52 another issuer": lambda k: signed(k, claims(iss="other")),
    "52 over": lambda k: signed(k, claims(exp=SECONDS - tokens.LEEWAY_SECONDS)),
    "52 exp as text": lambda k: by_hand(k, header(k), claims(exp=str(SECONDS + 900))),
    "52 exp as a fraction": lambda k: by_hand(k, header(k), claims(exp=SECONDS + 900.5)),
    "52 exp beyond all": lambda k: by_hand(k, header(k), claims(exp=2**63)),
    "52 exp NaN": lambda k: by_hand(k, header(k), claims(exp=float("nan"))),
    "52 exp true": lambda k: by_hand(k, header(k), claims(exp=True)),
    "52 exp before the epoch": lambda k: by_hand(k, header(k), claims(exp=-1)),
    "52 iat as text": lambda k: by_hand(k, header(k), claims(iat=str(SECONDS))),
    "52 no sid": lambda k: signed(k, claims(sid=None)),
    "52 no jti": lambda k: signed(k, claims(jti=None)),
    "52 no exp": lambda k: signed(k, claims(exp=None)),
    "52 no sub": lambda k: signed(k, claims(sub=None)),
    "52 sub no id": lambda k: signed(k, claims(sub="admin")),
    "52 from the future": lambda k: signed(k, claims(iat=SECONDS + 60)),
    "52 not yet": lambda k: signed(k, claims(nbf=SECONDS + 60)),
    "52 100 KB": lambda k: signed(k, claims(x="x" * 100_000)),
    "52 signature spelled otherwise": lambda k: other_spelling(signed(k, claims())),
    "52 no signature": lambda k: signed(k, claims()).rpartition(".")[0] + ".",
    "52 two parts": lambda k: signed(k, claims()).rpartition(".")[0],
    "52 five parts": lambda k: signed(k, claims()) + ".a.b",
    "52 more behind": lambda k: signed(k, claims()) + "=",
    "52 blanks in it": lambda k: signed(k, claims()).replace(".", " .", 1),
    "52 claims of another token": lambda k: spliced(signed(k, claims(sub=str(uuid4()))), signed(k, claims())),
    "52 header a list": lambda k: by_hand(k, [1], claims()),
    "52 deep": lambda k: by_hand_raw(k, b"[" * 1_000, b"{}"),
    "52 signature cut": lambda k: signed(k, claims())[:-2],
    "52 a list for claims": lambda k: by_hand(k, header(k), [1]),
    "52 nothing": lambda k: "",
    "52 no JWT": lambda k: "a.b.c",
    "52 not ASCII": lambda k: "é.b.c",
    "52 a refresh token": lambda k: tokens.new_refresh(k, LOGIN),
    "52 a ticket": lambda k: secrets.token_urlsafe(24),
}


def test_52_the_same_by_hand_is_good(keys: Keys) -> None:
    assert tokens.read_access(keys, by_hand(keys, header(keys), claims()), NOW).user == USER


def test_a_good_token_says_who(keys: Keys) -> None:
    token = tokens.sign_access(keys, USER, LOGIN, NOW, 900)
    assert tokens.read_access(keys, token, NOW) == Access(user=USER, login=LOGIN, expires_at=SECONDS + 900)
    assert tokens.read_access(keys, signed(keys, claims()), NOW).user == USER


@pytest.mark.parametrize("forge", BAD.values(), ids=BAD)
def test_a_bad_access_token_is_refused(keys: Keys, forge: Forge) -> None:
    with pytest.raises(BadToken):
        tokens.read_access(keys, forge(keys), NOW)


def test_53_a_new_secret_logs_nobody_out() -> None:
    old = derive("o" * 32)
    access, refresh = tokens.sign_access(old, USER, LOGIN, NOW, 900), tokens.new_refresh(old, LOGIN)
    both, new = derive("n" * 32, "o" * 32), derive("n" * 32)
    assert tokens.read_access(both, access, NOW).user == USER
    assert tokens.read_refresh(both, refresh) == LOGIN
    for read in (lambda: tokens.read_access(new, access, NOW), lambda: tokens.read_refresh(new, refresh)):
        with pytest.raises(BadToken):
            read()


def test_a_refresh_token_names_its_login_and_nothing_else_passes(keys: Keys) -> None:
    token = tokens.new_refresh(keys, LOGIN)
    assert tokens.read_refresh(keys, token) == LOGIN
    for bad in (token[:-1], token + "A", "A" + token[1:], token[:-1] + "=", "", "é", token + " ", "A" * 86):
        with pytest.raises(BadToken):
            tokens.read_refresh(keys, bad)


def test_a_successor_is_readable_only_with_the_token_it_followed(keys: Keys) -> None:
    old, new, other = (tokens.new_refresh(keys, LOGIN) for _ in range(3))
    sealed = tokens.seal(old, new)
    assert tokens.unseal(old, sealed) == new
    assert tokens.unseal(other, sealed) != new
    assert tokens.refresh_hash(new) not in sealed


def test_refresh_tokens_are_never_the_same(keys: Keys) -> None:
    made = {tokens.new_refresh(keys, LOGIN) for _ in range(1_000)}
    assert len(made) == 1_000
