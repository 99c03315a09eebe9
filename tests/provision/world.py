"""A local Encord with an organisation, and a manifest that asks for all that lies beyond projects and datasets."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from encord_async.client import EncordSession
from encord_async.emulator import Emulator, FaultRule, SeedIntegration, SeedTemplate, default_seed
from encord_async.emulator.calls import Terms
from encord_async.engine.account import Existing
from encord_async.engine.options import Options
from encord_async.engine.outcome import Outcome
from encord_async.journal.journal import Journal
from encord_async.plan import Action, plan
from encord_async.protocol.operations.datasets import ListDataRows
from encord_async.session.settings import RetryPolicy, Settings
from tests.direct import CREDENTIAL, DirectEmulator, now_us
from tests.provision.conftest import Entry, all_of

ME = "emulator@example.com"
"""Who makes a group is in it."""
STRUCTURE: dict[str, Any] = {
    "objects": [{"id": "1", "name": "Cat", "color": "#ff0000", "shape": "polygon", "featureNodeHash": "0a1b2c3d"}],
    "classifications": [],
}
PROGRAMME: list[Entry] = [
    {"kind": "project_groups", "project": "@cats", "add": ["@annotators"], "role": "annotator"},
    {"kind": "group", "key": "annotators", "name": "Annotators", "members": ["@ann", "@rob"]},
    {"kind": "project", "key": "cats", "title": "Cats", "ontology": "@felines", "datasets": ["@raw"]},
    {"kind": "project", "key": "copy", "title": "More cats", "description": "a copy", "copy_of": "@cats"},
    {"kind": "organisation_user", "key": "ann", "email": "ann@example.com"},
    {
        "kind": "organisation_user",
        "key": "rob",
        "email": "rob@example.com",
        "role": "tasker",
        "member_type": "external",
    },
    {"kind": "ontology", "key": "felines", "title": "Felines", "structure": STRUCTURE},
    {"kind": "dataset", "key": "raw", "title": "Raw"},
]
CREATES = {
    "v2/ontologies.POST": "Felines",
    "v2/organisation/groups.POST": "Annotators",
    "projectcopy.POST": "More cats",
    "project.POST": "Cats",
    "v2/datasets.POST": "Raw",
}


@dataclass(slots=True)
class World:
    """A local Encord, and a session with it."""

    emulator: DirectEmulator | Emulator
    session: EncordSession

    async def run(self, manifest: list[Entry], journal: Path | None = None, **options: Any) -> dict[str, Outcome]:
        """Provision *manifest*; the outcomes by key, or by kind where there is none."""
        async with self.session.provision(manifest, journal=journal, **({"settle_s": 0.2} | options)) as run:
            return {outcome.key or outcome.kind: outcome for outcome in await all_of(run)}

    async def linked(self, dataset: str | None) -> list[str]:
        """The URLs of what is in a dataset, in order."""
        rows = await self.session.execute(ListDataRows(dataset_hash=dataset or ""))
        return sorted(row.file_link or "" for row in rows)

    def asked(self, query: str) -> int:
        """How often the service was asked *query*."""
        return int(self.emulator.stats()["by_query"].get(query, 0))

    def made(self) -> dict[str, list[str]]:
        """What each call that creates has made, by the emulator's own log."""
        made: dict[str, list[str]] = {}
        for line in self.emulator.log():
            if line["query"] in CREATES:
                made.setdefault(line["query"], []).append(line["title"])
        return made

    async def actions(
        self, manifest: list[Entry], existing: Existing = Existing.ADOPT, *, journal: Path | None = None
    ) -> list[Action]:
        """What a run would do; *journal* is there."""
        found: list[Action] = []
        options = Options(existing=existing)
        if journal is None:
            await plan(self.session, manifest, options, on_action=found.append)
            return found
        async with Journal(journal, None) as opened:
            await plan(self.session, manifest, options, journal=opened, on_action=found.append)
        return found


@asynccontextmanager
async def open_world(
    *faults: FaultRule,
    integrations: Sequence[SeedIntegration] = (),
    unreadable_urls: Sequence[str] = (),
    templates: Sequence[SeedTemplate] = (),
    job_s: float = 0.0,
    concurrency: int = 8,
    max_reply_bytes: int = 2**24,
    now_us: Callable[[], int] = now_us,
) -> AsyncIterator[World]:
    """A new account where *faults* lie in wait, with *integrations* and *templates*; jobs take *job_s* seconds."""
    given, _ = default_seed()
    seed = replace(given, integrations=tuple(integrations), unreadable_urls=tuple(unreadable_urls))
    seed = replace(seed, workflow_templates=tuple(templates))
    emulator = DirectEmulator(seed, terms=Terms(job_s=job_s), max_reply_bytes=max_reply_bytes, now_us=now_us)
    emulator.set_faults(faults)
    settings = Settings(domain=emulator.url, concurrency=concurrency, retry=RetryPolicy(backoff_base_s=0.01))
    with closing(emulator):
        async with EncordSession(CREDENTIAL, settings, transport=lambda _: emulator) as session:
            yield World(emulator, session)


def words(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """How each ended."""
    return {name: outcome.status.value for name, outcome in outcomes.items()}
