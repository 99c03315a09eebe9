"""The tree of errors. Its first branch answers what a bulk caller has to know: may it have happened?

    EncordError
      NotAppliedError             the service did not act
        UsageError                nothing was sent; the message ends in what to do
          SettingsError
          KeyFormatError
          ManifestError
          MissingExtraError
          UnencodableError
          JournalError            the journal cannot be used
            JournalBusyError      another process uses it
            JournalMismatchError  it belongs to another account or service
        NotSentError              the network failed before a byte of the request left
        DeadlineError             the caller's own time ran out before a request was sent
        StoppedError              the run was stopped before a request was sent
        BlockedError              an entry was not tried, because what it needs did not come about
        ConflictError             the account holds what contradicts the manifest, and the API cannot change it
        RefusedError              the service answered no
          AuthenticationError     no call with this credential will do better
          ForbiddenError
          NotFoundError
          ExistsError
          InvalidArgumentsError
          PayloadTooLargeError
          ThrottledError          too many requests; ``retry_after_s`` if the service said
      UncertainError              no answer, or none that can be read: it may have happened
        NoReplyError              time-out, or connection lost after sending
        ServiceFaultError         5xx, or an error code that says the service broke down
        UnreadableReplyError      an answer that is no envelope
      AppliedError                the service acted
        ReplyShapeError           and said so, but in a shape we do not understand

Nothing here holds a key, a token or a request body, so that an error can be logged as it is: each message goes through
`encord_async.redaction.redacted`.
"""

from typing import ClassVar, Literal, TypeAlias

from encord_async.redaction import redacted

__all__ = [
    "AppliedError",
    "AuthenticationError",
    "BlockedError",
    "ConflictError",
    "DeadlineError",
    "EncordError",
    "ExistsError",
    "ForbiddenError",
    "InvalidArgumentsError",
    "JournalBusyError",
    "JournalError",
    "JournalMismatchError",
    "KeyFormatError",
    "ManifestError",
    "MissingExtraError",
    "NoReplyError",
    "NotAppliedError",
    "NotFoundError",
    "NotSentError",
    "PayloadTooLargeError",
    "RefusedError",
    "ReplyShapeError",
    "ServiceFaultError",
    "SettingsError",
    "StoppedError",
    "ThrottledError",
    "UncertainError",
    "UnencodableError",
    "UnreadableReplyError",
    "UsageError",
]

Applied: TypeAlias = Literal["not_applied", "applied", "unknown"]
"""Whether the request that failed may have taken effect on the service."""


def spelt(option: str, value: object) -> str:
    """An option as a message names it: as it is given in Python. Whoever shows it elsewhere spells it as there."""
    return f'{option}="{value}"' if isinstance(value, str) else f"{option}={value!r}"


def many(number: int, one: str, more: str) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else more}"


def an(noun: str) -> str:
    """A noun with its article."""
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


class EncordError(Exception):
    """Base of every error raised here; never raised itself.

    Attributes:
        applied: Whether the request may have taken effect.
        code: The service's own error code, such as ``RESOURCE_NOT_FOUND_ERROR``, if it gave one.
        http_status: HTTP status of the reply, if there was one.
        retry_after_s: The wait in seconds that the service asked for, if it did.
        trace_id: Trace id sent with the request; Encord's support finds the call by it.
        operation: Name of the call, for example ``project.POST``.
    """

    applied: ClassVar[Applied]

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        trace_id: str | None = None,
        operation: str | None = None,
    ) -> None:
        self.message = redacted(message)
        super().__init__(self.message)
        self.code = code
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.trace_id = trace_id
        self.operation = operation

    def __str__(self) -> str:
        facts = (
            self.operation,
            self.code,
            f"HTTP {self.http_status}" if self.http_status is not None else None,
            f"trace {self.trace_id}" if self.trace_id else None,
        )
        known = ", ".join(fact for fact in facts if fact)
        return f"{self.message} ({known})" if known else self.message


class NotAppliedError(EncordError):
    """The service did not act: sending the same again cannot do anything twice."""

    applied: ClassVar[Applied] = "not_applied"


class UsageError(NotAppliedError):
    """The caller asked for something impossible; nothing was sent."""


class SettingsError(UsageError):
    """A setting has a value that cannot work."""


class KeyFormatError(UsageError):
    """A private key is missing or is not an Ed25519 key in OpenSSH format."""


class ManifestError(UsageError):
    """A manifest cannot be read, or has entries that cannot be provisioned.

    Attributes:
        problems: What is wrong with which entry, as far as single entries are at fault.
    """

    def __init__(self, message: str, *, problems: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class MissingExtraError(UsageError, ImportError):
    """A feature needs packages of an extra that is not installed."""


class UnencodableError(UsageError):
    """A payload holds something that JSON cannot carry."""


class JournalError(UsageError):
    """The journal cannot be read or written; nothing is sent that is not recorded."""


class JournalBusyError(JournalError):
    """Another process uses the journal."""


class JournalMismatchError(JournalError):
    """The journal belongs to another account or another service."""


class NotSentError(NotAppliedError):
    """No connection: the network failed before a byte of the request left."""


class DeadlineError(NotAppliedError):
    """The operation's deadline passed while no request of it was under way."""


class StoppedError(NotAppliedError):
    """The run was stopped before a request was sent."""


class BlockedError(NotAppliedError):
    """An entry was not tried, because something that it needs did not come about."""


class ConflictError(NotAppliedError):
    """The account holds something that contradicts the manifest, and that this API cannot change."""


class RefusedError(NotAppliedError):
    """The service answered that it will not do this."""


class AuthenticationError(RefusedError):
    """The credential is not accepted; no other call with it will be either."""


class ForbiddenError(RefusedError):
    """The caller has no access, or the API key lacks the scope."""


class NotFoundError(RefusedError):
    """No such resource."""


class ExistsError(RefusedError):
    """It is there already."""


class InvalidArgumentsError(RefusedError):
    """The service does not accept an argument, a method or the body."""


class PayloadTooLargeError(RefusedError):
    """The body is larger than the service takes."""


class ThrottledError(RefusedError):
    """Too many requests; see ``retry_after_s``."""


class UncertainError(EncordError):
    """The request was, or may have been, sent and no readable answer came: it may have happened.

    Attributes:
        is_answer: Whether the service itself said so, and is done with the request. What a proxy says that waits no
            longer is no answer: the service may still be at work.
    """

    applied: ClassVar[Applied] = "unknown"
    is_answer: bool = False


class NoReplyError(UncertainError):
    """Time-out or lost connection after the request may have left."""


class ServiceFaultError(UncertainError):
    """The service, or a proxy before it, broke down; see ``retry_after_s``."""


class UnreadableReplyError(UncertainError):
    """An answer came that is no envelope: empty, cut short, too large, or not JSON."""


class AppliedError(EncordError):
    """The service acted; what came back is the problem."""

    applied: ClassVar[Applied] = "applied"


class ReplyShapeError(AppliedError):
    """The service reported success in a shape that is not understood."""
