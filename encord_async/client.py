"""The front door: `EncordSession`, which has a method for each call of the service and these for whole manifests.

Only names and defaults live here; the work is done in ``session/`` and ``engine/``.
"""

import contextlib
import functools
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import anyio
import anyio.to_thread

from encord_async.calls import Calls
from encord_async.errors import UsageError
from encord_async.project import ProjectHandle
from encord_async.protocol.signing import APIKey, BearerToken, SSHKey
from encord_async.redaction import quoted
from encord_async.secrecy import SecretText, sealed, wrapped
from encord_async.session.environment import ENV_CA_BUNDLE, ENV_DOMAIN, is_key_text, key_from_env
from encord_async.session.observer import Observer
from encord_async.session.settings import Settings

if TYPE_CHECKING:
    from encord_async.engine.account import Existing
    from encord_async.engine.options import Changes, FailureLimit, Options
    from encord_async.engine.run import Run
    from encord_async.export import Exported, LeftOut
    from encord_async.journal.journal import Journal
    from encord_async.kinds.entry import Entry
    from encord_async.kinds.thing import DatasetAPI
    from encord_async.manifest.files import CheckReport
    from encord_async.manifest.selection import Selection
    from encord_async.manifest.sources import Manifest
    from encord_async.plan import Action, Forecast
    from encord_async.saved_plan import SavedPlan
    from encord_async.verify.compare import Report
    from encord_async.verify.difference import Difference

__all__ = ["EncordSession", "ProjectHandle"]

T = TypeVar("T")
OptionT = TypeVar("OptionT", bound=StrEnum)


class EncordSession(Calls):
    """A session with the Encord API; use it as ``async with`` and share it between tasks.

    Examples:
        >>> async def main() -> str:
        ...     async with EncordSession.from_ssh_key("~/.ssh/encord") as session:
        ...         return await session.create_project("Cats")

    `provision` starts a run, which gives an outcome for each entry of a manifest, in the order in which they end:

    Examples:
        >>> async def many(session: EncordSession) -> None:
        ...     async with session.provision("programme.jsonl", journal="run.db") as run:
        ...         async for outcome in run:
        ...             print(outcome.place, outcome.status)
        ...     print(run.summary.as_json())
    """

    @classmethod
    @sealed
    def from_ssh_key(
        cls,
        key: SecretText | Path | SSHKey,
        *,
        passphrase: SecretText | None = None,
        settings: Settings | None = None,
        domain: str | None = None,
        concurrency: int | None = None,
        observer: Observer[Any] | None = None,
    ) -> Self:
        """A session that signs with an OpenSSH Ed25519 private key.

        Args:
            key: Path of the key file, or the text of the key; texts and passphrases may also be pydantic's `SecretStr`.
            passphrase: For a key that has one.
            settings: All settings; *domain* and *concurrency* override their fields.
            domain: See `Settings.domain`.
            concurrency: See `Settings.concurrency`.
            observer: Is told of each operation and each sending, for traces and metrics; see `encord_async.otel`.

        Raises:
            KeyFormatError: The key cannot be used.
            SettingsError: A setting cannot work.
        """
        if not isinstance(key, SSHKey):
            text = str(key) if isinstance(key, Path) else wrapped(key).reveal()
            load = SSHKey.from_text if is_key_text(text) else SSHKey.from_path
            key = load(text, passphrase=passphrase)
        return cls(key, _with(settings, domain, concurrency), observer=observer)

    @classmethod
    @sealed
    def from_bearer_token(
        cls,
        token: SecretText,
        *,
        settings: Settings | None = None,
        domain: str | None = None,
        concurrency: int | None = None,
        observer: Observer[Any] | None = None,
    ) -> Self:
        """A session that authenticates with a bearer token. Arguments and errors as `from_ssh_key`."""
        return cls(BearerToken(token), _with(settings, domain, concurrency), observer=observer)

    @classmethod
    @sealed
    def from_env(
        cls,
        *,
        settings: Settings | None = None,
        domain: str | None = None,
        concurrency: int | None = None,
        environ: Mapping[str, str] | None = None,
        observer: Observer[Any] | None = None,
    ) -> Self:
        """A session from the variables that users of Encord's SDK have set.

        ``ENCORD_SSH_KEY_FILE`` is looked at first, then ``ENCORD_SSH_KEY``; ``ENCORD_DOMAIN`` applies unless
        *domain* is given. Ours are ``ENCORD_SSH_KEY_PASSPHRASE`` and, as the SDK since 0.1.211,
        ``REQUESTS_CA_BUNDLE``.

        Raises:
            KeyFormatError: Neither variable is set, or the key cannot be used.
            SettingsError: A setting cannot work.
        """
        env = os.environ if environ is None else environ
        key = key_from_env(env)
        settings = settings or Settings()
        if settings.ca_bundle is None and env.get(ENV_CA_BUNDLE):
            settings = replace(settings, ca_bundle=Path(env[ENV_CA_BUNDLE]))
        return cls(key, _with(settings, domain or env.get(ENV_DOMAIN) or None, concurrency), observer=observer)

    @sealed
    def project(self, project_hash: str, *, api_key: SecretText | None = None) -> ProjectHandle:
        """A handle on one project; sends nothing.

        Calls of the handle are signed with the session's key, or authenticated with *api_key* if given.
        """
        return ProjectHandle(self, project_hash, None if api_key is None else APIKey(api_key))

    @sealed
    def provision(
        self,
        manifest: "Manifest",
        *,
        journal: str | Path | None = "beside",
        existing: "Existing | str" = "adopt",
        dataset_api: "DatasetAPI | str" = "rest",
        max_batch: int = 1000,
        settle_s: float = 60.0,
        stamp: bool = False,
        fail_fast: bool = False,
        max_failures: int | str | None = None,
        skip_invalid: bool = False,
        only: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        plan: str | Path | None = None,
        variables: Mapping[str, object] | None = None,
        forecast: "Forecast | None" = None,
        **changes: "Unpack[Changes]",
    ) -> "Run":
        """Provision every entry of *manifest*, in parallel, each exactly once.

        Args:
            manifest: Path, ``-`` for JSON lines on standard input, or any iterable of entries or dicts, async or not.
            journal: Path or URL (``postgresql://user@host/database?job=NAME``) of the journal that makes the run safe
                to kill and to run again; by default the manifest's file with ``.journal`` added. None does without.
            existing: What to do about things that are there already: ``adopt``, ``create`` or ``fail``.
            dataset_api: Over which API datasets are made and listed: ``rest`` or ``envelope``, see `DatasetAPI`.
            max_batch: Most users or datasets in one request.
            settle_s: Seconds until what happened is sure to be listed: that long a create in doubt is looked for.
            stamp: Put a short mark of the entry into descriptions, for look-ups that are exact among equal titles.
            fail_fast, max_failures: Stop when one has failed, or more than so many; ``"5%"`` counts from 100 ended on.
            skip_invalid: Provision the good entries of a manifest that has bad ones.
            only, exclude: Keys, patterns (``cats-*``) or ``tag=NAME`` of the entries to choose, or not (`Selection`).
            plan: Path of a plan that `plan` wrote: what it does not say fails with the code ``NOT_PLANNED``.
            variables: Values for ``{{ name }}`` in the file; before those of the environment, and its own ``vars``.
            forecast: What `plan` said a moment ago: what it has read is not read again, nor are other rows removed.
            changes: What is changed of what is there: ``replace_roles=True``; see `Options`.

        Raises:
            UsageError: An argument cannot work. What is wrong with a file, or does not fit the plan, comes on entering.
        """
        from encord_async.engine.run import Run  # on first need: a quarter of all imports

        chosen, limit = _chosen(only, exclude), _limit(max_failures)
        options = _planning(existing, dataset_api, chosen, max_batch, changes, stamp=stamp, skip_invalid=skip_invalid)
        manifest = _read_with(manifest, variables)
        options = replace(options, settle_s=settle_s, fail_fast=fail_fast, max_failures=limit)
        more = _around(manifest, options, forecast, None if plan is None else self._review(plan))
        return Run(self, manifest, journal=self._journal(manifest, journal), **more)

    async def validate(
        self, manifest: str | Path, *, stamp: bool = False, variables: Mapping[str, object] | None = None
    ) -> "CheckReport":
        """Check the manifest at a path without the network: all that is wrong with it, and how many entries it has.

        Examples:
            >>> async def is_good(session: EncordSession) -> bool:
            ...     report = await session.validate("programme.jsonl")
            ...     for problem in report.problems:
            ...         print(problem)
            ...     return not report.problem_count

        Args:
            manifest: Its path.
            stamp: As for `provision`: with it, entries may have the same title and description.
            variables: As for `provision`.

        Raises:
            ManifestError: The file cannot be read or holds no entry.
        """
        from encord_async.manifest.files import check_manifest
        from encord_async.manifest.variables import ManifestFile

        file = ManifestFile.at(manifest, variables)
        return await anyio.to_thread.run_sync(functools.partial(check_manifest, file, stamps=stamp))

    async def plan(
        self,
        manifest: "Manifest",
        *,
        journal: str | Path | None = "beside",
        existing: "Existing | str" = "adopt",
        dataset_api: "DatasetAPI | str" = "rest",
        max_batch: int = 1000,
        stamp: bool = False,
        skip_invalid: bool = False,
        only: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        out: str | Path | None = None,
        variables: Mapping[str, object] | None = None,
        on_action: "Callable[[Action], None]" = lambda _: None,
        **changes: "Unpack[Changes]",
    ) -> "Forecast":
        """Say what `provision` would do with the same arguments: it is that run, rehearsed. Only reads are sent.

        Examples:
            >>> async def show(session: EncordSession) -> None:
            ...     actions: list[Action] = []
            ...     forecast = await session.plan("programme.jsonl", on_action=actions.append)
            ...     print(forecast.irreversible, forecast.as_json(), actions)

        Args:
            manifest: As for `provision`.
            journal: As for `provision`; one that is not there yet is not made.
            existing, dataset_api, max_batch, stamp, skip_invalid, only, exclude: As for `provision`.
            out: Path of a file to keep the plan in, for ``provision(plan=...)``.
            variables: As for `provision`.
            on_action: Is given each action as entries end, in no particular order; `keep` is only counted.
            changes: As for `provision`.

        Returns:
            The sums.

        Raises:
            ManifestError: There is a bad entry.
            JournalError: The journal cannot be read; `JournalMismatchError` if it is another account's.
            EncordError: The account cannot be read.
        """
        from encord_async.saved_plan import make_plan

        chosen = _chosen(only, exclude)
        options = _planning(existing, dataset_api, chosen, max_batch, changes, stamp=stamp, skip_invalid=skip_invalid)
        manifest = _read_with(manifest, variables)
        async with self._read_journal(manifest, journal) as opened:
            return await make_plan(self, manifest, options, journal=opened, on_action=on_action, out=out)

    async def verify(
        self,
        manifest: "Manifest",
        *,
        journal: str | Path | None = "beside",
        only: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        variables: Mapping[str, object] | None = None,
        on_difference: "Callable[[Difference], None]" = lambda _: None,
    ) -> "Report":
        """Read back what *manifest* is about, and hand out each difference. Only reads are sent.

        Args:
            manifest: As for `provision`.
            journal: That of the run, which says what the entries were made as. Without one only what the manifest
                names by its hash can be found.
            only: As for `provision`: what is not chosen is not read back.
            exclude: As for `provision`.
            variables: As for `provision`.
            on_difference: Is given each difference as it is found, in no particular order.

        Returns:
            The sums.

        Raises:
            ManifestError: There is a bad entry.
            JournalError: The journal cannot be read.
            EncordError: The account cannot be read.
        """
        from encord_async.journal.record import MemoryLedger
        from encord_async.verify.compare import compare
        from encord_async.verify.wishes import gather

        manifest = _read_with(manifest, variables)
        async with self._read_journal(manifest, journal) as opened:
            wishes = await gather(manifest, opened or MemoryLedger(), _chosen(only, exclude))
            return await compare(self, wishes, opened, on_difference=on_difference)

    async def export(
        self,
        on_entry: "Callable[[Entry], None]",
        *,
        ontologies: bool = True,
        users: bool = True,
        organisation: bool = True,
        tasks: bool = False,
        items: bool = False,
        only: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        on_left_out: "Callable[[LeftOut], None]" = lambda _: None,
    ) -> "Exported":
        """Write the account down as entries of a manifest. Only reads are sent.

        Args:
            on_entry: Is given each entry, in the manifest's order.
            ontologies: Ontologies, and which of them each project has.
            users: Users of projects, of groups and of the organisation.
            organisation: Users and groups of the organisation, and the groups of projects.
            tasks: Whose the tasks of projects are, by the titles of their data. All tasks are read for that.
            items: The files of folders, and which datasets they are linked to. All files are read for that.
            only: As for `provision`, by the keys that the entries get. All is read, and kept until it has been.
            exclude: As for `provision`.
            on_left_out: Is told of each thing that is left out, and why.

        Returns:
            The sums.

        Raises:
            EncordError: The account cannot be read.
        """
        from encord_async.export import Scope, export

        selection = _chosen(only, exclude)
        scope = Scope(ontologies=ontologies, users=users, organisation=organisation, tasks=tasks, items=items)
        return await export(self, on_entry, scope=scope, selection=selection, on_left_out=on_left_out)

    @contextlib.asynccontextmanager
    async def _read_journal(self, manifest: "Manifest", journal: str | Path | None) -> "AsyncGenerator[Journal | None]":
        """The journal of a run, opened to read only; None if there is none yet."""
        where = _beside(manifest) if journal == "beside" else journal
        if where is None:
            yield None
            return
        from encord_async.journal.journal import Journal, is_url

        if not is_url(where) and not await anyio.Path(where).exists():
            yield None
            return
        async with Journal(where, None) as opened:
            yield opened

    def _journal(self, manifest: "Manifest", journal: str | Path | None) -> "Journal | None":
        where = _beside(manifest) if journal == "beside" else journal
        if where is None and journal is not None:
            raise UsageError(
                "entries that come from no file have no place beside it for a journal; "
                "give journal=PATH to be able to run again after a kill, or journal=None to do without"
            )
        if where is None:
            return None
        # Imported on first need: SQLAlchemy is an extra, and takes longer to import than all the rest.
        from encord_async.journal.journal import Identity, Journal

        return Journal(where, Identity(self.settings.domain, self.identity))

    def _review(self, plan: str | Path) -> "SavedPlan":
        from encord_async.saved_plan import SavedPlan

        review = SavedPlan.read(plan)
        review.check_account(self.settings.domain, self.identity)
        return review


def _read_with(manifest: "Manifest", variables: Mapping[str, object] | None) -> "Manifest":
    from encord_async.manifest.sources import with_variables

    return with_variables(manifest, variables)


def _around(
    manifest: "Manifest", options: "Options", forecast: "Forecast | None", review: "SavedPlan | None"
) -> dict[str, Any]:
    """The options of a run, the plan that it is held to, what one has read for it, and what it does last."""
    from encord_async.verify.surplus import surplus

    options = _agreed(options, review)
    seen = review or forecast
    named = None if seen is None else seen.rows_digest
    sequel = surplus(manifest, options, named=named, is_reviewed=review is not None)
    groundwork = None if forecast is None else forecast.groundwork
    return {"options": options, "groundwork": groundwork, "sequel": sequel, "review": review}


def _agreed(options: "Options", review: "SavedPlan | None") -> "Options":
    """*options*, with the number of data rows that may be removed; a plan that was reviewed holds it."""
    if options.prune_data is not True:
        return options
    if review is None:
        raise UsageError("prune_data=True only counts: give the number that the plan names, as 'rows'")
    return replace(options, prune_data=review.rows)


def _beside(manifest: "Manifest") -> str | None:
    """Where the journal of *manifest* lies by default, if that is a file."""
    from encord_async.manifest.sources import manifest_file

    file = manifest_file(manifest)
    return None if file is None else file.journal


def _planning(
    existing: "Existing | str",
    dataset_api: "DatasetAPI | str",
    selection: "Selection",
    max_batch: int,
    changes: "Changes",
    *,
    stamp: bool,
    skip_invalid: bool,
) -> "Options":
    """The options that decide what a run does."""
    from encord_async.engine.account import Existing
    from encord_async.engine.options import Options
    from encord_async.kinds.thing import DatasetAPI

    return Options(
        existing=_one_of(Existing, existing, "existing"),
        dataset_api=_one_of(DatasetAPI, dataset_api, "dataset_api"),
        max_batch=max_batch,
        stamp=stamp,
        skip_invalid=skip_invalid,
        selection=selection,
        **changes,
    )


def _chosen(only: str | Iterable[str], exclude: str | Iterable[str]) -> "Selection":
    from encord_async.manifest.selection import Selection

    return Selection.of(only, exclude)


def _limit(max_failures: int | str | None) -> "FailureLimit | None":
    from encord_async.engine.options import FailureLimit

    return None if max_failures is None else FailureLimit.parse(max_failures)


def _one_of(options: type[OptionT], value: OptionT | str, name: str) -> OptionT:
    try:
        return options(value)
    except ValueError:
        *others, last = options
        raise UsageError(f"{name} is {quoted(value)}; use {', '.join(others)} or {last}") from None


def _with(settings: Settings | None, domain: str | None, concurrency: int | None) -> Settings:
    settings = settings or Settings()
    return replace(
        settings,
        domain=settings.domain if domain is None else domain,
        concurrency=settings.concurrency if concurrency is None else concurrency,
    )
