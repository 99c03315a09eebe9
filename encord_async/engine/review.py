"""What a run is held to that was reviewed beforehand. It says what may be done, and never does anything.

The run asks before each step is carried out; what keeps the answers is in ``saved_plan``.
"""

from typing import TYPE_CHECKING, Protocol

from encord_async.errors import ConflictError
from encord_async.kinds.step import Step

if TYPE_CHECKING:
    from encord_async.engine.options import Options
    from encord_async.journal.journal import Journal
    from encord_async.manifest.sources import Manifest

__all__ = ["Review", "planned_refusal", "refusal"]


class Review(Protocol):
    """A plan that somebody has agreed to."""

    async def check(self, manifest: "Manifest", options: "Options", journal: "Journal | None") -> None:
        """Look whether the run is the one that was reviewed; before anything is sent.

        Raises:
            UsageError: It is not, and in what it differs.
        """
        ...

    def allows(self, identity: bytes, verb: str, found: str | None = None) -> bool:
        """Whether the step with *identity* may be done in this way, to what has the hash *found*."""
        ...

    def knows(self, identity: bytes) -> bool:
        """Whether the plan changes anything for the step with *identity*, or refuses it."""
        ...

    def refuses(self, identity: bytes) -> bool:
        """Whether the plan refuses the step with *identity*."""
        ...


def refusal(review: Review, step: Step, what: str) -> ConflictError:
    """What is said of a step that would do something that is not in the plan."""
    if review.refuses(step.identity):
        return planned_refusal(step)
    return ConflictError(
        f"{step.kind.said} {step.item!r}: {what}, and that is not in the plan; "
        "the account has changed since: make a new plan",
        code="NOT_PLANNED",
    )


def planned_refusal(step: Step) -> ConflictError:
    """What is said of a step that the plan itself refuses."""
    return ConflictError(
        f"{step.kind.said} {step.item!r}: the plan refuses it, and nothing was sent for it; "
        "'encord-async plan' says why and what to do",
        code="NOT_PLANNED",
    )
