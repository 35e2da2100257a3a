"""Mail and webhook against servers that take, limit, refuse and hang; each in its own time."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from learning import alert_text as say
from learning.alert import Alert
from learning.alert_rules import AlertRules
from settings import Settings
from storage import channels, deliveries, outbox
from storage.database import open_engine, reading, writing
from storage.outbox import Entry
from storage.tables import metadata
from tasks.alerts import deliver
from tasks.discord import DiscordSender
from tasks.mail import MailSender, MailServer
from tasks.senders import senders_of
from tasks.sending import Dropped, Failed, Link, Message, RetryAfter, Sent, SwitchedOff
from tasks.webhook import WebhookSender
from tests.fakes import smtp
from tests.fakes.certificates import make_certificates
from tests.fakes.discord import DRIP, Answer, running_discord
from tests.fakes.discord import HANG as SILENCE
from tests.fakes.smtp import FakeSmtp, running_smtp
from tests.fakes.webhook import FakeWebhook, running_webhook

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERYWHERE = AlertRules(discord="info", email="info", webhook="info")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'perennial.db'}")
    metadata.create_all(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def mail() -> Iterator[FakeSmtp]:
    with running_smtp() as fake:
        yield fake


@pytest.fixture
def hook() -> Iterator[FakeWebhook]:
    with running_webhook() as fake:
        yield fake


def server(fake: FakeSmtp, **changes: Any) -> MailServer:
    known: dict[str, Any] = {"security": "plain", "recipients": ("ada@example.org",), **changes}
    return MailServer("127.0.0.1", fake.port, "perennial@example.org", **known)


def message(alert: Alert | None = None, picture: bytes | None = None) -> Message:
    alert = alert or say.drift_found(3, 0.4, 4, 10, 0.1, [])
    entry = Entry(1, "run-1:drift_found", "churn", alert, "opened", 2, "waiting", NOW, NOW)
    return Message(entry, (Link("Drift report", "http://127.0.0.1:8000/drift/report"),), picture)


def test_a_mail_tells_the_alert_with_its_numbers_links_and_picture(mail: FakeSmtp) -> None:
    sender = MailSender(server(mail, recipients=("ada@example.org", "bo@example.org")))
    assert sender.send(message(picture=b"\x89PNG"), 5.0) == Sent()
    (taken,) = mail.mails
    assert mail.recipients == [["ada@example.org", "bo@example.org"]]
    assert taken["Subject"] == "[churn] warning: Data drift: 4 of 10 features"
    body = taken.get_body()
    assert body is not None
    text = body.get_content()
    assert "drift_share 0.4 > 0.1: 4 of 10 testable features drifted" in text
    assert "To do: Look at the drift report" in text
    assert "Happened again: 2 times before this was sent" in text
    assert "Drift report: http://127.0.0.1:8000/drift/report" in text
    (picture,) = taken.iter_attachments()
    assert picture.get_content() == b"\x89PNG"


def test_mails_of_one_incident_form_a_thread(mail: FakeSmtp) -> None:
    sender = MailSender(server(mail))
    for alert in (say.drift_found(3, 0.4, 4, 10, 0.1, []), say.drift_over(3, 0.0, "none drifted")):
        sender.send(message(alert), 5.0)
    first, second = mail.mails
    assert first["References"] == second["References"]


def test_a_title_can_add_no_header(mail: FakeSmtp) -> None:
    alert = Alert("k", "info", "a\r\nBcc: eve@example.org", "x")
    assert MailSender(server(mail)).send(message(alert), 5.0) == Sent()
    assert mail.mails[0]["Bcc"] is None
    assert mail.recipients == [["ada@example.org"]]


@pytest.mark.parametrize(
    ("say", "outcome"),
    [
        (
            {"RCPT": "550 who"},
            SwitchedOff("PERENNIAL_EMAIL_TO was refused (550) by the mail server"),
        ),
        ({"RCPT": "451 later"}, Failed("the mail server answered 451")),
        ({"MAIL": "553 no"}, SwitchedOff("PERENNIAL_EMAIL_FROM: refused (553) by the mail server")),
        ({"DATA": "554 spam"}, Dropped("the mail server answered 554")),
        ({"DATA": "452 full"}, Failed("the mail server answered 452")),
    ],
)
def test_what_a_mail_server_refuses_says_what_to_mend(
    mail: FakeSmtp, say: dict[str, str], outcome: object
) -> None:
    mail.say = say
    assert MailSender(server(mail)).send(message(), 5.0) == outcome


def test_a_wrong_password_switches_off_and_is_not_told(mail: FakeSmtp) -> None:
    mail.say = {"AUTH": "535 secret-pass is wrong"}
    sender = MailSender(server(mail, user="ada", password="secret-pass"))
    outcome = sender.send(message(), 5.0)
    assert isinstance(outcome, SwitchedOff)
    assert "PERENNIAL_SMTP_PASSWORD: refused (535)" in outcome.reason
    assert "secret-pass" not in outcome.reason


def test_a_server_without_starttls_gets_no_mail_in_the_open(mail: FakeSmtp) -> None:
    outcome = MailSender(server(mail, security="starttls")).send(message(), 5.0)
    assert isinstance(outcome, SwitchedOff)
    assert "PERENNIAL_SMTP_SECURITY" in outcome.reason
    assert mail.mails == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_and_password_go_encrypted_to_a_server_that_is_who_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    trusted, context = make_certificates(tmp_path)
    with running_smtp(context, is_tls=security == "tls") as fake:
        sender = MailSender(server(fake, security=security, user="ada", password="secret-pass"))

        stranger = sender.send(message(), 5.0)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        known = sender.send(message(), 5.0)

    assert isinstance(stranger, SwitchedOff)
    assert "certificate is not valid" in stranger.reason
    assert known == Sent()
    assert len(fake.mails) == 1
    assert fake.encrypted in (["TLSv1.3"], ["TLSv1.2"])
    assert fake.verbs.count("AUTH") == 1


def test_a_mail_server_that_hangs_or_is_gone_is_tried_again_later(mail: FakeSmtp) -> None:
    mail.say = {"MAIL": smtp.HANG}
    assert isinstance(MailSender(server(mail)).send(message(), 0.2), Failed)
    with running_smtp() as gone:
        nobody = MailSender(server(gone))
    assert nobody.send(message(), 5.0) == Failed("ConnectionRefusedError")


@pytest.mark.parametrize("recipients", [(), ("no address",), ("a@b\r\nBcc: eve@x",)])
def test_recipients_that_are_none_switch_off(mail: FakeSmtp, recipients: tuple[str, ...]) -> None:
    outcome = MailSender(server(mail, recipients=recipients)).send(message(), 5.0)
    assert isinstance(outcome, SwitchedOff)
    assert "PERENNIAL_EMAIL_TO" in outcome.reason


def test_a_webhook_gets_the_alert_as_json_signed_with_the_secret(hook: FakeWebhook) -> None:
    assert WebhookSender(hook.url, "s3cret").send(message(), 5.0) == Sent()
    (body,), (headers,) = hook.bodies, hook.headers
    told = json.loads(body)
    assert (told["event_id"], told["kind"], told["phase"]) == (
        "run-1:drift_found",
        "drift_found",
        "opened",
    )
    assert told["links"] == {"Drift report": "http://127.0.0.1:8000/drift/report"}
    assert told["fields"]["Drift share"] == "0.4"
    signed = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Perennial-Signature"] == f"sha256={signed}"
    assert headers["Idempotency-Key"] == "run-1:drift_found"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(429, b"", {"Retry-After": "7"}), RetryAfter(7.0)),
        (Answer(503), Failed("the webhook answered 503")),
        (Answer(400), Dropped("the webhook answered 400")),
        (
            Answer(404),
            SwitchedOff(
                "PERENNIAL_WEBHOOK_URL was refused (404): the webhook does not exist any more"
            ),
        ),
        (
            Answer(302, b"", {"Location": "http://127.0.0.1:9/"}),
            SwitchedOff(
                "PERENNIAL_WEBHOOK_URL answers with a redirect; use the address that "
                "the webhook shows"
            ),
        ),
    ],
)
def test_what_a_webhook_answers_means_the_same_as_for_discord(
    hook: FakeWebhook, answer: Answer, outcome: object
) -> None:
    hook.script = [answer]
    assert WebhookSender(hook.url).send(message(), 5.0) == outcome


@pytest.mark.parametrize("answer", [SILENCE, DRIP])
def test_a_webhook_that_does_not_answer_is_left_behind(hook: FakeWebhook, answer: Answer) -> None:
    hook.script = [answer]
    assert isinstance(WebhookSender(hook.url).send(message(), 0.2), Failed)


def test_a_channel_that_is_down_holds_up_no_other(
    engine: Engine, mail: FakeSmtp, hook: FakeWebhook
) -> None:
    with writing(engine) as connection:
        for number in range(2):
            alert = say.retrain_started("manual", f"number {number}")
            outbox.post(connection, "churn", alert, f"e{number}", NOW, None, EVERYWHERE)
    with running_discord() as discord:
        discord.script = [SILENCE]
        hook.script = [Answer(404)]
        senders = [DiscordSender(discord.url), MailSender(server(mail)), WebhookSender(hook.url)]
        told = deliver(engine, senders, NOW, 1.0)
        assert (told.sent, told.waiting, set(told.off)) == (2, 2, {"webhook"})
        with reading(engine) as connection:
            waiting = [one.entry.event_id for one in deliveries.due(connection, "discord", None)]
            hook_channel = channels.find_channel(connection, "webhook")
        assert waiting == ["e0", "e1"]
        assert hook_channel is not None
        assert not hook_channel.is_enabled
        later = deliver(engine, senders, NOW + timedelta(hours=1))
        assert (later.sent, later.waiting) == (2, 0)
        assert len(mail.mails) == 2
    with reading(engine) as connection:
        assert {entry.state for entry in outbox.latest(connection, "churn")} == {"sent"}


def test_the_settings_name_the_channels(tmp_path: Path) -> None:
    def of(**known: Any) -> list[str]:
        settings = Settings(_env_file=None, home=tmp_path, **known)  # type: ignore[call-arg]
        return [sender.name for sender in senders_of(settings)]

    assert of() == []
    assert of(discord_webhook_url="", webhook_url="") == []
    assert of(discord_webhook_url="http://d/") == ["discord"]
    assert of(smtp_host="mail", email_to="a@b.org, c@d.org", webhook_url="http://h/") == [
        "email",
        "webhook",
    ]
