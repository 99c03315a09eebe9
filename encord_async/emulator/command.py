"""``python -m encord_async.emulator``: the emulator as a process of its own.

Standard output carries exactly one line, the JSON object with the URL; everything said to a person goes to standard
error. It never listens anywhere but on this machine.
"""

import argparse
import asyncio
import errno
import json
import os
import re
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from encord_async.emulator.faults import FaultRule, FaultRuleError, read_fault_rules
from encord_async.emulator.seed import SeedError, read_seed, read_yaml
from encord_async.emulator.server import Emulator, EmulatorSettings, SettingsError
from encord_async.emulator.store import StateError

__all__ = ["option_names", "parser", "run", "serve", "settings_of"]

_USAGE = 2
_KEY_MARK = b"# a key of the emulator of encord-async, for it alone\n"
"""After the end of a key programs read no further. By this it is told from a key that opens something."""

_EXAMPLES = """\
examples:
  encord-async emulator --port 8765 --write-key key
  encord-async emulator --seed seed.yaml --state state.db --latency 0.02-0.08
  encord-async emulator --rate-limit 200 --burst 20 --faults faults.yaml

  Use it with ENCORD_DOMAIN=http://127.0.0.1:8765 and ENCORD_SSH_KEY_FILE=key in the environment.

a seed has lists of entries:
  users               email, public_key, bearer_token
  datasets            hash, title, admins, description, type
  ontologies          hash, title, admins, description, editor_ontology
  projects            hash, title, admins, description, datasets, ontology_hash
  folders             hash, title, admins, description: storage folders
  integrations        uuid, title, objects: URLs that a sync of a cloud folder finds
  workflow_templates  id, title, stages: each with title and type (ANNOTATION, REVIEW, DONE...)
  tags                names of tags of the organisation
  unreadable_urls     patterns such as "*broken*": files that an upload job cannot register

exit codes: 0 stopped by SIGTERM or Ctrl-C, 2 bad usage, or it cannot start
"""


def run(argv: Sequence[str] | None = None) -> int:
    """Read the command line, serve until SIGTERM or SIGINT, and return the exit code (2: bad usage)."""
    arguments = parser().parse_args(argv)
    try:
        settings = settings_of(arguments)
    except (SeedError, SettingsError) as error:
        _say(str(error))
        return _USAGE
    return asyncio.run(serve(settings, write_key=arguments.write_key, force=arguments.force))


async def serve(settings: EmulatorSettings, *, write_key: Path | None = None, force: bool = False) -> int:
    """Run an emulator until SIGTERM or SIGINT; return 0, or 2 if it cannot start.

    The default user's private key is written to *write_key* (mode 0600) before the line with the URL is printed, over
    a key of another emulator, and over anything else only by *force*.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Emulator(settings) as emulator:
            if emulator.found_state and settings.seed is not None:
                _say(f"{settings.state} already holds data: the seed is not applied again")
            elif emulator.found_state:
                _say(f"{settings.state} already holds data: it goes on from there")
            if write_key is not None:
                _write_key(write_key, emulator.private_key, force=force)
            sys.stdout.write(json.dumps({"url": emulator.url, "pid": os.getpid()}) + "\n")
            sys.stdout.flush()
            await stop.wait()
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return _USAGE
    except StateError as error:
        _say(str(error))
        return _USAGE
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    options = argparse.ArgumentParser(
        prog="encord-async emulator",
        description="A local Encord API, for tests and benchmarks. Prints one JSON line once it accepts connections.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--host", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port; 0 takes a free one (default: %(default)s)")
    add("--seed", type=Path, help="YAML file with what is there at first, see below")
    add("--state", type=Path, help="file that keeps everything, through kill -9 too (default: memory)")
    add("--write-key", type=Path, help="where the new user's private key goes; without --seed only")
    add("--force", action="store_true", help="let --write-key overwrite what is no key of an emulator")
    add("--latency", default="0", help="seconds a request takes: 0.05, or 0.02-0.08 for a random time")
    add("--rate-limit", type=float, help="requests per second before HTTP 429")
    add("--burst", type=int, help="requests at once before HTTP 429 (default: one second's worth)")
    add("--faults", type=Path, help="YAML or JSON file with a list of fault rules")
    add("--strict", action="store_true", help="accept only what the official SDK would send, byte for byte")
    add("--null-descriptions", action="store_true", help="filters find no description where there is none, as in SQL")
    add("--newest-first", action="store_true", help="listings begin with what was made last, so that pages shift")
    add("--page-size", type=int, default=100, help="entries of a REST listing at once (default: %(default)s)")
    add(
        "--signature-window", type=float, default=300.0, help="seconds a REST signature is taken (default: %(default)s)"
    )
    add(
        "--job-time",
        type=float,
        default=0.0,
        help="seconds that an upload job takes, and a task (default: %(default)s)",
    )
    add("--failure-status", type=int, choices=(200, 400), default=200, help="HTTP status of a refusal")
    return options


def option_names() -> list[str]:
    """The options of the command line, for whoever completes them."""
    return sorted({*re.findall(r"--[a-z-]+", parser().format_usage()), "--help"})


def settings_of(arguments: argparse.Namespace) -> EmulatorSettings:
    """What the options of the command line ask for.

    Raises:
        SettingsError: Two do not go together, or a value cannot work.
        SeedError: The seed cannot be used.
    """
    if arguments.seed is not None and arguments.write_key is not None:
        raise SettingsError("--write-key: the seed's users bring their own keys; leave out one of the two")
    return EmulatorSettings(
        host=arguments.host,
        port=arguments.port,
        state=arguments.state,
        seed=None if arguments.seed is None else read_seed(arguments.seed),
        latency_s=_latency(arguments.latency),
        rate_limit_per_s=arguments.rate_limit,
        burst=arguments.burst,
        faults=() if arguments.faults is None else _rules(arguments.faults),
        strict=arguments.strict,
        null_descriptions=arguments.null_descriptions,
        newest_first=arguments.newest_first,
        failure_http_status=arguments.failure_status,
        page_size=arguments.page_size,
        signature_window_s=arguments.signature_window,
        job_s=arguments.job_time,
    )


def _latency(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise SettingsError(f"--latency {text}: has to be seconds, such as 0.05 or 0.02-0.08") from None


def _rules(path: Path) -> tuple[FaultRule, ...]:
    try:
        return read_fault_rules(read_yaml(path))
    except FaultRuleError as error:
        raise SettingsError(f"{path}: {error}") from error


def _write_key(path: Path, private_key: str | None, *, force: bool) -> None:
    if private_key is None:
        _say(f"{path}: not written, the users of this state brought their own keys")
        return
    # A link is not followed, and a pipe not waited for.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode) or there.st_nlink > 1 or there.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "the key is only written to a plain file of your own", str(path))
        key = private_key.encode() + _KEY_MARK
        before = file.read(2 * len(key))
        if before == key:
            return
        if before and not (force or before.endswith(_KEY_MARK)):
            raise OSError(errno.EEXIST, "it is no key of an emulator; give another file, or --force", str(path))
        if before:
            _say(f"{path}: was there already and is overwritten with the new key")
        os.fchmod(descriptor, 0o600)
        file.truncate(0)
        file.seek(0)
        file.write(key)


def _say(text: str) -> None:
    sys.stderr.write(f"encord-async emulator: {text}\n")
