"""Bulk runs in a web application's background: POST a manifest (a JSON list) to /, GET / to see how far they are."""

import asyncio
import os

from aiohttp import web

from encord_async import EncordSession

RUNS: list[asyncio.Task[None]] = []
COUNTS: dict[str, object] = {}


async def provision(manifest: list[dict[str, object]]) -> None:
    """Provision *manifest*; the journal lets it go on where it was when it is posted again."""
    async with EncordSession.from_env() as session, session.provision(manifest, journal="web.journal") as run:
        async for _ in run:
            COUNTS.update(run.summary.as_json())


async def handle(request: web.Request) -> web.Response:
    """Start a run if there is a manifest, and tell what became of all."""
    if request.method == "POST":
        RUNS.append(asyncio.create_task(provision(await request.json())))
    errors = [str(run.exception()) for run in RUNS if run.done() and run.exception()]
    return web.json_response({"under_way": sum(not run.done() for run in RUNS), "errors": errors} | COUNTS)


async def stop(_: web.Application) -> None:
    """Cancel what is under way, and wait until it has let go."""
    for run in RUNS:
        run.cancel()
    await asyncio.gather(*RUNS, return_exceptions=True)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_route("*", "/", handle)
    app.on_shutdown.append(stop)
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
