"""The REST side of `engine try`: signing in, the catalog, starting an interview, tickets."""

from __future__ import annotations

import asyncio
import re
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CALL_SECONDS = 10.0
MAIL_SECONDS = 10.0
MAIL_POLL_SECONDS = 0.1
CODE = re.compile(r"\b\d{6}\b")


class Refused(Exception):
    """The engine answered with a problem; `again_seconds` where coming back later may help."""

    def __init__(self, status: int, code: str, message: str, again_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.again_seconds = status, code, again_seconds


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine: then no proxy stands between."""
    return urlsplit(url).hostname in LOOPBACK


class Rest:
    """Calls of one user to an engine; with several URLs, to the next node when one does not answer."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._nodes = [
            httpx2.AsyncClient(base_url=url, timeout=CALL_SECONDS, trust_env=not is_loopback(url)) for url in urls
        ]
        self._access = self._refresh = ""

    @property
    def url(self) -> str:
        """The node that is asked now."""
        return str(self._nodes[0].base_url).rstrip("/")

    def next_node(self) -> None:
        """Ask another node from now on; cookies go along."""
        self._nodes.append(self._nodes.pop(0))
        self._nodes[0].cookies.update(self._nodes[-1].cookies)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for node in self._nodes:
            await node.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer, None where there is none. Raises Refused, or httpx2.TransportError."""
        answer = await self._send(method, path, body)
        if answer.status_code == 401 and self._refresh:
            await self._renew()
            answer = await self._send(method, path, body)
        return _read(answer)

    async def ask_code(self, email: str) -> str:
        """Have a one-time code sent; the challenge it belongs to."""
        sent = await self.call("POST", "/v1/auth/otp", {"email": email})
        return str(sent["challenge_id"])

    async def sign_in(self, challenge: str, code: str) -> str:
        """Sign in with the code; the address of whoever is signed in."""
        body = {"challenge_id": challenge, "code": code, "refresh_in": "body"}
        signed = await self.call("POST", "/v1/auth/otp/verify", body)
        self._keep(signed)
        return str(signed["user"]["email"])

    async def newest_mail(self, email: str) -> int:
        """When the newest mail to this address came into the development mailbox (ms); 0 when there is none."""
        return max((mail["at"] for mail in await self._mails(email)), default=0)

    async def mailed_code(self, email: str, after: int) -> str:
        """The code from the first mail newer than `after`. Raises Refused when none comes."""
        end = time.monotonic() + MAIL_SECONDS
        while time.monotonic() < end:
            for mail in await self._mails(email):
                if mail["at"] > after and (found := CODE.search(mail["subject"])):
                    return found.group()
            await asyncio.sleep(MAIL_POLL_SECONDS)
        raise Refused(404, "no_mail", f"No code for {email} came into the development mailbox.")

    async def questions(self) -> list[dict[str, Any]]:
        """The whole catalog."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.call("GET", f"/v1/questions?limit=100{cursor}")
            items += page["items"]
            if not page["next_cursor"]:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    async def question(self, slug: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", f"/v1/questions/{slug}")
        return found

    async def start(self, slug: str) -> dict[str, Any]:
        """The active interview at this question, else a new one."""
        started: dict[str, Any] = await self.call("POST", f"/v1/questions/{slug}/interviews", {})
        return started

    async def ticket(self, interview: str) -> dict[str, Any]:
        """What opens one socket."""
        ticket: dict[str, Any] = await self.call("POST", f"/v1/interviews/{interview}/ticket", {})
        return ticket

    async def fresh_ticket(self, interview: str) -> dict[str, Any]:
        """A ticket that stands on a renewed sign-in: a socket lives no longer than the access token behind it."""
        await self._renew()
        return await self.ticket(interview)

    async def _mails(self, email: str) -> list[dict[str, Any]]:
        mails = await self.call("GET", "/dev/mailbox.json")
        return [mail for mail in mails if mail["to"].lower() == email.lower()]

    async def _send(self, method: str, path: str, body: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self._access}"} if self._access else {}
        return await self._nodes[0].request(method, path, json=body, headers=headers)

    async def _renew(self) -> None:
        self._access = ""
        answer = await self._send("POST", "/v1/auth/refresh", {"refresh_token": self._refresh})
        self._keep(_read(answer))

    def _keep(self, signed: dict[str, Any]) -> None:
        self._access, self._refresh = signed["access_token"], signed.get("refresh_token") or ""


def _read(answer: httpx2.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    message = problem.get("detail") or problem.get("title") or f"HTTP {answer.status_code} from {answer.url.path}"
    again = answer.headers.get("retry-after", "")
    raise Refused(answer.status_code, problem.get("code", "http"), message, float(again) if again.isdigit() else None)
