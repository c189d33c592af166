"""Signing in and out: operations 1, 2, 5 and 6 of the design, and refreshing in between."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from engine.identity.codes import ADDRESS_CHARS_MAX, CODE_DIGITS
from engine.identity.google import TOKEN_CHARS_MAX
from engine.identity.logins import Tokens
from engine.identity.sign_in import CodeSent
from engine.live.limits import Limit
from engine.record.accounts import User
from engine.settings import Settings
from engine.telemetry import log
from engine.web import cookies
from engine.web.auth import check_cookie_may_count, client_of, login_shown, optional_user
from engine.web.operations import Operation, operation, reply
from engine.web.parts import parts_of
from engine.web.problems import Kind, Problem

REFRESHES = Limit("refresh", 240, 600)
"""Per login, where its cookie is shown; else per address. A tab refreshes every 15 minutes; a browser has many tabs."""
GOOGLE_SIGN_INS = Limit("google", 240, 600)
"""Per address: an office comes in at nine."""
METHODS_SHOWN = Limit("methods", 240, 600)

CODE_SHAPE = rf"^[ -]*([0-9][ -]*){{{CODE_DIGITS}}}$"
"""What a code looks like as people type it; the engine says by `bad_code` what it does not take for one."""

RefreshIn = Literal["cookie", "body"]
RefreshToken = Annotated[str, Meta(max_length=200)]


class CodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    email: Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX, examples=["ada@example.com"])]


class CodeTry(msgspec.Struct, frozen=True, kw_only=True):
    challenge_id: UUID
    code: Annotated[str, Meta(max_length=40, examples=["123456"], description="Spaces and dashes do not count.",
                              extra_json_schema={"pattern": CODE_SHAPE})]  # fmt: skip
    refresh_in: RefreshIn = "cookie"


class GoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    id_token: Annotated[str, Meta(max_length=TOKEN_CHARS_MAX)]
    nonce: Annotated[str, Meta(max_length=100, description="From GET /v1/auth/methods; the ID token carries it.")]
    refresh_in: RefreshIn = "cookie"


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    refresh_token: RefreshToken | None = None
    """Only for clients that do not keep cookies; the next one comes in the body too."""


class LogOut(msgspec.Struct, frozen=True, kw_only=True):
    all: bool = False
    """Everywhere, on every device."""
    refresh_token: RefreshToken | None = None


class SignedIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The access token goes into memory and the Authorization header; the refresh token into an HttpOnly cookie."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    user: User
    refresh_token: str | None = None


class GoogleWay(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    nonce: str


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """The ways in. `google` is null where none is set up: show no button."""

    code: bool
    google: GoogleWay | None
    development: bool
    """Codes are in /dev/mailbox: nothing is mailed here."""


@operation(
    "POST", "/v1/auth/otp", body=CodeRequest, out=CodeSent, status=202, auth="none",
    errors=(Kind.BAD_ADDRESS, Kind.TOO_SOON),
    reads_cookies=(cookies.BROWSER,), sets_cookies=(cookies.BROWSER,),
)  # fmt: skip
async def request_code(request: Request, body: CodeRequest) -> Response:
    """Send a one-time code to an email address.

    The answer is the same whether or not the address is known. The code counts only in the browser that asked:
    keep the cookie `otp_browser`.
    """
    browser = cookies.browser_of(request) or cookies.new_browser()
    sent = await parts_of(request).sign_in.request_code(body.email, client_of(request, browser))
    response = reply(sent, 202)
    cookies.keep_browser(request, response, browser)
    return response


@operation(
    "POST", "/v1/auth/otp/verify", body=CodeTry, out=SignedIn, auth="none",
    errors=(Kind.BAD_CODE, Kind.CODE_WRONG, Kind.CODE_OVER, Kind.CODE_BURNED, Kind.TOO_MANY),
    reads_cookies=(cookies.BROWSER,), sets_cookies=(cookies.REFRESH,),
)  # fmt: skip
async def verify_code(request: Request, body: CodeTry) -> Response:
    """Sign in by a one-time code.

    `code_wrong` says how many tries are left. With `refresh_in: body` the refresh token comes in the body.
    """
    client = client_of(request, cookies.browser_of(request))
    tokens = await parts_of(request).sign_in.verify_code(body.challenge_id, body.code, client)
    await _end_login_of_before(request)
    return _signed_in(request, tokens, body.refresh_in)


@operation("GET", "/v1/auth/methods", out=Ways, auth="none", limit=METHODS_SHOWN,
           reads_cookies=(cookies.BROWSER,), sets_cookies=(cookies.BROWSER,))  # fmt: skip
async def sign_in_methods(request: Request) -> Response:
    """What ways in there are, with what Google's button needs."""
    parts = parts_of(request)
    browser = cookies.browser_of(request) or cookies.new_browser()
    google = None
    if parts.sign_in.provider is not None:
        nonce = await parts.sign_in.new_nonce(client_of(request, browser))
        google = GoogleWay(client_id=parts.sign_in.provider.client_id, nonce=nonce)
    response = reply(Ways(code=True, google=google, development=not parts.settings.production))
    cookies.keep_browser(request, response, browser)
    return response


@operation(
    "POST", "/v1/auth/google", body=GoogleToken, out=SignedIn, auth="none", limit=GOOGLE_SIGN_INS,
    errors=(Kind.GOOGLE_REFUSED, Kind.PROOF_NEEDED),
    reads_cookies=(cookies.BROWSER,), sets_cookies=(cookies.REFRESH,),
)  # fmt: skip
async def sign_in_with_google(request: Request, body: GoogleToken) -> Response:
    """Sign in by a Google ID token.

    Ask GET /v1/auth/methods for a nonce first. An address that Google is not the authority on must be proved by
    a code once (`proof_needed`).
    """
    client = client_of(request, cookies.browser_of(request))
    tokens = await parts_of(request).sign_in.google(body.id_token, body.nonce, client)
    await _end_login_of_before(request)
    return _signed_in(request, tokens, body.refresh_in)


@operation("POST", "/v1/auth/refresh", body=Refresh, out=SignedIn, auth="none", limit=REFRESHES,
           errors=(Kind.SIGNED_OUT,), reads_cookies=(cookies.REFRESH, cookies.BROWSER),
           sets_cookies=(cookies.REFRESH,))  # fmt: skip
async def refresh(request: Request, body: Refresh) -> Response:
    """Exchange the refresh token for a new one and a new access token.

    A refresh token is good once. One that is used again ends its whole login, but for the same client asking
    again within 10 seconds, whose answer was lost.
    """
    token, refresh_in = _refresh_token(request, body.refresh_token)
    if token is None:
        raise Problem(Kind.SIGNED_OUT, "There is no refresh token.")
    tokens = await parts_of(request).logins.refresh(token, client_of(request, cookies.browser_of(request)))
    return _signed_in(request, tokens, refresh_in)


@operation("POST", "/v1/auth/logout", body=LogOut, auth="optional", limit=REFRESHES,
           reads_cookies=(cookies.REFRESH,), sets_cookies=(cookies.REFRESH,))  # fmt: skip
async def log_out(request: Request, body: LogOut) -> Response:
    """Log out, here or everywhere.

    Everywhere needs an access token; here, the refresh token is enough. Access tokens and sockets end too.
    """
    logins = parts_of(request).logins
    access = await optional_user(request)
    token, _ = _refresh_token(request, body.refresh_token)
    if body.all and access is None:
        raise Problem(Kind.SIGNED_OUT, "Logging out everywhere needs an access token.")
    login = access.login if access else logins.login_of(token) if token else None
    if login is not None:
        await logins.log_out(access.user if access else None, login, everywhere=body.all)
    response = reply(None)
    cookies.drop_refresh(request, response)
    return response


def _refresh_token(request: Request, in_body: str | None) -> tuple[str | None, RefreshIn]:
    """The refresh token and where it came from. A cookie counts only for pages that may send it."""
    if in_body is not None:
        return in_body, "body"
    token = cookies.refresh_of(request)
    if token is not None:
        check_cookie_may_count(request)
    return token, "cookie"


async def _end_login_of_before(request: Request) -> None:
    """A browser that signs in again keeps one login: its new cookie takes the place of the old (ASVS 5, 7.2.4).

    The new one is in the record already, and its code spent: where a server is away now, the old one stays until it
    is over, and the answer is given all the same.
    """
    login = login_shown(request)
    if login is None:
        return
    try:
        await parts_of(request).logins.log_out(None, login, everywhere=False)
    except (RedisError, OSError, SQLAlchemyError) as error:
        log.warning("login_of_before_stays", login=login, error=type(error).__name__)


def _signed_in(request: Request, tokens: Tokens, refresh_in: RefreshIn) -> Response:
    answer = SignedIn(
        access_token=tokens.access,
        token_type="Bearer",
        expires_in=tokens.access_ttl_seconds,
        user=tokens.user,
        refresh_token=tokens.refresh if refresh_in == "body" else None,
    )
    response = reply(answer)
    if refresh_in == "cookie":
        cookies.keep_refresh(request, response, tokens.refresh, tokens.refresh_ttl_seconds)
    return response


def operations(settings: Settings) -> tuple[Operation, ...]:
    """The operations of this file; Google's only where a client id is set."""
    google = (sign_in_with_google,) if settings.google_client_id else ()
    return (request_code, verify_code, sign_in_methods, *google, refresh, log_out)
