"""One's own: the profile (operations 3 and 4 of the design), taking all of one's data along, leaving for good."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from engine.identity import leaving
from engine.identity.codes import ADDRESS_CHARS_MAX
from engine.identity.sign_in import AVATAR_CHARS_MAX, NAME_CHARS_MAX
from engine.live.limits import Limit
from engine.record.accounts import User
from engine.record.export import Export, export
from engine.web import cookies
from engine.web.auth import current_user
from engine.web.operations import operation, reply
from engine.web.parts import parts_of
from engine.web.problems import ErrorAt, Kind, Problem

EXPORTS = Limit("me:export", 6, 3_600)
"""Each reads all of a user's rows."""
IN_MEMORY_BYTES_MAX = 1_048_576
"""An export beyond it goes through a file."""
CHUNK_BYTES = 65_536

JOINERS = dict.fromkeys((0x200C, 0x200D))
"""Invisible, and yet part of how names are written, in Persian for one."""
VISIBLE = re.compile(r"https://[!-~]+")

DELETIONS = Limit("me:delete", 10, 3_600)
"""For typing mistakes; it happens once."""

Name = Annotated[str, Meta(max_length=NAME_CHARS_MAX, examples=["Ada"])]
AvatarUrl = Annotated[str, Meta(pattern="^https://[!-~]+$", max_length=AVATAR_CHARS_MAX)]


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays; `avatar_url: null` takes the picture away."""

    name: Name | UnsetType = UNSET
    avatar_url: AvatarUrl | UnsetType | None = UNSET


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """Typed by hand, so that nobody leaves by a slip."""

    email: Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX, examples=["ada@example.com"])]
    """The account's own address."""


@operation("GET", "/v1/me", out=User)
async def get_profile(request: Request) -> User:
    """Who is signed in."""
    return await parts_of(request).logins.user(await current_user(request))


@operation("PATCH", "/v1/me", body=ProfileChange, out=User)
async def update_profile(request: Request, body: ProfileChange) -> User:
    """Change name or picture."""
    changes: dict[str, str | None] = {}
    if body.name is not UNSET:
        changes["name"] = _one_line(body.name)
    if body.avatar_url is not UNSET:
        changes["avatar_url"] = _picture(body.avatar_url)
    logins, access = parts_of(request).logins, await current_user(request)
    return await (logins.change_profile(access, changes) if changes else logins.user(access))


@operation("DELETE", "/v1/me", body=Leaving, limit=DELETIONS, sets_cookies=(cookies.REFRESH,))
async def delete_account(request: Request, body: Leaving) -> Response:
    """Delete your account and all that is yours, for good.

    Profile, logins, interviews, drafts, solutions and evaluations go; sockets close, tokens end. What stays of an
    evaluation are its numbers, for statistics, with no link to anybody.
    """
    parts, access = parts_of(request), await current_user(request)
    user = await parts.logins.user(access)
    if body.email.strip().casefold() != user.email.casefold():
        raise Problem(Kind.BAD_BODY, errors=(ErrorAt("$.email", "is not the address of this account"),))
    seconds = parts.settings.access_ttl_seconds
    if not await leaving.delete_account(parts.engine, parts.conductor.live, access.user, seconds):
        raise Problem(Kind.SIGNED_OUT)
    response = reply(None)
    cookies.drop_refresh(request, response)
    return response


@operation("GET", "/v1/me/export", out=Export, limit=EXPORTS)
async def export_my_data(request: Request) -> Response:
    """All your data as one file.

    Profile, logins, codes, and each interview with clarifications, draft or solution, evaluation and events: all that
    is recorded at one instant.
    """
    parts, access = parts_of(request), await current_user(request)
    now = parts.logins.now()
    with ExitStack() as stack:
        # Whole before the first byte goes out: whoever reads slowly holds no connection to Postgres.
        file = stack.enter_context(SpooledTemporaryFile(IN_MEMORY_BYTES_MAX))
        if not await export(parts.engine, access.user, now, file.write):
            raise Problem(Kind.SIGNED_OUT)
        stack.pop_all()  # from here on the answer closes it
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="interview-data-{now:%Y-%m-%d}.json"',
        "content-length": str(file.tell()),
    }
    return StreamingResponse(_from_start(file), headers=headers, media_type="application/json")


async def _from_start(file: SpooledTemporaryFile[bytes]) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _one_line(name: str) -> str:
    """A name as it is shown: one line, of characters that can be seen."""
    name = " ".join(name.split())
    if not name.translate(JOINERS).isprintable():
        raise Problem(Kind.BAD_BODY, errors=(ErrorAt("$.name", "holds characters that cannot be shown"),))
    return name


def _picture(url: str | None) -> str | None:
    """An address that can stand in a page as it is."""
    if url is not None and not (VISIBLE.fullmatch(url) and _has_a_host(url)):
        raise Problem(Kind.BAD_BODY, errors=(ErrorAt("$.avatar_url", "is no https URL in ASCII"),))
    return url


def _has_a_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:  # half an IPv6 address, say
        return False


OPERATIONS = (get_profile, update_profile, delete_account, export_my_data)
