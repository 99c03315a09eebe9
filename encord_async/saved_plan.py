"""A plan in a file: what was reviewed, and a `Review` that lets a run do that and nothing else.

The file holds the steps by their identities, with digests of the manifest and of the state of the journal. It holds no
secret, and is for its owner alone. It never says what is in the account: the run looks again, and what it would do now
and did not then is not done.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import anyio.to_thread

from encord_async.engine.options import CHANGES, Options
from encord_async.errors import UsageError, many, spelt
from encord_async.manifest.files import read_manifest
from encord_async.manifest.place import PlacedEntry
from encord_async.manifest.sources import Manifest, manifest_file, with_variables
from encord_async.plainfile import open_plain, whole_file
from encord_async.plan import Action, Decided, Forecast, Verb, plan
from encord_async.session.session import Session
from encord_async.verify.surplus import surplus

if TYPE_CHECKING:
    from encord_async.journal.journal import Journal

__all__ = ["SavedPlan", "make_plan"]

_FORMAT: Final = "encord-async plan 1"
_MAX_BYTES: Final = 2**30
_DECIDING: Final = ("existing", "dataset_api", "max_batch", "stamp", "skip_invalid", *CHANGES)
"""The options that decide what a run does, besides the selection."""
_AGAIN: Final = "make a new plan with 'encord-async plan --out'"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What was reviewed.

    Attributes:
        domain: The service's address.
        account: A name of the account that may be shown.
        manifest: SHA-256 of what the manifest becomes, in hex.
        journal: Digest of what the journal held; empty if there was none, or nothing in it.
        options: Those that decide what a run does, by name.
        counts: The sums, for people.
        rows: How many data rows are removed, with their labels.
        rows_digest: A name for which these are; None if that was not asked for.
        steps: What each step that changes something does, by its identity.
    """

    domain: str
    account: str
    manifest: str
    journal: str
    options: Mapping[str, object]
    counts: Mapping[str, Mapping[str, int]]
    steps: Mapping[bytes, Decided] = field(repr=False)
    rows: int = 0
    rows_digest: str | None = None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The plan in the file at *path*.

        Raises:
            UsageError: It cannot be read, or is no plan.
        """
        try:
            with os.fdopen(open_plain(Path(path), os.O_RDONLY), encoding="utf-8") as file:
                head, _, rest = file.read(_MAX_BYTES).partition("\n")
            members = json.loads(head)
            if members.pop("format") != _FORMAT:
                raise ValueError("it is of another release")
            steps = dict(_step(json.loads(line)) for line in rest.splitlines())
            return cls(**members, steps=steps)
        except OSError as error:
            raise UsageError(f"the plan {path} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{path} is no plan of this release; {_AGAIN}") from None

    def write(self, path: str | Path) -> None:
        """Write it to a file for its owner alone, whole or not at all.

        Raises:
            UsageError: It cannot be written.
        """
        head = {"format": _FORMAT, **asdict(replace(self, steps={}))}
        del head["steps"]
        try:
            with whole_file(Path(path)) as file:
                file.write(json.dumps(head).encode() + b"\n")
                for identity, decided in self.steps.items():
                    file.write(json.dumps([identity.hex(), decided.verb.value, decided.found]).encode() + b"\n")
        except OSError as error:
            raise UsageError(f"the plan {path} cannot be written: {error.strerror or error}") from None

    # ------------------------------------------------------------------ the review

    def check_account(self, domain: str, account: str) -> None:
        """Refuse another account.

        Raises:
            UsageError: It is one.
        """
        if (domain, account) != (self.domain, self.account):
            raise UsageError(
                f"the plan is for {self.account} at {self.domain}, and this is {account} at {domain}; nothing was sent"
            )

    async def check(self, manifest: Manifest, options: Options, journal: "Journal | None") -> None:
        """See `Review`."""
        now = _deciding(options)
        for name, given in now.items():
            planned = self.options.get(name, "")
            if given != planned:
                raise UsageError(
                    f"the plan was made with {_said(name, planned)}, and this run is with {_said(name, given)}; "
                    f"{_AGAIN}, or give the same options"
                )
        if options.prunes_data and options.prune_data != self.rows:
            agreed = many(options.prune_data, "was agreed to", "were agreed to")
            rows = many(self.rows, "data row", "data rows")
            raise UsageError(f"the plan removes {rows}, and {agreed}; {_AGAIN}")
        if await anyio.to_thread.run_sync(_digest, manifest) != self.manifest:
            raise UsageError(f"the manifest has changed since the plan was made; {_AGAIN}")
        if ("" if journal is None else await journal.state_digest()) != self.journal:
            raise UsageError(
                f"the journal is another one, or has changed since the plan was made, as by carrying that out; {_AGAIN}"
            )

    def allows(self, identity: bytes, verb: str, found: str | None = None) -> bool:
        """See `Review`."""
        planned = self.steps.get(identity)
        if planned is None:
            return False
        # What was in doubt may turn out either way.
        return planned.verb is Verb.SETTLE or (planned.verb.value == verb and planned.found == found)

    def knows(self, identity: bytes) -> bool:
        """See `Review`."""
        return identity in self.steps

    def refuses(self, identity: bytes) -> bool:
        """See `Review`."""
        planned = self.steps.get(identity)
        return planned is not None and planned.verb is Verb.REFUSE


async def make_plan(
    session: Session,
    manifest: Manifest,
    options: Options,
    *,
    journal: "Journal | None",
    on_action: Callable[[Action], None],
    out: str | Path | None,
    on_read: Callable[[], None] = lambda: None,
) -> Forecast:
    """`plan`, kept in the file *out* if one is given.

    Raises as that, and `UsageError` if it cannot be kept, or if the manifest is no file, so that nobody could tell
    whether it is the same one later.
    """
    manifest = with_variables(manifest)
    if options.prunes_data:
        options = replace(options, prune_data=True)
    sequel = surplus(manifest, options)
    steps: dict[bytes, Decided] = {}

    def titled(action: Action) -> None:
        on_action(action if sequel is None else action.titled(sequel.titles))

    forecast = await plan(
        session,
        manifest,
        options,
        journal=journal,
        on_action=titled,
        on_step=steps.__setitem__ if out is not None else lambda _identity, _decided: None,
        on_read=on_read,
        sequel=sequel,
    )
    if sequel is not None:
        forecast.retired, forecast.rows, forecast.rows_digest = sequel.retired, sequel.rows, sequel.rows_digest
    if out is not None:
        saved = SavedPlan(
            domain=session.settings.domain,
            account=session.identity,
            manifest=await anyio.to_thread.run_sync(_digest, manifest),
            journal="" if journal is None else await journal.state_digest(),
            options=_deciding(options),
            counts=forecast.as_json(),
            steps=steps,
            rows=forecast.rows,
            rows_digest=forecast.rows_digest,
        )
        await anyio.to_thread.run_sync(saved.write, out)
    return forecast


def _deciding(options: Options) -> dict[str, object]:
    chosen = {name: ", ".join(getattr(options.selection, name)) for name in ("only", "exclude")}
    # How many data rows are removed is not for the options to say.
    return {name: getattr(options, name) for name in _DECIDING} | chosen | {"prune_data": options.prunes_data}


def _said(name: str, value: object) -> str:
    return f"no {name}" if value == "" else spelt(name, value)


def _step(line: Any) -> tuple[bytes, Decided]:
    identity, verb, found = line
    return bytes.fromhex(identity), Decided(Verb(verb), found)


def _digest(manifest: Manifest) -> str:
    """SHA-256 of what *manifest* becomes, whatever files and variables that hangs on."""
    file = manifest_file(manifest)
    if file is None:
        raise UsageError("a plan is kept for a manifest in a file; entries from elsewhere may be others the next time")
    digest = hashlib.sha256()
    for item in read_manifest(file):
        text = str(item)
        if isinstance(item, PlacedEntry):
            text = f"{item.entry.model_dump_json()} {item.entry.rows_digest()}"
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()
