"""The official SDK at work over REST v2, as its documentation shows it; run by its interpreter, without our package.

Reads the private key from standard input, takes the domain as argument, prints what it saw as JSON.
"""

import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above
from encord.exceptions import EncordException  # type: ignore[import-not-found] # see above
from encord.objects import OntologyStructure, Shape  # type: ignore[import-not-found] # see above
from encord.orm.dataset import DatasetUserRole, StorageLocation  # type: ignore[import-not-found] # see above
from encord.orm.project import ProjectStatus  # type: ignore[import-not-found] # see above
from encord.utilities.ontology_user import OntologyUserRole  # type: ignore[import-not-found] # see above
from encord.utilities.project_user import ProjectUserRole  # type: ignore[import-not-found] # see above

FIRST = "00000000-0000-4000-8000-000000000001"


def raised(call: Callable[..., object], *arguments: object, **named: object) -> str | None:
    """Name of what *call* raises."""
    try:
        call(*arguments, **named)
    except EncordException as error:
        return type(error).__name__
    return None


def projects(client: Any) -> Any:
    """Create over the envelope, then read, list, users, groups and status over REST."""
    hash_ = client.create_project("Cats", [FIRST], "about cats")
    project = client.get_project(hash_)
    project.add_users([f"u{number}@example.com" for number in range(5)], ProjectUserRole.REVIEWER)
    before = sorted((user.user_email, int(user.user_role)) for user in project.list_users())
    project.remove_users(["u1@example.com", "u2@example.com", "stranger@example.com"])
    after = sorted(user.user_email for user in project.list_users())
    for number in range(4):
        client.create_project(f"More {number}", [])
    project.set_status(ProjectStatus.IN_REVIEW)
    again = client.get_project(hash_)
    return {
        "hash": hash_,
        "title": project.title,
        "description": project.description,
        "role": int(project.user_role),
        "type": project.project_type.value,
        "status": again.status.value,
        "creator": again.creator_email,
        "ontology": project.ontology_structure.to_dict(),
        "datasets": [str(dataset.dataset_hash) for dataset in project.list_datasets()],
        "before": before,
        "after": after,
        "listed": [item.title for item in client.list_projects()],
        "filtered": [item.title for item in client.list_projects(title_like="More%", created_after="2020-01-01")],
        "unknown": raised(client.get_project, str(UUID(int=1))),
    }


def datasets(client: Any) -> Any:
    """Create, list, users."""
    made = client.create_dataset("Raw", StorageLocation.CORD_STORAGE, "all of it", create_backing_folder=True)
    dataset = client.get_dataset(made.dataset_hash)
    dataset.add_users(["a@example.com", "b@example.com"], DatasetUserRole.USER)
    users = [(user.user_email, int(user.user_role)) for user in dataset.list_users()]
    dataset.remove_users(["a@example.com", "stranger@example.com"])
    found = client.get_datasets(title_eq="Raw", desc_like="all%", created_after="2020-01-01")
    return {
        "hash": made.dataset_hash,
        "folder": made.backing_folder_uuid is not None,
        "users": users,
        "left": [user.user_email for user in dataset.list_users()],
        "found": [
            (item["dataset"].dataset_hash, item["dataset"].description, int(item["user_role"])) for item in found
        ],
        "all": len(client.get_datasets()),
        "organisation": len(client.get_datasets(include_org_access=True)),
    }


def ontologies(client: Any) -> Any:
    """Create with a structure, save, list, use in a project."""
    structure = OntologyStructure()
    structure.add_object("Cat", Shape.BOUNDING_BOX)
    ontology = client.create_ontology("Pets", "of the house", structure)
    ontology.structure.add_object("Dog", Shape.POLYGON)
    ontology.title = "Animals"
    ontology.save()
    project = client.get_project(client.create_project("Pets", [], ontology_hash=ontology.ontology_hash))
    return {
        "title": client.get_ontology(ontology.ontology_hash).title,
        "names": [item.name for item in project.ontology_structure.objects],
        "listed": [item["ontology"].title for item in client.get_ontologies(title_eq="Animals")],
        "role": int(client.get_ontology(ontology.ontology_hash).user_role),
    }


def groups(client: Any) -> Any:
    """Groups, their members, on a project; users of the organisation; tags."""
    adding = {"role_mnemonic_name": "MEMBER", "member_type": "internal"}
    client.add_organisation_user("new+x@example.com", **adding)
    group = client.create_group("Reviewers", "all of them")
    added = [user.user_email for user in group.add_users(["new+x@example.com"])]
    project = client.get_project(client.create_project("Grouped", []))
    project.add_group(group.group_hash, ProjectUserRole.REVIEWER)
    on_it = [(item.name, int(item.user_role)) for item in project.list_groups()]
    project.remove_group(group.group_hash)
    dataset = client.get_dataset(FIRST)
    ontology = client.create_ontology("Grouped", "", OntologyStructure())
    elsewhere = {}
    roles = {"dataset": (dataset, DatasetUserRole.USER), "ontology": (ontology, OntologyUserRole.ADMIN)}
    for name, (thing, role) in roles.items():
        thing.add_group([group.group_hash], role)
        elsewhere[name] = [(item.name, int(item.user_role), item.is_same_organisation) for item in thing.list_groups()]
        thing.remove_group(group.group_hash)
        elsewhere[name] += [item.name for item in thing.list_groups()]
    dataset.add_group(group.group_hash, DatasetUserRole.ADMIN)
    tag = client.create_organisation_tag("q1")
    project.add_organisation_tag(tag)
    tagged = [item.title for item in client.list_projects(tags_anyof=[tag])]
    tags = [item.name for item in project.get_organisation_tags(use_cache=False)]
    project.remove_organisation_tag(tag_name="q1")
    strangers = raised(group.add_users, ["stranger@example.com"])
    group.remove_users(["new+x@example.com"])
    users = [(user.email, user.role_mnemonic_name, user.member_type) for user in client.list_organisation_users()]
    again = raised(client.add_organisation_user, "new+x@example.com", **adding)
    client.remove_organisation_user("new+x@example.com")
    return {
        "listed": [item.name for item in client.list_groups()],
        "got": client.get_group(group.group_hash).description,
        "added": added,
        "left": [user.user_email for user in group.list_users()],
        "elsewhere": elsewhere,
        "on_it": on_it,
        "off_it": [item.name for item in project.list_groups()],
        "tags": tags,
        "tagged": tagged,
        "untagged": [item.name for item in project.get_organisation_tags(use_cache=False)],
        "same_tag": raised(client.create_organisation_tag, "q1"),
        "strangers": strangers,
        "users": users,
        "again": again,
        "gone": [user.email for user in client.list_organisation_users()],
        "nobody": raised(client.remove_organisation_user, "nobody@example.com"),
        "not_offered": raised(group.update_group, name="Other"),
    }


def tokens(client: Any, domain: str) -> Any:
    """A bearer token, and a client that uses it."""
    token = client.get_bearer_token()
    other = EncordUserClient.create_with_bearer_token(token, domain=domain)
    return [project.title for project in other.list_projects(title_eq="Cats")]


def main() -> None:
    """Do everything once."""
    domain = sys.argv[1]
    client = EncordUserClient.create_with_ssh_private_key(sys.stdin.read(), domain=domain)
    seen = {
        "projects": projects(client),
        "datasets": datasets(client),
        "ontologies": ontologies(client),
        "groups": groups(client),
        "tokens": tokens(client, domain),
    }
    sys.stdout.write(json.dumps(seen))


main()
