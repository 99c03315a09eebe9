"""Progress callbacks: a function of yours hears of each entry that has ended, and how far the whole is.

Set ENCORD_SSH_KEY_FILE. The callback runs in the event loop, so it should be quick.
"""

import asyncio
from collections.abc import Callable, Iterator

from encord_async import EncordSession, Progress

ANNOTATORS = [f"annotator{number}@example.com" for number in range(1, 21)]


def manifest() -> Iterator[dict[str, object]]:
    """A project and one entry for each annotator."""
    yield {"kind": "project", "key": "cats", "title": "Cats"}
    for email in ANNOTATORS:
        yield {"kind": "project_users", "project": "@cats", "emails": [email], "role": "annotator"}


async def provision(session: EncordSession, on_progress: Callable[[Progress], None]) -> None:
    """Provision the manifest; *on_progress* hears how far it is whenever an entry has ended."""
    async with session.provision(manifest(), journal="cats.journal") as run:
        async for outcome in run:
            on_progress(run.progress())
            if not outcome.status.satisfied:
                print(f"{outcome.place}: {outcome.status}: {outcome.error}")


async def main() -> None:
    """Print a line for each step."""
    total = 1 + len(ANNOTATORS)
    async with EncordSession.from_env() as session:
        await provision(session, lambda now: print(f"{now.ended} of {total} after {now.elapsed_s:.1f} s"))


if __name__ == "__main__":
    asyncio.run(main())
