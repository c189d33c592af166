"""The profile: operations 3 and 4 of the design."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from engine.identity.sign_in import AVATAR_CHARS_MAX, NAME_CHARS_MAX
from engine.record.accounts import User
from engine.web.auth import current_user
from engine.web.operations import operation
from engine.web.parts import parts_of
from engine.web.problems import ErrorAt, Kind, Problem

JOINERS = dict.fromkeys((0x200C, 0x200D))
"""Invisible, and yet part of how names are written, in Persian for one."""
VISIBLE = re.compile(r"https://[!-~]+")

Name = Annotated[str, Meta(max_length=NAME_CHARS_MAX, examples=["Ada"])]
AvatarUrl = Annotated[str, Meta(pattern="^https://[!-~]+$", max_length=AVATAR_CHARS_MAX)]


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays; `avatar_url: null` takes the picture away."""

    name: Name | UnsetType = UNSET
    avatar_url: AvatarUrl | UnsetType | None = UNSET


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


def _one_line(name: str) -> str:
    """A name as it is shown: one line, of characters that can be seen."""
    name = " ".join(name.split())
    if not name.translate(JOINERS).isprintable():
        raise Problem(Kind.BAD_BODY, errors=(ErrorAt("$.name", "holds characters that cannot be shown"),))
    return name


def _picture(url: str | None) -> str | None:
    """An address that can stand in a page as it is."""
    if url is not None and not VISIBLE.fullmatch(url):
        raise Problem(Kind.BAD_BODY, errors=(ErrorAt("$.avatar_url", "is no https URL in ASCII"),))
    return url


OPERATIONS = (get_profile, update_profile)
