"""``encord-async schema``: the JSON Schema of the manifest. Sends nothing."""

import json

import click

__all__ = ["schema"]


@click.command(short_help="Print the JSON Schema of the manifest.")
def schema() -> int:
    """Print the JSON Schema of a manifest: a line of JSONL, the list in YAML, or the mapping with vars, defaults,
    include and entries. Editors check and complete a manifest with it.

    In VS Code, IntelliJ and others that speak to the YAML language server, this as the first line of a manifest does:

    \b
      # yaml-language-server: $schema=manifest.schema.json

    \b
    Examples:
      encord-async schema > manifest.schema.json
    """
    from encord_async.manifest.schema import manifest_schema

    click.echo(json.dumps(manifest_schema(), indent=2))
    return 0
