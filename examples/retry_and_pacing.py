"""Your own retries and pacing: how long to wait, how often to try, and how hard to press.

Set ENCORD_SSH_KEY_FILE. What creates something is never sent again when its outcome is unknown, whatever is set here.
"""

import asyncio

from encord_async import EncordSession, RetryPolicy, Settings, Timeouts

SETTINGS = Settings(
    concurrency=8,  # requests in flight
    max_rate_per_s=50.0,  # left out, the rate is found: just under what the service takes
    timeouts=Timeouts(connect_s=10.0, attempt_s=60.0, operation_s=300.0),
    retry=RetryPolicy(max_attempts=4, backoff_base_s=0.2, backoff_max_s=5.0, outage_s=60.0),
    user_agent_suffix="my-tool/1.2",
)


async def main() -> None:
    """Read all projects at once, as gently as SETTINGS say."""
    async with EncordSession.from_env(settings=SETTINGS) as session:
        mine = await session.list_projects()
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(session.project(entry.project.project_hash).get()) for entry in mine]
        for project in (read.result() for read in reads):
            print(f"{project.title}: {len(project.datasets)} datasets")
        counts = session.statistics()
        print(f"{counts.requests} requests, {counts.retries} retries, {counts.throttled} throttled")


if __name__ == "__main__":
    asyncio.run(main())
