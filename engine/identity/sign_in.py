"""Signing in: by a code sent to an address, or by Google. Both end in one account an address, and in a login."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.failpoints import failpoint
from engine.identity import codes, pending
from engine.identity.codes import BadAddress
from engine.identity.google import BadIdentity, Identity, ProviderAway
from engine.identity.keys import Keys, keyed_hash
from engine.identity.logins import Client, Logins, Tokens
from engine.identity.mailer import MailRoom, MailRoomFull, code_mail
from engine.identity.refused import Reason, SignInRefused
from engine.live.limits import Limit, give_back, network, take
from engine.record import accounts, challenges
from engine.record.accounts import Address, Linked, User
from engine.record.challenges import Challenge, Dead, Passed, Wrong
from engine.settings import Settings
from engine.telemetry import log

BETWEEN_CODES = Limit("code:again", 1, codes.RESEND_SECONDS)
CODES_PER_HOUR = Limit("code:hour", 5, 3_600)
CODES_PER_DAY = Limit("code:day", 10, 86_400)
"""The three above per address. A browser that signed in to it before has them to itself, and those below are not
its concern: nobody can use up the owner's by asking in their name, or by asking a lot."""
ASKS_PER_CLIENT = Limit("code:client", 60, 600)
ASKS_PER_NETWORK = Limit("code:network", 300, 600)
ASKS_IN_ALL = Limit("code:all", 3_000, 600)
WRONG_PER_CLIENT = Limit("wrong:client", 60, 600)
WRONG_PER_NETWORK = Limit("wrong:network", 180, 600)
WRONG_IN_ALL = Limit("wrong:all", 600, 600)
"""Codes that were not right: for guessing at many addresses, each below its own cap. 600 in ten minutes, by however
many guessers, are one hit in 12 days; a right code costs nothing, so that an office may come in at nine."""

NONCE_TTL_SECONDS = 600
NONCE_BYTES = 24
NAME_CHARS_MAX = 100
AVATAR_CHARS_MAX = 500


class IdentityProvider(Protocol):
    """Verifies ID tokens. Raises BadIdentity and ProviderAway."""

    @property
    def client_id(self) -> str: ...

    async def verify(self, token: str, nonce: str, now: datetime) -> Identity: ...


class CodeSent(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to whoever asks for a code, whatever became of it."""

    challenge_id: UUID
    expires_in: int
    resend_in: int


class SignIn:
    """The ways in."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        redis: Redis,
        keys: Keys,
        logins: Logins,
        mail: MailRoom,
        settings: Settings,
        provider: IdentityProvider | None = None,
    ) -> None:
        self._engine, self._redis, self._keys = engine, redis, keys
        self._logins, self._mail = logins, mail
        self._now: Callable[[], datetime] = logins.now
        self._production = settings.production
        self.provider = provider

    async def request_code(self, email: str, client: Client) -> CodeSent:
        """Send a code to an address. The answer is the same for known, unknown and blocked addresses.

        Raises SignInRefused: BAD_ADDRESS, TOO_SOON, TOO_MANY, AWAY.
        """
        address, now = self._address(email), self._now()
        if self._mail.full:  # told to all, also to those who would get no mail
            raise _mail_slow()
        code, id = codes.new_code(), uuid4()
        async with self._engine.begin() as connection:
            known = await challenges.knows(connection, address.key, client.browser_hash)
            await self._may_ask(address, client, known)
            challenge = Challenge(
                id=id,
                email=address.written,
                email_key=address.key,
                code_hash=codes.code_hash(self._keys, id, code),
                browser_hash=client.browser_hash,
                browser_known=known,
                expires_at=now + timedelta(seconds=codes.CODE_TTL_SECONDS),
            )
            allowed = await challenges.open_challenge(connection, challenge, now)
            await challenges.forget_old(connection, now)
        if allowed:
            failpoint("code")
            self._post(address, code, now)
        else:
            log.warning("code_withheld", reason="failures")
        return CodeSent(challenge_id=id, expires_in=codes.CODE_TTL_SECONDS, resend_in=codes.RESEND_SECONDS)

    async def verify_code(self, challenge: UUID, typed: str, client: Client) -> Tokens:
        """Sign in by a code. Raises SignInRefused: BAD_CODE, TOO_MANY, CODE_WRONG, CODE_OVER, CODE_BURNED."""
        code = codes.typed_code(typed)
        if code is None:
            raise SignInRefused(Reason.BAD_CODE, "A code is six digits.")
        hashes, now = codes.code_hashes(self._keys, challenge, code), self._now()
        async with self._engine.begin() as connection:
            standing = await challenges.look(connection, challenge, client.browser_hash, now)
            # A known browser has the budget of its address to itself.
            taken = () if standing.browser_known else await self._may_be_wrong(client)
            tried = standing.dead or await challenges.try_code(connection, challenge, client.browser_hash, hashes, now)
            if isinstance(tried, Passed):
                user = await accounts.user_by_address(connection, tried.address, now)
                await self._link_pending(connection, user, tried.address, client)
                tokens = await self._logins.open(connection, user, client, "code")
                await give_back(self._redis, taken)
                return tokens
        raise _not_passed(tried, challenge)

    async def new_nonce(self, client: Client) -> str:
        """A nonce for one ID token, for this browser."""
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        await self._redis.set(_nonce_key(nonce), client.browser_hash, ex=NONCE_TTL_SECONDS)
        return nonce

    async def google(self, id_token: str, nonce: str, client: Client) -> Tokens:
        """Sign in by a Google ID token that was asked for with a nonce of ours.

        Raises SignInRefused: GOOGLE_REFUSED, PROOF_NEEDED, AWAY.
        """
        assert self.provider is not None
        if await self._redis.getdel(_nonce_key(nonce)) != client.browser_hash:
            raise _google_failed(Reason.GOOGLE_REFUSED, "not the nonce of this browser", "Try again from the start.")
        try:
            identity = await self.provider.verify(id_token, nonce, self._now())
        except BadIdentity as error:
            raise _google_failed(Reason.GOOGLE_REFUSED, str(error), "Google's answer was not accepted.") from None
        except ProviderAway:
            raise SignInRefused(Reason.AWAY, "Google cannot be reached.", retry_seconds=30) from None
        async with self._engine.begin() as connection:
            user = await self._user_of(connection, identity, client)
            return await self._logins.open(connection, user, client, "google")

    async def _user_of(self, connection: AsyncConnection, identity: Identity, client: Client) -> User:
        """The account of a Google identity: by its subject; else by its address, where Google owns that.

        Where it does not, the identity waits for a code to that address.
        """
        user = await accounts.user_by_google(connection, identity.subject)
        if user is not None:
            return user
        try:
            address = codes.read_address(identity.email, production=self._production)
        except BadAddress:
            raise _google_failed(Reason.GOOGLE_REFUSED, "no address for mail", "That address takes no mail.") from None
        if not identity.owns_address:
            await pending.keep(self._redis, self._keys, client, address, identity.subject)
            proof = "Sign in with a code to this address now, in this browser; from then on Google is enough."
            raise _google_failed(Reason.PROOF_NEEDED, "not Google's address", proof)
        user = await accounts.user_by_address(connection, address, self._now())
        if not await self._link(connection, user, identity.subject):
            # The address moved to another Google account; the one linked first keeps its way in.
            other = "This address has another Google account: sign in with a code."
            raise _google_failed(Reason.PROOF_NEEDED, "another Google account", other)
        picture = identity.picture
        if picture is not None and not (picture.startswith("https://") and len(picture) <= AVATAR_CHARS_MAX):
            picture = None
        filled = await accounts.fill_profile(connection, user.id, identity.name[:NAME_CHARS_MAX], picture)
        return filled or user

    async def _link_pending(self, connection: AsyncConnection, user: User, address: Address, client: Client) -> None:
        subject = await pending.take(self._redis, self._keys, client, address)
        if subject is not None:
            await self._link(connection, user, subject)

    async def _link(self, connection: AsyncConnection, user: User, subject: str) -> bool:
        """Make a Google account, just proved with the address, a way in; False when either has another.

        Who could open the account before may have been somebody else (ASVS 5, 7.4.3): every login of it ends. Of two
        first sign-ins at once the second finds it linked, and does not end the first's.
        """
        linked = await accounts.link_google(connection, user.id, subject)
        if linked is Linked.NOW:
            log.info("google_linked", user=user.id)
            await self._logins.end_all(connection, user.id, "google_linked")
        return linked is not Linked.REFUSED

    def _address(self, email: str) -> Address:
        try:
            return codes.read_address(email, production=self._production)
        except BadAddress as error:
            raise SignInRefused(Reason.BAD_ADDRESS, str(error)) from None

    def _post(self, address: Address, code: str, now: datetime) -> None:
        try:
            self._mail.post(code_mail(address.written, code, now, codes.CODE_TTL_SECONDS // 60))
        except MailRoomFull:
            raise _mail_slow() from None

    async def _may_ask(self, address: Address, client: Client, known: bool) -> None:
        who = keyed_hash(self._keys.subject, address.key, client.browser_hash if known else b"").hex()
        strangers = ((ASKS_PER_CLIENT, client.address), (ASKS_PER_NETWORK, network(client.address)), (ASKS_IN_ALL, ""))
        each = ((limit, who) for limit in (BETWEEN_CODES, CODES_PER_HOUR, CODES_PER_DAY))
        await self._take(Reason.TOO_SOON, *each, *(() if known else strangers))

    async def _may_be_wrong(self, client: Client) -> Sequence[tuple[Limit, str]]:
        """Take from the limits on wrong codes before a code is tried: many at once must not overdraw them."""
        address = client.address
        wanted = ((WRONG_PER_CLIENT, address), (WRONG_PER_NETWORK, network(address)), (WRONG_IN_ALL, ""))
        await self._take(Reason.TOO_MANY, *wanted)
        return wanted

    async def _take(self, reason: Reason, *wanted: tuple[Limit, str]) -> None:
        taken = await take(self._redis, wanted)
        if taken.limit is not None:
            log.warning("sign_in_limited", kind=taken.limit.name)
            raise SignInRefused(reason, "Too often; wait a little.", retry_seconds=taken.wait_seconds)


def _mail_slow() -> SignInRefused:
    return SignInRefused(Reason.AWAY, "Mail is slow just now.", retry_seconds=60)


def _google_failed(reason: Reason, why: str, message: str) -> SignInRefused:
    log.warning("sign_in_failed", by="google", reason=why)
    return SignInRefused(reason, message)


def _not_passed(tried: Wrong | Dead, challenge: UUID) -> SignInRefused:
    why = tried.value if isinstance(tried, Dead) else "wrong"
    log.warning("sign_in_failed", by="code", reason=why, challenge=challenge)
    match tried:
        case Wrong(tries_left):
            return SignInRefused(Reason.CODE_WRONG, "That is not the code.", tries_left=tries_left)
        case Dead.BURNED:
            return SignInRefused(Reason.CODE_BURNED, "Too many wrong tries; ask for a new code later.")
        case Dead.OVER:
            return SignInRefused(Reason.CODE_OVER, "That code is no longer good; ask for a new one.")


def _nonce_key(nonce: str) -> str:
    return f"nonce:{nonce}"
