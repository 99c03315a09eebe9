"""``encord-async emulator``: hands over to the emulator's own command, options and all."""

import click
from click.shell_completion import CompletionItem

from encord_async.cli.options import file_names

__all__ = ["emulator"]


class _HandsOver(click.Command):
    """A command whose options another parser knows."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click gives it
        """The emulator's options."""
        from encord_async.emulator.command import option_names

        return [CompletionItem(name) for name in option_names() if name.startswith(incomplete)]


@click.command(
    cls=_HandsOver,
    short_help="Run a local Encord API.",
    # Everything after the verb is the emulator's, --help included.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, shell_complete=file_names)
def emulator(arguments: tuple[str, ...]) -> int:
    """Run a local Encord API, for tests and trials; see 'encord-async emulator --help'.

    Prints one JSON line with its URL once it accepts connections, and serves until it is interrupted.
    """
    from encord_async.emulator.command import run

    return run(arguments)
