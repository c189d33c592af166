"""One streamed chat completion: its text as it comes, and every way it can fail told apart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from engine.core.marked import plain
from engine.judging.judge import JudgeError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

CONNECT_SECONDS: Final = 5.0
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SOON: Final = frozenset({408, 409, 425})
"""Client errors that go away by themselves."""
FILTERED: Final = frozenset({"content_filter", "content_policy_violation"})
"""What providers call it that filter the request itself, with status 400."""

MODEL_CHARS_MAX: Final = 100
TOKENS_MAX: Final = 100_000_000
"""Of one call: more is no count, and would not fit the record."""

Message = dict[str, str]
OnText = Callable[[str], None]


@dataclass
class Reply:
    """What is known of a reply beside its text, filled as the stream goes."""

    began: bool = False
    model: str = ""
    finish: str | None = None
    refused: bool = False
    chars: int = 0
    counted: bool = False
    """Whether the server said how many tokens it took."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


def open_client(api_key: str, base_url: str, call_seconds: float) -> AsyncOpenAI:
    """A client that never retries by itself. A server on this machine is not asked through a proxy."""
    import ssl

    import httpx2
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    from engine.judging.capped import cap

    timeout = httpx2.Timeout(call_seconds, connect=min(CONNECT_SECONDS, call_seconds))
    url = urlsplit(base_url)
    # Without TLS no authority is trusted either: to read all of them takes longer than to make the client.
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.scheme == "http" else True
    return AsyncOpenAI(
        api_key=api_key or "none",  # servers of one's own often want no key; the SDK wants some
        base_url=base_url or None,
        timeout=timeout,
        max_retries=0,
        default_headers={"accept-encoding": "identity"},
        http_client=DefaultAsyncHttpxClient(
            timeout=timeout,
            trust_env=url.hostname not in LOOPBACK,
            verify=trusted,
            event_hooks={"response": [cap]},
        ),
    )


async def complete(
    client: AsyncOpenAI,
    wanted: Mapping[str, Any],
    reply: Reply,
    *,
    call_seconds: float,
    chars_max: int,
    on_text: OnText | None = None,
) -> str:
    """The text of one completion that came to an explicit, clean end; everything else raises JudgeError."""
    import httpx2
    import openai

    try:
        async with asyncio.timeout(call_seconds):
            stream = await client.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True})
            async with stream:
                text = await _gather(stream, reply, chars_max, on_text)
    except (TimeoutError, openai.APITimeoutError):
        raise JudgeError("timeout") from None
    except openai.APIStatusError as error:
        raise _status(error) from None
    except (openai.APIError, httpx2.HTTPError):  # no connection; or in the stream, a broken one or an error event
        raise JudgeError("truncated" if reply.began else "unavailable") from None
    except (ValueError, TypeError, AttributeError, LookupError):  # chunks that are no chunks
        raise JudgeError("garbled") from None
    _check_end(reply)
    return text


async def _gather(stream: Any, reply: Reply, chars_max: int, on_text: OnText | None) -> str:
    parts: list[str] = []
    async for chunk in stream:
        if piece := _read(chunk, reply):
            reply.chars += len(piece)
            if reply.chars > chars_max:
                raise JudgeError("too_large")
            parts.append(piece)
            if on_text is not None:
                on_text(piece)
    return "".join(parts)


def _read(chunk: Any, reply: Reply) -> str:
    reply.began = True
    reply.model = plain(str(chunk.model or ""))[:MODEL_CHARS_MAX] or reply.model
    if chunk.usage is not None:
        _read_usage(chunk.usage, reply)
    if not chunk.choices:
        return ""
    choice = chunk.choices[0]
    reply.finish = choice.finish_reason or reply.finish
    reply.refused = reply.refused or bool(choice.delta.refusal)
    return choice.delta.content or ""


def _read_usage(usage: Any, reply: Reply) -> None:
    """Counts that are none are passed over: verdicts are worth more than a bill, which is guessed then."""
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else 0) or 0
    counts = (usage.prompt_tokens, usage.completion_tokens, cached)
    if all(isinstance(count, int) and 0 <= count <= TOKENS_MAX for count in counts):
        reply.counted = True
        reply.input_tokens, reply.output_tokens, reply.cached_tokens = counts


def _check_end(reply: Reply) -> None:
    """A stream that is cut ends as quietly as one that is done: only the finish reason tells."""
    if reply.refused:
        raise JudgeError("refused")
    match reply.finish:
        case "stop":
            return
        case "length":
            raise JudgeError("length")
        case "content_filter":
            raise JudgeError("content_filter")
        case None:
            raise JudgeError("truncated")
        case _:
            raise JudgeError("garbled")


def _status(error: APIStatusError) -> JudgeError:
    after = retry_after(error.response.headers)
    if error.status_code == 429:
        return JudgeError("rate_limited", retry_after=after)
    if error.code in FILTERED:
        return JudgeError("content_filter")
    if error.status_code >= 500 or error.status_code in SOON:
        return JudgeError("unavailable", retry_after=after)
    return JudgeError("rejected")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `retry-after-ms`, or `retry-after` as seconds or as a date."""
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(ms) / 1000)
        if (after := headers.get("retry-after")) is None:
            return None
        if after.replace(".", "", 1).isdigit():
            return float(after)
        return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
