"""One-time codes and the addresses they go to: making, hashing, reading what a person typed. Pure but for chance."""

from __future__ import annotations

import re
import secrets
import string
from uuid import UUID

from email_validator import EmailNotValidError, validate_email

from engine.identity.keys import Keys, keyed_hash
from engine.record.accounts import Address

CODE_DIGITS = 6
CODE_TTL_SECONDS = 600
RESEND_SECONDS = 60
ADDRESS_CHARS_MAX = 254
"""RFC 5321, errata 1690."""

LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SPACING = re.compile(r"[\s-]")
_CODE = re.compile(rf"[0-9]{{{CODE_DIGITS}}}", re.ASCII)


class BadAddress(ValueError):
    """Not an address mail can be sent to; the message says why."""


def new_code() -> str:
    """Six digits, each of the million codes as likely as any other."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def typed_code(text: str) -> str | None:
    """The code as a person typed it, without spaces and dashes; None if it is not six digits."""
    code = _SPACING.sub("", text)
    return code if _CODE.fullmatch(code) else None


def code_hash(keys: Keys, challenge: UUID, code: str) -> bytes:
    """What the record keeps of a code. A million codes are soon tried, so the key, not the hash, protects it."""
    return code_hashes(keys, challenge, code)[0]


def code_hashes(keys: Keys, challenge: UUID, code: str) -> tuple[bytes, ...]:
    """What the record may have kept of a code, which was perhaps sent before the secret changed: newest key first."""
    return tuple(keyed_hash(key, challenge.bytes, code) for key in keys.code)


def read_address(text: str, *, production: bool) -> Address:
    """An address as written and as it is looked up. Raises BadAddress.

    Only what every mail server takes for one mailbox gives one key: the domain's form, and the case of ASCII
    letters. Folding more (ß and ss, say) would let one mailbox prove another's account. Names such as `.test`
    pass in development only.
    """
    if len(text) > ADDRESS_CHARS_MAX:
        raise BadAddress("An email address has at most 254 characters.")
    try:
        valid = validate_email(text.strip(), check_deliverability=False, strict=True, test_environment=not production)
    except EmailNotValidError as error:
        raise BadAddress(str(error)) from error
    return Address(written=valid.normalized, key=valid.normalized.translate(LOWER))
