"""One operation: create a project and read it back.

Set ENCORD_SSH_KEY_FILE, and ENCORD_DOMAIN if yours is not the European service.
"""

import asyncio
import sys

from encord_async import EncordError, EncordSession


async def main() -> int:
    """Create a project, or say whether it may have been created all the same."""
    async with EncordSession.from_env() as session:
        try:
            project_hash = await session.create_project("Cats", description="Made by an example")
        except EncordError as error:
            # not_applied: try again. unknown: look before you do, since projects cannot be deleted over this API.
            print(f"{error.message} (applied: {error.applied}, trace {error.trace_id})", file=sys.stderr)
            return 1
        project = await session.project(project_hash).get()
        print(f"{project.title} is {project_hash} and has {len(project.datasets)} datasets")
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
