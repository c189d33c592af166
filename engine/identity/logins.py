"""Logins: opened at sign-in, kept by refresh tokens that are good once, ended here or everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.failpoints import failpoint
from engine.identity import tokens
from engine.identity.keys import Keys
from engine.identity.refused import Reason, SignInRefused
from engine.identity.tokens import Access, BadToken
from engine.live import logins as ended_logins
from engine.record import accounts
from engine.record.accounts import LoginState, Method, NewLogin, Rotation, User, Why
from engine.settings import Settings
from engine.telemetry import log

LOST_ANSWER_SECONDS = 10
"""How long the client that sent a refresh token may send it again and get the same successor."""
SIGNED_OUT = "Sign in again."


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as far as a connection tells: the browser's cookie, the address, the program's name."""

    browser: str
    """Random, kept by the browser; empty where it keeps none."""
    address: str
    agent: str = ""

    @property
    def browser_hash(self) -> bytes:
        return hashlib.sha256(b"browser" + self.browser.encode()).digest()

    @property
    def hash(self) -> bytes:
        """The same for the same browser and program: tells a repeated request from a stolen token."""
        return hashlib.sha256(f"client\n{self.browser}\n{self.agent}".encode()).digest()


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who was let in gets."""

    access: str
    access_ttl_seconds: int
    refresh: str
    refresh_ttl_seconds: int
    user: User

    def __repr__(self) -> str:
        return f"<Tokens of {self.user.id}>"


class Logins:
    """Opens, refreshes, checks and ends logins."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        redis: Redis,
        keys: Keys,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self._engine, self._redis, self._keys, self.now = engine, redis, keys, now
        self._access_seconds = settings.access_ttl_seconds
        self._remembered_seconds = tokens.remembered_seconds(settings.access_ttl_seconds)
        self._refresh_seconds = min(settings.refresh_ttl_seconds, settings.login_ttl_seconds)
        self._login_ttl = timedelta(seconds=settings.login_ttl_seconds)

    async def open(self, connection: AsyncConnection, user: User, client: Client, method: Method) -> Tokens:
        """A new login of a user, in the caller's transaction."""
        now, id = self.now(), uuid4()
        refresh = tokens.new_refresh(self._keys, id)
        login = NewLogin(
            id=id,
            user_id=user.id,
            refresh_hash=tokens.refresh_hash(refresh),
            client_hash=client.hash,
            browser_hash=client.browser_hash if client.browser else None,
            method=method,
            expires_at=now + timedelta(seconds=self._refresh_seconds),
        )
        await accounts.open_login(connection, login, now)
        log.info("signed_in", user=user.id, login=id, by=method)
        return self._tokens(user, id, refresh, now)

    async def refresh(self, token: str, client: Client) -> Tokens:
        """Exchange a refresh token for its successor and a new access token.

        A token that was used before ends its login, for one of two who hold it is a thief; unless the same client
        repeats itself within LOST_ANSWER_SECONDS, whose first answer was lost. Raises SignInRefused.
        """
        try:
            login, old_hash = tokens.read_refresh(self._keys, token), tokens.refresh_hash(token)
        except BadToken:
            raise SignInRefused(Reason.SIGNED_OUT, SIGNED_OUT) from None
        now, new = self.now(), tokens.new_refresh(self._keys, login)
        rotation = Rotation(
            login_id=login,
            old_hash=old_hash,
            new_hash=tokens.refresh_hash(new),
            sealed=tokens.seal(token, new),
            client_hash=client.hash,
            expires_at=now + timedelta(seconds=self._refresh_seconds),
            login_ttl=self._login_ttl,
        )
        async with self._engine.begin() as connection:
            user_id = await accounts.rotate(connection, rotation, now)
            if user_id is None:
                again = await self._again(connection, login, token, client, now)
                user_id, new = again if again else (None, new)
            user = await accounts.user_by_id(connection, user_id) if user_id else None
        failpoint("refresh")
        if user is None:
            # Whichever request ended it: the access tokens of this login end too, now and on every repetition.
            await ended_logins.end(self._redis, [login], self._remembered_seconds)
            raise SignInRefused(Reason.SIGNED_OUT, SIGNED_OUT)
        return self._tokens(user, login, new, now)

    async def _again(
        self, connection: AsyncConnection, login: UUID, token: str, client: Client, now: datetime
    ) -> tuple[UUID, str] | None:
        """The user and the successor this token was given before; None, and the login ended, for a reused one."""
        state = await accounts.login_state(connection, login, now)
        if state is None:
            return None
        if state.successor_sealed is not None and _answer_was_lost(state, token, client, now):
            return state.user_id, tokens.unseal(token, state.successor_sealed)
        await accounts.revoke(connection, login, "reused", now)
        log.warning("refresh_token_reused", user=state.user_id, login=login)
        return None

    async def who(self, access: str) -> Access:
        """Who shows this access token. Raises SignInRefused."""
        try:
            read = tokens.read_access(self._keys, access, self.now())
        except BadToken:
            raise SignInRefused(Reason.SIGNED_OUT, SIGNED_OUT) from None
        if await ended_logins.ended(self._redis.execute_command, read.login):
            raise SignInRefused(Reason.SIGNED_OUT, SIGNED_OUT)
        return read

    async def user(self, access: Access) -> User:
        """The user behind an access token. Raises SignInRefused if the account is gone."""
        async with self._engine.connect() as connection:
            found = await accounts.user_by_id(connection, access.user)
        if found is None:
            raise SignInRefused(Reason.SIGNED_OUT, SIGNED_OUT)
        return found

    async def change_profile(self, access: Access, changes: dict[str, str | None]) -> User:
        """Change name and picture. Raises SignInRefused if the account is gone."""
        async with self._engine.begin() as connection:
            changed = await accounts.change_profile(connection, access.user, changes, self.now())
        if changed is None:
            raise SignInRefused(Reason.SIGNED_OUT, SIGNED_OUT)
        return changed

    async def log_out(self, user: UUID | None, login: UUID, *, everywhere: bool) -> None:
        """End this login, or every login of the user; their access tokens and sockets end with them."""
        async with self._engine.begin() as connection:
            owner = await accounts.revoke(connection, login, "logged_out", self.now())
            await ended_logins.end(self._redis, [login], self._remembered_seconds)
            if everywhere and user is not None:
                await self.end_all(connection, user, "logged_out_everywhere")
        if user or owner:
            log.info("logged_out", user=user or owner, login=login)

    async def end_all(self, connection: AsyncConnection, user: UUID, why: Why) -> None:
        """End every login of a user, in the caller's transaction.

        Redis is told before the record commits: when it is away nothing has ended, and trying again ends all.
        """
        ended = await accounts.revoke_all(connection, user, why, self.now())
        await ended_logins.end(self._redis, ended, self._remembered_seconds)
        if ended:
            log.warning("logins_revoked", user=user, reason=why, count=len(ended))

    def login_of(self, refresh: str) -> UUID | None:
        """The login a refresh token was given out for; None if it was made up."""
        try:
            return tokens.read_refresh(self._keys, refresh)
        except BadToken:
            return None

    def _tokens(self, user: User, login: UUID, refresh: str, now: datetime) -> Tokens:
        return Tokens(
            access=tokens.sign_access(self._keys, user.id, login, now, self._access_seconds),
            access_ttl_seconds=self._access_seconds,
            refresh=refresh,
            refresh_ttl_seconds=self._refresh_seconds,
            user=user,
        )


def _answer_was_lost(state: LoginState, token: str, client: Client, now: datetime) -> bool:
    """Whether this is the request before the last rotation, sent again by the same client, soon."""
    recent = now - state.rotated_at <= timedelta(seconds=LOST_ANSWER_SECONDS)
    return recent and state.previous_hash == tokens.refresh_hash(token) and state.client_hash == client.hash
