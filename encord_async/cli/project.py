"""``encord-async project ...``: one operation each. Makes nothing but what its verb says."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from encord_async.cli.failures import ExitCode
from encord_async.cli.interrupts import run
from encord_async.cli.options import API_KEY, Service, output_options, service_options
from encord_async.cli.output import Output, many

if TYPE_CHECKING:
    from encord_async.client import EncordSession

__all__ = ["project"]

T = TypeVar("T")

_ROLES: Final = ("admin", "annotator", "reviewer", "annotator_reviewer", "team_manager", "viewer")
_SCOPES: Final = ("label.read", "label.write", "model.inference", "model.train", "label_logs.read", "algo.library")
_COPIED: Final = ("labels", "datasets", "models", "collaborators")

_project_hash: Final = click.argument("project_hash", metavar="PROJECT_HASH")
_use_api_key: Final = click.option(
    "--use-api-key", is_flag=True, help=f"Authenticate with the API key in {API_KEY} instead of the user's SSH key."
)


@click.group(short_help="Run one operation on one project.")
def project() -> None:
    """Run one operation on one project.

    \b
    Examples:
      encord-async project create "Cats" --dataset DATASET_HASH
      encord-async project add-users PROJECT_HASH ann@example.com --role reviewer
      encord-async project get PROJECT_HASH --json

    \b
    Exit codes: 0 done, 1 refused, 2 bad usage or unusable key, nothing sent, 3 no answer: it may have happened,
    4 the service does not accept the key, 130 interrupted.
    """


def _send(service: Service, call: "Callable[[EncordSession], Awaitable[T]]", *, use_api_key: bool = False) -> T:
    """Open a session, make one call, close it."""
    sessions = service.sessions(use_api_key=use_api_key)

    async def work() -> T:
        async with sessions() as session:
            return await call(session)

    return run(work)


@project.command()
@click.argument("title")
@click.option("--description", default="", help="What the project is for.")
@click.option("--dataset", "datasets", multiple=True, metavar="HASH", help="A dataset to attach; may be repeated.")
@click.option("--ontology", "ontology_hash", metavar="HASH", help="Its ontology.  [default: a new empty one]")
@click.option("--workflow-template", "workflow_template_id", metavar="ID", help="Its workflow.  [default: Encord's]")
@service_options
@output_options
def create(*, output: Output, service: Service, title: str, datasets: tuple[str, ...], **options: Any) -> int:
    """Create a project called TITLE, and print its hash. You become its admin. It cannot be deleted over the API.

    \b
    Examples:
      encord-async project create "Cats" --description "Cats in the wild" --dataset HASH1 --dataset HASH2
    """
    made = _send(service, lambda session: session.create_project(title, dataset_hashes=datasets, **options))
    return _print_hash(output, made)


@project.command(short_help="Read a project.")
@_project_hash
@_use_api_key
@service_options
@output_options
def get(*, output: Output, service: Service, project_hash: str, use_api_key: bool) -> int:
    """Read a project: title, description, dates, ontology and datasets. With --json all that is known of it.

    \b
    Examples:
      encord-async project get PROJECT_HASH
      encord-async project get PROJECT_HASH --json | jq .title
    """
    found = _send(service, lambda session: session.project(project_hash).get(), use_api_key=use_api_key)
    output.result(found.model_dump(mode="json"))
    rows = [("hash", found.project_hash), ("title", found.title), ("description", found.description or "")]
    rows += [("created", str(found.created_at or "")), ("last edited", str(found.last_edited_at or ""))]
    rows += [("ontology", found.ontology_hash or ""), ("datasets", f"{len(found.datasets):,}")]
    output.table(rows)
    output.table([(f"  {dataset.dataset_hash}", dataset.title) for dataset in found.datasets])
    return ExitCode.DONE


@project.command()
@_project_hash
@_use_api_key
@service_options
@output_options
def ontology(*, output: Output, service: Service, project_hash: str, use_api_key: bool) -> int:
    """Print the ontology of a project's editor, as JSON.

    \b
    Examples:
      encord-async project ontology PROJECT_HASH > ontology.json
      encord-async project ontology PROJECT_HASH --use-api-key
    """
    found = _send(service, lambda session: session.project(project_hash).get_ontology(), use_api_key=use_api_key)
    if output.json:
        output.result(found)
    else:
        click.echo(json.dumps(found, indent=2))
    return ExitCode.DONE


@project.command("add-datasets")
@_project_hash
@click.argument("dataset_hashes", metavar="DATASET_HASH...", nargs=-1, required=True)
@_use_api_key
@service_options
@output_options
def add_datasets(
    *, output: Output, service: Service, project_hash: str, dataset_hashes: tuple[str, ...], use_api_key: bool
) -> int:
    """Attach datasets to a project. You have to be admin of each and of the project.

    \b
    Examples:
      encord-async project add-datasets PROJECT_HASH DATASET_HASH1 DATASET_HASH2
    """
    _send(service, lambda session: session.project(project_hash).add_datasets(dataset_hashes), use_api_key=use_api_key)
    return _print_done(output, project_hash, "attached", dataset_hashes)


@project.command("remove-datasets")
@_project_hash
@click.argument("dataset_hashes", metavar="DATASET_HASH...", nargs=-1, required=True)
@_use_api_key
@service_options
@output_options
def remove_datasets(
    *, output: Output, service: Service, project_hash: str, dataset_hashes: tuple[str, ...], use_api_key: bool
) -> int:
    """Detach datasets from a project. The datasets themselves stay.

    \b
    Examples:
      encord-async project remove-datasets PROJECT_HASH DATASET_HASH
    """
    _send(
        service, lambda session: session.project(project_hash).remove_datasets(dataset_hashes), use_api_key=use_api_key
    )
    return _print_done(output, project_hash, "detached", dataset_hashes)


@project.command("add-users", short_help="Add users to a project in one role.")
@_project_hash
@click.argument("emails", metavar="EMAIL...", nargs=-1, required=True)
@click.option("--role", type=click.Choice(_ROLES), required=True, help="Role of all of them in the project.")
@_use_api_key
@service_options
@output_options
def add_users(
    *, output: Output, service: Service, project_hash: str, emails: tuple[str, ...], role: str, use_api_key: bool
) -> int:
    """Add users to a project in one role, and print the role that each holds.

    Who is a member already keeps the old role: this API cannot change it, and the exit code is 1.

    \b
    Examples:
      encord-async project add-users PROJECT_HASH ann@example.com bob@example.com --role annotator
    """
    from encord_async.protocol.catalogue import ProjectUserRole

    wanted = ProjectUserRole[role.upper()]
    users = _send(
        service, lambda session: session.project(project_hash).add_users(emails, wanted), use_api_key=use_api_key
    )
    held = [(user.user_email, getattr(user.user_role, "name", str(user.user_role)).lower()) for user in users]
    output.result({"project_hash": project_hash, "users": [{"email": email, "role": one} for email, one in held]})
    output.table(held, head=["user", "role"])
    asked = {email.casefold() for email in emails}
    kept = [f"{email} is {one}" for email, one in held if email.casefold() in asked and one != role]
    if kept:
        output.error(f"members already, in another role than {role}: {', '.join(kept)}", "change roles in Encord's app")
        return ExitCode.FAILED
    return ExitCode.DONE


@project.command("create-api-key", short_help="Create an API key of a project, and print it.")
@_project_hash
@click.argument("title")
@click.option(
    "--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, required=True, help="What it may do; repeatable."
)
@service_options
@output_options
def create_api_key(*, output: Output, service: Service, project_hash: str, title: str, scopes: tuple[str, ...]) -> int:
    """Create an API key of a project, and print it: keep the output to yourself. It cannot be deleted over the API.

    \b
    Examples:
      encord-async project create-api-key PROJECT_HASH "nightly export" --scope label.read
    """
    from encord_async.protocol.catalogue import APIKeyScope

    wanted = [APIKeyScope(scope) for scope in scopes]
    key = _send(service, lambda session: session.create_project_api_key(project_hash, title, wanted))
    if output.json:
        output.result({"api_key": key.get_secret_value()})
    else:
        click.echo(key.get_secret_value())
    return ExitCode.DONE


@project.command("list-api-keys", short_help="List the API keys of a project by title and scopes.")
@_project_hash
@click.option("--show-keys", is_flag=True, help="Print the keys themselves too.")
@service_options
@output_options
def list_api_keys(*, output: Output, service: Service, project_hash: str, show_keys: bool) -> int:
    """List the API keys of a project: title and scopes; the keys themselves only with --show-keys.

    \b
    Examples:
      encord-async project list-api-keys PROJECT_HASH
      encord-async project list-api-keys PROJECT_HASH --show-keys --json
    """
    keys = _send(service, lambda session: session.list_project_api_keys(project_hash))
    shown = [
        {"title": key.title, "scopes": [str(scope) for scope in key.scopes]}
        | ({"api_key": key.api_key.get_secret_value()} if show_keys else {})
        for key in keys
    ]
    output.result({"project_hash": project_hash, "api_keys": shown})
    head = ["title", "scopes", *(["API key"] if show_keys else [])]
    output.table(
        [(key["title"], ", ".join(key["scopes"]), *([key["api_key"]] if show_keys else [])) for key in shown], head=head
    )
    return ExitCode.DONE


@project.command()
@_project_hash
@click.option("--title", help="Title of the copy.  [default: as Encord makes one]")
@click.option("--description", help="Description of the copy.")
@click.option("--with", "options", type=click.Choice(_COPIED), multiple=True, help="What goes along; repeatable.")
@service_options
@output_options
def copy(
    *,
    output: Output,
    service: Service,
    project_hash: str,
    title: str | None,
    description: str | None,
    options: tuple[str, ...],
) -> int:
    """Copy a project, and print the hash of the copy. The copy cannot be deleted over the API.

    \b
    Examples:
      encord-async project copy PROJECT_HASH --title "Cats, second round" --with datasets --with collaborators
    """
    from encord_async.protocol.catalogue import CopyOption

    along = [CopyOption(option) for option in options]
    made = _send(
        service,
        lambda session: session.copy_project(project_hash, title=title, description=description, options=along),
    )
    return _print_hash(output, made)


@project.command(short_help="Explain why there is no such operation.")
@click.argument("project_hashes", metavar="[PROJECT_HASH]...", nargs=-1)
@output_options
def delete(*, output: Output, project_hashes: tuple[str, ...]) -> int:  # noqa: ARG001 - whatever is named, the answer is no
    """Explain why there is no such operation: projects cannot be deleted through the API or the SDK."""
    message = "projects cannot be deleted through the API or the SDK, Encord offers no such operation"
    advice = "delete the project in Encord's app, as an admin of it; nothing was sent"
    output.result({"error": {"type": "UsageError", "message": message, "hint": advice, "applied": "not_applied"}})
    output.error(message, advice)
    return ExitCode.USAGE


def _print_hash(output: Output, project_hash: str) -> int:
    output.result({"project_hash": project_hash})
    output.line(project_hash)
    return ExitCode.DONE


def _print_done(output: Output, project_hash: str, what: str, dataset_hashes: tuple[str, ...]) -> int:
    output.result({"project_hash": project_hash, what: list(dataset_hashes)})
    output.line(f"{what} {many(len(dataset_hashes), 'dataset', 'datasets')}")
    return ExitCode.DONE
