"""What an observer is told of a reply: its status, and of its headers those that say what clock and limits are."""

from encord_async.protocol.reply import RawReply
from encord_async.session.clock import SystemClock
from encord_async.session.observer import Attempt, Beginning, Watcher


class Notes:
    """Keeps the attempts."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def started(self, beginning: Beginning) -> None:
        """Nothing to keep."""

    def attempted(self, _: None, attempt: Attempt) -> None:
        """Keep it."""
        self.attempts.append(attempt)

    def ended(self, _: None, error: BaseException | None) -> None:
        """Nothing to keep."""

    def in_doubt(self, kind: str) -> None:
        """Nothing to keep."""


async def test_an_observer_sees_clock_and_limits_and_no_other_header() -> None:
    """A cookie that a service sets is a secret and not shown; an attempt without a reply has no headers of the last."""
    notes = Notes()
    beginning = Beginning(
        operation="project.GET", domain="http://127.0.0.1", method="POST", path_template=None, trace_id="0"
    )
    watch = Watcher(notes, SystemClock()).watch(beginning)
    headers = {"Date": "now", "Set-Cookie": "secret", "X-RateLimit-Remaining": "7", "RateLimit": "5", "Server": "x"}

    async def replied() -> None:
        watch.note(RawReply(429, headers, b""))

    async def silent() -> None:
        pass

    async def operation() -> None:
        await watch.attempt(replied())
        await watch.attempt(silent())

    await watch.operation(operation())
    first, second = notes.attempts
    assert (first.http_status, dict(first.reply_headers)) == (
        429,
        {"date": "now", "x-ratelimit-remaining": "7", "ratelimit": "5"},
    )
    assert (second.http_status, dict(second.reply_headers)) == (None, {})
