"""A manifest straight from a database: rows become entries as the run asks for them, never all at once.

Set ENCORD_SSH_KEY_FILE. Run it twice: the second time there is nothing left to do.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from encord_async import EncordSession

SCHEMA = """
CREATE TABLE IF NOT EXISTS teams (name TEXT PRIMARY KEY, email TEXT);
INSERT OR IGNORE INTO teams VALUES ('Cats', 'ann@example.com'), ('Dogs', 'bob@example.com'), ('Owls', NULL);
"""


def entries(database: sqlite3.Connection) -> Iterator[dict[str, object]]:
    """One project for each row, with its annotator if it has one."""
    for name, email in database.execute("SELECT name, email FROM teams ORDER BY name"):
        users = [] if email is None else [{"email": email, "role": "annotator"}]
        yield {"kind": "project", "key": name.lower(), "title": name, "users": users}


async def main() -> None:
    """Provision what the table says."""
    with closing(sqlite3.connect("teams.db")) as database:
        database.executescript(SCHEMA)
        async with EncordSession.from_env() as session:
            async with session.provision(entries(database), journal="teams.journal") as run:
                async for outcome in run:
                    print(outcome.key, outcome.status, outcome.hash)
            print(run.summary.as_json())


if __name__ == "__main__":
    asyncio.run(main())
