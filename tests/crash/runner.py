"""Provisions a manifest once, as a process of its own that tests can kill. Exit code 0: every entry is satisfied."""

import argparse
import asyncio
import json
import sys

from encord_async import EncordSession


async def run(arguments: argparse.Namespace) -> int:
    """Provision, and print the sums."""
    session = EncordSession.from_ssh_key(arguments.key_file, domain=arguments.url, concurrency=arguments.concurrency)
    async with (
        session,
        session.provision(arguments.manifest, journal=arguments.journal, settle_s=arguments.settle_s) as provisioning,
    ):
        unsatisfied = [outcome.as_json() async for outcome in provisioning if not outcome.status.satisfied]
    sys.stdout.write(json.dumps({"summary": provisioning.summary.as_json(), "unsatisfied": unsatisfied[:5]}) + "\n")
    return 1 if unsatisfied else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser()
    for name in ("url", "key_file", "manifest", "journal"):
        parser.add_argument(name)
    parser.add_argument("--settle-s", type=float, default=1.0)
    parser.add_argument("--concurrency", type=int, default=16)
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
