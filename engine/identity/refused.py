"""Why somebody was not let in, as one exception; the web makes the answer of it."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Each is a stable code. None tells whether an address is known."""

    BAD_ADDRESS = "bad_address"
    BAD_CODE = "bad_code"
    """Not six digits: nothing was tried."""
    TOO_SOON = "too_soon"
    TOO_MANY = "too_many"
    CODE_WRONG = "code_wrong"
    CODE_OVER = "code_over"
    CODE_BURNED = "code_burned"
    SIGNED_OUT = "signed_out"
    """No token, or none that is good: sign in."""
    GOOGLE_REFUSED = "google_refused"
    PROOF_NEEDED = "proof_needed"
    """Google is not the authority on this address: prove it by a code."""
    AWAY = "away"
    """Mail or Google cannot be reached; later it may."""


class SignInRefused(Exception):
    """Somebody was not let in."""

    def __init__(
        self,
        reason: Reason,
        message: str = "",
        *,
        retry_seconds: int | None = None,
        tries_left: int | None = None,
    ) -> None:
        super().__init__(message or reason.value)
        self.reason, self.message = reason, message
        self.retry_seconds, self.tries_left = retry_seconds, tries_left
