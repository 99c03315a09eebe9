"""``encord-async emulator``: hands over to the emulator's own command, options and all."""

import click

__all__ = ["emulator"]


@click.command(
    short_help="Run a local Encord API.",
    # Everything after the verb is the emulator's, --help included.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> int:
    """Run a local Encord API, for tests and trials; see 'encord-async emulator --help'.

    Prints one JSON line with its URL once it accepts connections, and serves until it is interrupted.
    """
    from encord_async.emulator.command import run

    return run(arguments)
