"""Row 51: the issuer's keys come from one address, over real HTTP, whatever answers there; nothing else is called."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from engine.identity import google
from engine.identity.google import KEYS_BYTES_MAX, KEYS_COOLDOWN_SECONDS, BadIdentity, Google, KeyCache, ProviderAway
from engine.settings import load_settings
from tests.clock import HandClock
from tests.identity.test_google import CLIENT, ISSUER, Issuer, other_key, public
from tests.loopback import http_client
from tests.until import until

PIECES_MAX = 100_000
"""A gigabyte and more: far beyond what anybody should take from us."""


class KeyServer:
    """An issuer's key page on a port of this machine. `page` is what it answers: head and body, as bytes."""

    def __init__(self) -> None:
        self.page, self.endless = b"", False
        self.asked: list[str] = []
        self.pieces = 0
        self.open = self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(request.split()[1].decode())
            writer.write(self.page)
            while self.endless and self.pieces < PIECES_MAX:
                self.pieces += 1
                writer.write(b" " * 16_384)
                await writer.drain()
            await writer.drain()
            if not self.page:
                await reader.read()  # silent until the client leaves
        except OSError:
            pass  # it left before we were done
        finally:
            self.open -= 1
            writer.close()

    def says(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        """Answer with this from now on."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
        self.page = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def keeps(self, issuer: Issuer) -> None:
        """Answer with the keys of this issuer."""
        self.says(key_page(issuer))


def key_page(issuer: Issuer) -> bytes:
    return json.dumps({"keys": [public(id, key) for id, key in issuer.keys.items()]}).encode()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with http_client() as http:
        yield http


@pytest.fixture
def issuer(clock: HandClock) -> Issuer:
    return Issuer(clock)


@pytest.fixture
def verifier(server: KeyServer, http: httpx2.AsyncClient, issuer: Issuer) -> Google:
    """Fetches keys from the server; its clock is the issuer's."""
    url = f"http://127.0.0.1:{server.port}/keys"
    verifier = Google(load_settings({}, google_client_id=CLIENT, google_issuer_url=ISSUER, google_jwks_url=url), http)
    verifier.keys = KeyCache(url, http, lambda: issuer.seconds)
    return verifier


async def test_51_keys_are_fetched_once_and_again_when_they_change(
    server: KeyServer, verifier: Google, issuer: Issuer, clock: HandClock
) -> None:
    server.keeps(issuer)
    old = issuer.token()
    many = await asyncio.gather(*(verifier.verify(old, "n", clock()) for _ in range(20)))
    assert {identity.subject for identity in many} == {"1"}
    assert server.asked == ["/keys"]
    issuer.keys = {"two": other_key()}
    server.keeps(issuer)
    issuer.seconds += KEYS_COOLDOWN_SECONDS
    assert (await verifier.verify(issuer.token("two"), "n", clock())).subject == "1"
    with pytest.raises(BadIdentity):
        await verifier.verify(old, "n", clock())  # what signed it is withdrawn
    assert server.asked == ["/keys", "/keys"]


Answer = Callable[[KeyServer, Issuer], None]


def endless(server: KeyServer, issuer: Issuer) -> None:
    server.page, server.endless = b"HTTP/1.1 200 OK\r\n\r\n", True


BAD: dict[str, Answer] = {
    "51 a redirect": lambda s, i: s.says(b"", "302 Found", f"location: http://127.0.0.1:{s.port}/elsewhere"),
    "51 a redirect with keys": lambda s, i: s.says(key_page(i), "307 Temporary Redirect", "location: /elsewhere"),
    "51 more than an issuer has": lambda s, i: s.says(key_page(i) + b" " * KEYS_BYTES_MAX),
    "51 without an end": endless,
    "51 packed": lambda s, i: s.says(gzip.compress(key_page(i)), "200 OK", "content-encoding: gzip"),
    "51 an error": lambda s, i: s.says(key_page(i), "500 Internal Server Error"),
    "51 no JSON": lambda s, i: s.says(b"<html>"),
    "51 no text": lambda s, i: s.says(b"\xff\xfe"),
    "51 a list": lambda s, i: s.says(b"[]"),
    "51 no keys": lambda s, i: s.says(b'{"keys": []}'),
    "51 keys that are none": lambda s, i: s.says(b'{"keys": [1, {"kty": "oct", "k": "eA", "kid": "one"}]}'),
    "51 no HTTP": lambda s, i: setattr(s, "page", b"SSH-2.0-OpenSSH\r\n\r\n"),
    "51 deep": lambda s, i: s.says(b'{"keys": [{"x": ' + b"[" * 60_000),
    "51 silence": lambda s, i: setattr(s, "page", b""),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
async def test_a_bad_key_page_gives_no_keys(
    server: KeyServer,
    verifier: Google,
    issuer: Issuer,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
) -> None:
    monkeypatch.setattr(google, "FETCH_SECONDS", 0.3)
    answer(server, issuer)
    with pytest.raises(ProviderAway):
        await verifier.verify(issuer.token(), "n", clock())
    assert server.asked == ["/keys"]
    assert server.pieces < PIECES_MAX
    server.endless = False
    server.keeps(issuer)
    issuer.seconds += KEYS_COOLDOWN_SECONDS
    assert (await verifier.verify(issuer.token(), "n", clock())).subject == "1"  # and it is not remembered
    await verifier.close()
    await until(lambda: server.open == 0)
