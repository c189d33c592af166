"""Mail by SMTP."""

from __future__ import annotations

import aiosmtplib

from engine.identity.mailer import Mail, MailFailed, as_message
from engine.settings import Settings

SMTP_SECONDS = 10.0


class SmtpMailer:
    """Sends each mail over a connection of its own: codes are rare, and idle connections go stale."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> None:
        """Hand the mail to the server. Raises MailFailed; a 5xx answer is for good."""
        settings = self._settings
        try:
            await aiosmtplib.send(
                as_message(mail, settings.mail_from),
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_user or None,
                password=settings.smtp_password or None,
                use_tls=settings.smtp_tls == "tls",
                start_tls=settings.smtp_tls == "starttls",
                timeout=SMTP_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            raise MailFailed(again=all(one.code < 500 for one in refused.recipients)) from None
        except aiosmtplib.SMTPResponseException as answered:
            raise MailFailed(again=answered.code < 500) from None
        except aiosmtplib.SMTPNotSupported:
            raise MailFailed(again=False) from None  # such a server takes no mailbox in other letters than ASCII's
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            raise MailFailed(again=True) from None
