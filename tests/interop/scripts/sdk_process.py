"""The official SDK as a process: one call a line on standard input, one answer a line on standard output.

Run by the interpreter of the SDK's own environment. It imports nothing of the package under test, and judges nothing.

A call is ``{"domain": URL, "who": {"key" | "token" | "api_key": TEXT}, "call": NAME, "on": HASH, "arguments": {}}``,
an answer ``{"result": VALUE}`` or ``{"raised": CLASS, "text": TEXT}``.
"""

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TextIO

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above
from encord.client import EncordClient, EncordClientDataset  # type: ignore[import-not-found] # see above
from encord.http.constants import RequestsSettings  # type: ignore[import-not-found] # see above
from encord.orm.dataset import DatasetUserRole, StorageLocation  # type: ignore[import-not-found] # see above
from encord.orm.project import BenchmarkQaWorkflowSettings  # type: ignore[import-not-found] # see above
from encord.utilities.project_user import ProjectUserRole  # type: ignore[import-not-found] # see above

# Shorter than a test may take; the SDK's own are three minutes.
SETTINGS = RequestsSettings(connect_timeout=200, read_timeout=200, write_timeout=200)


class Caller:
    """Who calls, where, and about which resource."""

    def __init__(self, domain: str, who: Mapping[str, str], on: str | None) -> None:
        self.domain, self.who, self.on = domain, who, on

    def user(self) -> Any:
        """The client for calls of a user."""
        if "token" in self.who:
            return EncordUserClient.create_with_bearer_token(
                self.who["token"], domain=self.domain, requests_settings=SETTINGS
            )
        return EncordUserClient.create_with_ssh_private_key(
            self.who["key"], domain=self.domain, requests_settings=SETTINGS
        )

    def project(self) -> Any:
        """The client of one project, for a user or for one of its API keys."""
        if "api_key" in self.who:
            return EncordClient.initialise(self.on, self.who["api_key"], domain=self.domain, requests_settings=SETTINGS)
        return self.user().get_project_client(self.on)

    def dataset(self) -> Any:
        """The client of one dataset, for a user or for one of its API keys."""
        if "api_key" in self.who:
            return EncordClientDataset.initialise(
                self.on, self.who["api_key"], domain=self.domain, requests_settings=SETTINGS
            )
        return self.user().get_dataset_client(self.on)


# --- every release


def about(caller: Caller) -> Any:
    """Which release this is, and whether the package under test can be imported here."""
    found = importlib.util.find_spec("encord_async") is not None
    return {"release": importlib.metadata.version("encord"), "ours": found}


def create_project(caller: Caller, *, benchmark_of: list[str] | None = None, **given: Any) -> Any:
    """Arguments as the SDK names them; *benchmark_of* stands for its workflow_settings."""
    if benchmark_of is not None:
        given["workflow_settings"] = BenchmarkQaWorkflowSettings(source_projects=benchmark_of)
    return caller.user().create_project(**given)


def get_projects(caller: Caller, *, dates: Mapping[str, str] | None = None, **filters: str) -> Any:
    """*dates* are the filters that go in as datetime objects."""
    moments = {name: datetime.fromisoformat(text) for name, text in (dates or {}).items()}
    listed = caller.user().get_projects(**filters, **moments)
    return [{"user_role": item["user_role"], **item["project"]} for item in listed]


def get_project(caller: Caller, *, include_labels_metadata: bool = False) -> Any:
    """The project object of the low-level client; the high-level one goes through REST."""
    return dict(caller.project().get_project(include_labels_metadata=include_labels_metadata))


def get_project_ontology(caller: Caller) -> Any:
    """The ontology that comes with the project."""
    return caller.project().get_project_ontology().to_dict()


def add_datasets(caller: Caller, *, dataset_hashes: list[str]) -> Any:
    """Attach."""
    return caller.project().add_datasets(dataset_hashes)


def remove_datasets(caller: Caller, *, dataset_hashes: list[str]) -> Any:
    """Detach."""
    return caller.project().remove_datasets(dataset_hashes)


def add_users(caller: Caller, *, emails: list[str], role: str) -> Any:
    """Add users to a project; *role* is the SDK's name for it."""
    users = caller.project().add_users(emails, ProjectUserRole[role])
    return [[user.user_email, user.user_role.name, user.project_hash] for user in users]


def copy_project(caller: Caller, **given: Any) -> Any:
    """Arguments as the SDK names them."""
    return caller.project().copy_project(**given)


def list_label_rows(caller: Caller) -> Any:
    """Label rows of a project."""
    return [row.label_hash for row in caller.project().list_label_rows()]


def get_dataset(caller: Caller) -> Any:
    """What a dataset is."""
    found = caller.dataset().get_dataset()
    return {"dataset_hash": found.dataset_hash, "title": found.title, "storage": found.storage_location.name}


def add_dataset_users(caller: Caller, *, emails: list[str], role: str) -> Any:
    """Add users to a dataset; *role* is the SDK's name for it."""
    users = caller.dataset().add_users(emails, DatasetUserRole[role])
    return [[user.user_email, user.user_role.name, user.dataset_hash] for user in users]


def list_data_rows(caller: Caller) -> Any:
    """Data rows of a dataset."""
    return [row.uid for row in caller.dataset().list_data_rows()]


# --- up to 0.1.145


def create_dataset(caller: Caller, *, title: str, storage: str, description: str | None = None) -> Any:
    """Make a dataset; newer releases do this over REST."""
    made = caller.user().create_dataset(title, StorageLocation[storage], description)
    return {"dataset_hash": made.dataset_hash, "title": made.title, "storage": made.storage_location.name}


def get_datasets(caller: Caller, **filters: str) -> Any:
    """List datasets; newer releases do this over REST."""
    listed = caller.user().get_datasets(**filters)
    return [
        {"user_role": item["user_role"].name, "dataset_hash": item["dataset"].dataset_hash, **vars(item["dataset"])}
        for item in listed
    ]


def create_ontology(caller: Caller, *, title: str, description: str = "") -> Any:
    """Make an ontology without content; newer releases do this over REST."""
    return caller.user().create_ontology(title, description).ontology_hash


def save_ontology(caller: Caller, *, title: str) -> Any:
    """Read an ontology, add a class, give it a new title and save it; newer releases do this over REST."""
    from encord.objects.common import Shape  # type: ignore[import-not-found] # see above

    ontology = caller.user().get_ontology(caller.on)
    ontology.structure.add_object("Cat", Shape.BOUNDING_BOX)
    ontology.title = title
    ontology.save()
    ontology.refetch_data()
    return {"title": ontology.title, "objects": [item.name for item in ontology.structure.objects]}


def get_ontologies(caller: Caller, **filters: str) -> Any:
    """List ontologies; newer releases do this over REST."""
    listed = caller.user().get_ontologies(**filters)
    return [[item["ontology"].ontology_hash, item["ontology"].title, item["user_role"].name] for item in listed]


def create_project_api_key(caller: Caller, *, title: str, scopes: list[str]) -> Any:
    """Make an API key of a project."""
    from encord.utilities.client_utilities import APIKeyScopes  # type: ignore[import-not-found] # see above

    return caller.user().create_project_api_key(caller.on, title, [APIKeyScopes(scope) for scope in scopes])


def get_project_api_keys(caller: Caller) -> Any:
    """List the API keys of a project."""
    return [vars(key) for key in caller.user().get_project_api_keys(caller.on)]


def get_or_create_project_api_key(caller: Caller) -> Any:
    """The API key with every scope."""
    return caller.user().get_or_create_project_api_key(caller.on)


def create_dataset_api_key(caller: Caller, *, title: str, scopes: list[str]) -> Any:
    """Make an API key of a dataset."""
    from encord.orm.dataset import DatasetScope

    key = caller.user().create_dataset_api_key(caller.on, title, [DatasetScope(scope) for scope in scopes])
    return vars(key)


def get_dataset_api_keys(caller: Caller) -> Any:
    """List the API keys of a dataset."""
    return [vars(key) for key in caller.user().get_dataset_api_keys(caller.on)]


def get_or_create_dataset_api_key(caller: Caller) -> Any:
    """The API key of a dataset with every scope."""
    return vars(caller.user().get_or_create_dataset_api_key(caller.on))


def get_cloud_integrations(caller: Caller) -> Any:
    """Cloud integrations; newer releases do this over REST."""
    return [vars(item) for item in caller.user().get_cloud_integrations()]


# --- newer releases


def read_storage(caller: Caller, *, folder: str, dataset: str, stage: str) -> Any:
    """A folder with its items, the rows of a dataset, the tasks of a project that is asked about."""
    user = caller.user()
    found = user.get_storage_folder(folder)
    tasks = user.get_project(caller.on).workflow.get_stage(name=stage).get_tasks()
    return {
        "folder": [found.name, found.client_metadata],
        "items": [item.url for item in found.list_items()],
        "rows": [row.file_link for row in user.get_dataset(dataset).list_data_rows()],
        "tasks": [[task.data_title, task.assignee] for task in tasks],
    }


CALLS: Mapping[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        about,
        create_project,
        get_projects,
        get_project,
        get_project_ontology,
        add_datasets,
        remove_datasets,
        add_users,
        copy_project,
        list_label_rows,
        get_dataset,
        add_dataset_users,
        list_data_rows,
        create_dataset,
        get_datasets,
        create_ontology,
        save_ontology,
        get_ontologies,
        create_project_api_key,
        get_project_api_keys,
        get_or_create_project_api_key,
        create_dataset_api_key,
        get_dataset_api_keys,
        get_or_create_dataset_api_key,
        get_cloud_integrations,
        read_storage,
    )
}


def answer(line: str) -> dict[str, Any]:
    """Make one call."""
    asked = json.loads(line)
    caller = Caller(asked["domain"], asked["who"], asked["on"])
    try:
        return {"result": CALLS[asked["call"]](caller, **asked["arguments"])}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is its answer
        return {"raised": type(error).__name__, "text": str(error)}


def plain(value: object) -> object:
    """What json.dumps cannot write by itself."""
    return value.value if isinstance(value, Enum) else str(value)


def main(questions: TextIO, answers: TextIO) -> None:
    """Answer until there are no more questions."""
    for line in questions:
        answers.write(json.dumps(answer(line), default=plain) + "\n")
        answers.flush()


if __name__ == "__main__":
    channel, sys.stdout = sys.stdout, sys.stderr
    main(sys.stdin, channel)
