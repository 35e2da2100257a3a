"""The channels that the settings name."""

from __future__ import annotations

from pydantic import SecretStr

from settings import Settings
from tasks.discord import DiscordSender
from tasks.mail import MailSender, MailServer
from tasks.sending import Sender
from tasks.webhook import WebhookSender


def senders_of(settings: Settings) -> tuple[Sender, ...]:
    """One sender for each channel that has an address."""
    found: list[Sender] = []
    if url := _open(settings.discord_webhook_url):
        found.append(DiscordSender(url))
    if settings.smtp_host:
        found.append(MailSender(_mail_server(settings, settings.smtp_host)))
    if url := _open(settings.webhook_url):
        found.append(WebhookSender(url, _open(settings.webhook_secret)))
    return tuple(found)


def _mail_server(settings: Settings, host: str) -> MailServer:
    return MailServer(
        host=host,
        port=settings.smtp_port,
        sender=settings.email_from,
        recipients=settings.email_to,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=_open(settings.smtp_password),
    )


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() or None if secret is not None else None
