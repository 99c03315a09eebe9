"""Entry point of ``encord-async`` and ``python -m encord_async``; it only hands over to the command line."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code (2: the extra ``cli`` is not installed)."""
    try:
        import click  # noqa: F401 - only to see whether it is there
        import rich  # noqa: F401 - the same
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write("error: the command line needs more packages: pip install 'encord-async[cli]'\n")
        sys.exit(2)
    from encord_async.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
