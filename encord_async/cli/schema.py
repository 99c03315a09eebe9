"""``encord-async schema``: the JSON Schema of the manifest. Sends nothing."""

import json

import click

__all__ = ["schema"]


@click.command(short_help="Print the JSON Schema of the manifest.")
def schema() -> int:
    """Print the JSON Schema of a manifest's entry: a line of JSONL, an item of the list in YAML.

    Editors check and complete a manifest with it.

    \b
    Examples:
      encord-async schema > manifest.schema.json
    """
    from encord_async.manifest.schema import manifest_schema

    click.echo(json.dumps(manifest_schema(), indent=2))
    return 0
