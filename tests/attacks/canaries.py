"""Rows 71 and 72: words that would be known again, planted wherever anybody can write, on a whole running stack."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from itertools import product
from typing import Any

import asyncpg
import httpx2

from engine.core.draft import checksum
from protocol.words import FIELDS
from tests.loopback import http_client
from tests.smtp_sink import Sink
from tests.stack import Stack
from tests.until import until
from tests.web.raw_socket import BINARY, TEXT, RawSocket, frame

WORD = "canary"
"""Is in all that is planted, and in nothing that the engine itself would say."""
ADDRESS = f"{WORD}.address@example.com"
FORGED = f'{WORD}\n{{"level": "critical", "event": "{WORD} forged"}}\r\n\x1b[31m{WORD}'
QUESTION = "lru-cache-ttl"
BREAKS = {
    "ALTER TABLE {} ADD CONSTRAINT broken CHECK (false) NOT VALID": "ALTER TABLE {} DROP CONSTRAINT broken",
    "ALTER TABLE {} RENAME COLUMN id TO broken": "ALTER TABLE {} RENAME COLUMN broken TO id",
}
"""Done for a moment, and undone. To who writes, Postgres quotes the row; to who reads, the name that it misses."""
BROKEN = ("users", "email_otps", "interview_sessions", "questions")


class Planter:
    """A person whose every word is a canary."""

    def __init__(self, stack: Stack, sink: Sink) -> None:
        self._stack, self._sink = stack, sink
        self._node = stack.nodes[0]
        self._headers = {"user-agent": f"{WORD}-agent", "referer": f"https://{WORD}.example/", "x-request-id": WORD}
        self._http = http_client(base_url=self._node.url, timeout=20)
        self._sockets: list[RawSocket] = []
        self.planted: list[str] = [WORD]
        """Every secret that came up, besides the word itself."""
        self.statuses: list[int] = []

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """One request; a body that is bytes goes as it is."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {**self._headers, "content-type": "application/json", **headers}
        answer = await self._http.request(method, path, content=content, headers=sent)
        self.statuses.append(answer.status_code)
        return answer

    async def all(self) -> None:
        """Plant everywhere."""
        try:
            await self._malformed()
            await self._sign_in(ADDRESS)
            await self._rest()
            interview = await self._play()
            await until(lambda: self._judged(interview), 30)
            await self._break()
            await self._refresh_twice()
            await self._sign_in(f"leaving.{ADDRESS}")
            assert (await self.call("DELETE", "/v1/me", {"email": f"leaving.{ADDRESS}"})).status_code == 204
        finally:
            await self._http.aclose()
            for socket in self._sockets:
                socket.close()

    async def _malformed(self) -> None:
        bodies = [f'{{"email": "{ADDRESS}'.encode(), f'["{WORD}"]'.encode(), f"{WORD}\xff".encode("latin-1")]
        bodies += [
            b"[" * 999 + WORD.encode(),
            json.dumps({"email": FORGED, "code": FORGED, "refresh_token": FORGED}).encode(),
        ]
        for body in bodies:
            for path in ("otp", "otp/verify", "refresh", "logout"):
                await self.call("POST", f"/v1/auth/{path}", body)
        await self.call("POST", "/v1/auth/otp", {"email": ADDRESS}, **{"content-type": f"text/{WORD}"})
        await self.call("GET", f"/{WORD}%0A{WORD}?token={WORD}&code={WORD}")
        await self.call(WORD.upper(), f"/v1/{WORD}")
        for header in ("authorization", "cookie", "origin", "x-forwarded-for", "x-forwarded-proto", "sec-fetch-site"):
            await self.call("GET", "/v1/me", **{header: f"Bearer {WORD}"})
            await self.call("POST", "/v1/auth/refresh", {}, **{header: f"refresh={WORD}; __Host-refresh={WORD}"})
        line = await self._connect()
        line.send_bytes(f"GET /{WORD} HTTP/7.{WORD}\r\n{WORD}: {WORD}\r\n\r\n{WORD}".encode())
        await line.reader.read()

    async def _sign_in(self, address: str) -> None:
        self._sink.answers = [f"550 no mailbox {address} {WORD}"]
        await self.call("POST", "/v1/auth/otp", {"email": f"refused.{address}"})
        await until(lambda: not self._sink.answers)
        asked = await self.call("POST", "/v1/auth/otp", {"email": address})
        self._headers["cookie"] = asked.headers["set-cookie"].partition(";")[0]
        code = str(await until(lambda: self._sink.code_to(address)))
        body = {"challenge_id": asked.json()["challenge_id"], "code": code, "refresh_in": "body", WORD: WORD}
        await self.call("GET", "/v1/auth/otp/verify?" + "&".join(f"{name}={value}" for name, value in body.items()))
        await self.call("POST", "/v1/auth/otp/verify", {**body, "code": f"{int(code) ^ 1:06d}"})
        for _ in range(2):
            answer = await self.call("POST", "/v1/auth/otp/verify", body)
            if answer.status_code == 200:
                self._keep(answer.json())
        self.planted += [f'"{code}"', f" {code} ", f"={code}", self._headers["cookie"].partition("=")[2]]

    def _keep(self, signed_in: dict[str, Any]) -> None:
        self._headers["authorization"] = f"Bearer {signed_in['access_token']}"
        self._refresh: str = signed_in["refresh_token"]
        self.planted += [self._refresh, *signed_in["access_token"].split(".")[1:]]

    async def _rest(self) -> None:
        await self.call("PATCH", "/v1/me", {"name": f"{WORD} Name", "avatar_url": f"https://{WORD}.example/a.png"})
        await self.call("PATCH", "/v1/me", {"name": FORGED})
        await self.call("PATCH", "/v1/me", {"avatar_url": FORGED})
        await self.call("GET", "/v1/me")
        await self.call("GET", f"/v1/questions?q={WORD}&sort={WORD}&cursor={WORD}")
        await self.call("GET", f"/v1/questions/{WORD}")
        await self.call("POST", f"/v1/questions/{WORD}/interviews", {}, **{"idempotency-key": WORD})
        await self.call("GET", f"/v1/interviews/{WORD}")
        await self.call("POST", f"/v1/interviews/{WORD}/commands", {"t": WORD, "id": WORD, "d": {"text": FORGED}})

    async def _play(self) -> str:
        """One interview on the socket, to its submission."""
        interview: str = (await self.call("POST", f"/v1/questions/{QUESTION}/interviews", {})).json()["id"]
        await self._bad_sockets(interview)
        socket = await self._join(interview)
        for t, d in (("clarify.ask", {"text": f"{WORD}? Is it used by many threads, {WORD}?"}), ("phase.proceed", {})):
            assert (await socket.command(t, d))["t"] == "ack"
        changes = [{"field": field, "text": f"{WORD} {field} {FORGED}"} for field in FIELDS]
        saved = await socket.command("draft.save", {"base": 0, "changes": changes})
        assert saved["t"] == "ack", saved
        whole = checksum({field: change["text"] for field, change in zip(FIELDS, changes, strict=True)})
        submitted = await socket.command("solution.submit", {"rev": saved["rev"], "checksum": whole})
        assert submitted["t"] == "ack", submitted
        await self._be_rude(socket, changes)
        return interview

    async def _be_rude(self, socket: RawSocket, changes: Sequence[Any]) -> None:
        """Bad commands, then bad frames, until the node has had enough."""
        wrong = [{"base": 7, "changes": changes}, {"base": WORD}, {"text": FORGED}, {"changes": [{WORD: WORD}]}]
        for d in wrong:
            socket.send("draft.save", d, id=f"{WORD}-id")
        socket.send(f"{WORD}.unknown", {WORD: WORD}, id=WORD)
        for data in (frame(TEXT, FORGED.encode()), frame(TEXT, WORD.encode() + b"\xff"), frame(BINARY, WORD.encode())):
            socket.send_bytes(data)
        await socket.end()

    async def _bad_sockets(self, interview: str) -> None:
        for path, protocols, hello in (
            (f"/v1/socket?ticket={WORD}", [f"ticket.{WORD}"], {}),
            ("/v1/socket", ["sdi.v1.json", f"ticket.{WORD}"], {}),
            ("/v1/socket", [WORD], {}),
            ("/v1/socket", ["sdi.v1.json", await self._ticket(interview)], {"proto": WORD, "tab": FORGED}),
        ):
            socket = await self._connect()
            if (await socket.upgrade(*protocols, path=path, headers=self._proxied())).status == 101:
                socket.send("hello", hello)
                await socket.end()

    async def _ticket(self, interview: str) -> str:
        ticket: str = (await self.call("POST", f"/v1/interviews/{interview}/ticket", {})).json()["ticket"]
        self.planted.append(ticket)
        return f"ticket.{ticket}"

    async def _connect(self) -> RawSocket:
        self._sockets.append(await RawSocket.connect(self._node.port))
        return self._sockets[-1]

    async def _join(self, interview: str) -> RawSocket:
        socket = await self._connect()
        answer = await socket.upgrade("sdi.v1.json", await self._ticket(interview), headers=self._proxied())
        assert answer.status == 101, answer
        await socket.hello()
        return socket

    def _proxied(self) -> dict[str, str | None]:
        """As a proxy that speaks TLS with the client passes it on."""
        return {"x-forwarded-proto": "https", "user-agent": self._headers["user-agent"]}

    async def _judged(self, interview: str) -> bool:
        answer = await self._http.get(f"/v1/interviews/{interview}/evaluation", headers=self._headers)
        return answer.status_code == 200 and answer.json()["state"] in ("completed", "failed")

    async def _break(self) -> None:
        """Everything once more, while tables are broken: errors that nobody has thought of, with what they quote."""
        owner = await asyncpg.connect(self._stack.database_url)
        try:
            for (harm, mend), table in product(BREAKS.items(), BROKEN):
                await owner.execute(harm.format(table))
                await self._meet_errors()
                await owner.execute(mend.format(table))
            interview: str = (await self.call("POST", f"/v1/questions/{QUESTION}/interviews", {})).json()["id"]
            socket = await self._join(interview)
            await owner.execute(next(iter(BREAKS)).format("interview_events"))
            socket.send("clarify.ask", {"text": f"{WORD}? Is it used by many threads?"}, id="cannot-be-recorded")
            await socket.end()
        finally:
            await owner.close()

    async def _meet_errors(self) -> None:
        await self.call("POST", "/v1/auth/otp", {"email": f"{WORD}.{secrets.token_hex(4)}@example.com"})
        await self.call("PATCH", "/v1/me", {"name": f"{WORD} {secrets.token_hex(4)}"})
        await self.call("GET", f"/v1/questions?q={WORD}")
        await self.call("GET", f"/v1/questions/{WORD}")
        await self.call("POST", f"/v1/questions/{QUESTION}/interviews", {})
        await self.call("POST", "/v1/auth/otp/verify", {"challenge_id": secrets.token_hex(16), "code": "123456"})

    async def _refresh_twice(self) -> None:
        """The second time in another program's hands, which ends the login."""
        first = self._refresh
        self._keep((await self.call("POST", "/v1/auth/refresh", {"refresh_token": first})).json())
        stolen = await self.call("POST", "/v1/auth/refresh", {"refresh_token": first}, **{"user-agent": "thief"})
        assert stolen.status_code == 401
        await self.call("POST", "/v1/auth/logout", {"refresh_token": self._refresh})
