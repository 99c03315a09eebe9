"""From code that is not asynchronous: one event loop on a thread, one session on it, calls from wherever you are.

Set ENCORD_SSH_KEY_FILE. For a script that does one thing, ``asyncio.run(main())`` is all it takes; this is for programs
that go on, such as a Django view or a notebook. The portal may be called from any thread.
"""

from anyio.from_thread import start_blocking_portal

from encord_async import EncordSession


async def provision(session: EncordSession, titles: list[str]) -> list[str | None]:
    """Provision a project for each title and return their hashes, in the order of the titles."""
    manifest = [{"kind": "project", "key": f"p{number}", "title": title} for number, title in enumerate(titles)]
    async with session.provision(manifest, journal="titles.journal") as run:
        outcomes = [outcome async for outcome in run]
    return [outcome.hash for outcome in sorted(outcomes, key=lambda outcome: outcome.number)]


def main() -> None:
    """Two calls of a synchronous program, over the same connections."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(EncordSession.from_env()) as session:
        cats, dogs = portal.call(provision, session, ["Cats", "Dogs"])
        print(f"Cats is {cats}, Dogs is {dogs}")
        for entry in portal.call(session.list_projects):
            print(entry.project.title, entry.project.project_hash)


if __name__ == "__main__":
    main()
