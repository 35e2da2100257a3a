"""Sends alerts by e-mail (SMTP)."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from tasks.sending import Dropped, Failed, Message, Outcome, Sent, SwitchedOff, bounded

Security = Literal["starttls", "tls", "plain"]
OUR_DOMAIN = "perennial.invalid"
SUBJECT_LENGTH = 200


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in, from whom and to whom."""

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    security: Security = "starttls"
    user: str | None = None
    password: str | None = None


class MailSender:
    """A mail server that takes our alerts."""

    name = "email"

    def __init__(self, server: MailServer) -> None:
        self.server = server

    @property
    def identity(self) -> str:
        """All of its settings: another of any switches the channel on again."""
        return repr(self.server)

    def send(self, message: Message, timeout_seconds: float) -> Outcome:
        """What the server said to one alert; never raises."""
        server = self.server
        if not server.recipients:
            return SwitchedOff("PERENNIAL_EMAIL_TO names nobody")
        try:
            mail = compose(message, server)
        except ValueError:
            return SwitchedOff("PERENNIAL_EMAIL_FROM or PERENNIAL_EMAIL_TO is no mail address")
        return bounded(lambda: _hand_in(mail, server, timeout_seconds), timeout_seconds)


def compose(message: Message, server: MailServer) -> EmailMessage:
    """The mail for an alert; messages of one incident form a thread.

    Raises ValueError when an address is none.
    """
    entry, alert = message.entry, message.entry.alert
    mail = EmailMessage()
    mail["Subject"] = f"[{entry.problem}] {alert.severity}: {alert.title}"[:SUBJECT_LENGTH]
    mail["From"] = _address(server.sender)
    mail["To"] = tuple(_address(one) for one in server.recipients)
    mail["Date"] = format_datetime(entry.created_at)
    mail["Message-ID"] = _message_id(entry.event_id)
    if alert.incident is not None:
        mail["References"] = _message_id(f"{entry.problem}/{alert.incident}")
    mail["Auto-Submitted"] = "auto-generated"
    lines = [alert.text, "", *(f"{name}: {value}" for name, value in alert.fields.items())]
    if entry.repeats and entry.phase != "closed":
        lines.append(f"Happened again: {entry.repeats} times before this was sent")
    lines += ["", *(f"{link.label}: {link.url}" for link in message.links)]
    lines += ["", f"{entry.problem} · {entry.event_id}", ""]
    mail.set_content("\n".join(lines), cte="quoted-printable")
    if message.picture is not None:
        mail.add_attachment(message.picture, "image", "png", filename="metric.png")
    return mail


def _address(text: str) -> Address:
    return Address(addr_spec=text)


def _message_id(name: str) -> str:
    return f"<{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:32]}@{OUR_DOMAIN}>"


def _hand_in(mail: EmailMessage, server: MailServer, timeout_seconds: float) -> Outcome:
    try:
        with _connect(server, timeout_seconds) as client:
            if server.user is not None:
                client.login(server.user, server.password or "")
            client.send_message(mail, server.sender, list(server.recipients))
        return Sent()
    except smtplib.SMTPRecipientsRefused as error:
        # Raised only when nobody of them is known there.
        code = min(code for code, _ in error.recipients.values())
        if code < 500:
            return Failed(f"the mail server answered {code}")
        return SwitchedOff(f"PERENNIAL_EMAIL_TO was refused ({code}) by the mail server")
    except smtplib.SMTPAuthenticationError as error:
        return _refused(error.smtp_code, "PERENNIAL_SMTP_USER and PERENNIAL_SMTP_PASSWORD")
    except smtplib.SMTPSenderRefused as error:
        return _refused(error.smtp_code, "PERENNIAL_EMAIL_FROM")
    except smtplib.SMTPNotSupportedError:
        return SwitchedOff(
            "PERENNIAL_SMTP_SECURITY: the mail server does not know what is asked of it "
            f"({server.security}{' and a login' if server.user else ''})"
        )
    except ssl.SSLCertVerificationError:
        return SwitchedOff("PERENNIAL_SMTP_HOST: the mail server's certificate is not valid")
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:
            return Dropped(f"the mail server answered {error.smtp_code}")
        return Failed(f"the mail server answered {error.smtp_code}")


def _refused(code: int, setting: str) -> Outcome:
    """4xx passes by itself, 5xx does not."""
    if code < 500:
        return Failed(f"the mail server answered {code}")
    return SwitchedOff(f"{setting}: refused ({code}) by the mail server")


def _connect(server: MailServer, timeout_seconds: float) -> smtplib.SMTP:
    if server.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_seconds, context=context)
    client = smtplib.SMTP(server.host, server.port, timeout=timeout_seconds)
    if server.security == "starttls":
        try:
            client.starttls(context=ssl.create_default_context())
        except BaseException:
            client.close()
            raise
    return client
