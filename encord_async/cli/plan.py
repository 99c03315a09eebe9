"""``encord-async plan``: says what apply would do. Only reads are sent."""

from typing import TYPE_CHECKING, Final

import click

from encord_async.cli.failures import ExitCode
from encord_async.cli.interrupts import run
from encord_async.cli.options import (
    Service,
    dataset_api_option,
    existing_option,
    manifest_argument,
    output_options,
    service_options,
)
from encord_async.cli.output import Output, many

if TYPE_CHECKING:
    from encord_async.plan import Action, Forecast

__all__ = ["forecast_rows", "irreversible_line", "plan"]

_MAX_ACTIONS: Final = 100_000


@click.command(short_help="Say what apply would do; only reads.")
@manifest_argument
@service_options
@existing_option
@dataset_api_option
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=32, show_default=True, help="Most requests in flight at once."
)
@output_options
def plan(*, output: Output, service: Service, manifest: str, existing: str, dataset_api: str, concurrency: int) -> int:
    """Say what 'apply' would do with MANIFEST: create, adopt, attach, add, remove, leave alone, or fail. Only reads are
    sent.

    Who is in a project or group that is there is not looked at, so its users and groups are shown as 'add or leave
    alone'. At most 100,000 actions are shown; all are counted. '-' reads JSON lines from standard input.

    \b
    Examples:
      encord-async plan programme.jsonl
      encord-async plan programme.jsonl --existing fail --json

    Exit codes: 0 nothing is in the way, 1 some entries would fail, 2 a bad manifest or an unusable key,
    4 the service does not accept the key.
    """
    from encord_async.engine.account import DatasetAPI, Existing
    from encord_async.plan import Verb, preview

    actions: list[Action] = []

    def keep(action: "Action") -> None:
        if len(actions) < _MAX_ACTIONS:
            actions.append(action)

    sessions = service.sessions(concurrency=concurrency)

    async def look() -> "tuple[Forecast, int]":
        async with sessions() as session:
            found = await preview(
                session,
                manifest,
                existing=Existing(existing),
                dataset_api=DatasetAPI(dataset_api),
                on_action=keep,
            )
            return found, session.statistics().requests

    forecast, requests = run(look)
    actions.sort(key=lambda action: action.number)
    if output.json:
        output.result(
            {
                "entries": forecast.entries,
                "actions": [action.as_json() for action in actions],
                "counts": forecast.as_json(),
                "irreversible": forecast.irreversible,
                "requests": requests,
            }
        )
    else:
        _print(output, actions, forecast)
    return ExitCode.FAILED if forecast.count(Verb.FAIL) else ExitCode.DONE


def _print(output: Output, actions: "list[Action]", forecast: "Forecast") -> None:
    output.table(
        [(action.place, _WORDS[action.verb], _NOUNS[action.what], _described(action)) for action in actions],
        head=["entry", "action", "what", ""],
    )
    if len(actions) == _MAX_ACTIONS:
        output.line("... and more; all are counted below")
    output.line()
    output.table(forecast_rows(forecast), head=["action", "what", "number"], right=[2])
    output.line()
    output.line(irreversible_line(forecast), bold=True)


_WORDS: Final = {
    "create": "create",
    "adopt": "adopt",
    "attach": "attach",
    "detach": "detach",
    "add": "add",
    "add_or_leave": "add or leave alone",
    "remove": "remove",
    "leave_alone": "leave alone",
    "fail": "FAIL",
}
_NOUNS: Final = {
    "dataset": "dataset",
    "project": "project",
    "api_key": "API key",
    "user": "user",
    "ontology": "ontology",
    "group": "group",
    "group_member": "member of a group",
    "org_user": "organisation user",
}


_IRREVERSIBLE: Final = {
    "project": ("project", "projects"),
    "dataset": ("dataset", "datasets"),
    "ontology": ("ontology", "ontologies"),
    "api_key": ("API key", "API keys"),
}


def _described(action: "Action") -> str:
    items = ", ".join(action.items[:5]) + (f" and {len(action.items) - 5:,} more" if len(action.items) > 5 else "")
    parts = [items]
    if action.role:
        parts.append(f"as {action.role}")
    if action.project:
        parts.append(f"in {action.project}")
    if action.hash:
        parts.append(f"({action.hash})")
    return " ".join(parts) + (f": {action.reason}" if action.reason else "")


def forecast_rows(forecast: "Forecast") -> list[tuple[str, str, int]]:
    """Action, what, and how many, for a table."""
    return [
        (_WORDS[verb], _NOUNS[what], number)
        for verb, sorts in forecast.as_json().items()
        for what, number in sorts.items()
    ]


def irreversible_line(forecast: "Forecast") -> str:
    """How many things that cannot be undone would be made, and which."""
    if not forecast.irreversible:
        return "Nothing that cannot be undone would be made."
    created = forecast.as_json()["create"]
    parts = [many(created[what], *nouns) for what, nouns in _IRREVERSIBLE.items() if what in created]
    things = many(forecast.irreversible, "thing", "things")
    return f"{things} that cannot be undone would be made: {', '.join(parts)}."
