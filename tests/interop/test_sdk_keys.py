"""What only older releases of the SDK do over the envelope API: API keys, datasets and ontologies."""

import pytest

from encord_async import APIKeyScope, EncordSession, ForbiddenError, ProjectUserRole, StorageLocation
from encord_async.operations import ListingFilter
from tests.interop.conftest import ANNS_PROJECT, BOBS_PROJECT, CATS, DOGS, PETS, Sdk, SdkError, only_old

pytestmark = only_old

EVERY_SCOPE = {scope.value for scope in APIKeyScope}


async def test_the_sdk_makes_and_lists_project_keys(sdk: Sdk, session: EncordSession) -> None:
    """Keys made by the SDK are in its list and in ours, with title and scopes."""
    key = await sdk.call("create_project_api_key", on=ANNS_PROJECT, title="ci", scopes=["label.read", "label.write"])
    (theirs,) = await sdk.call("get_project_api_keys", on=ANNS_PROJECT)
    assert theirs == {"api_key": key, "title": "ci", "scopes": ["label.read", "label.write"]}
    (ours,) = await session.list_project_api_keys(ANNS_PROJECT)
    assert (ours.api_key.get_secret_value(), ours.title) == (key, "ci")
    assert ours.scopes == (APIKeyScope.LABEL_READ, APIKeyScope.LABEL_WRITE)


async def test_the_sdk_lists_keys_of_ours(sdk: Sdk, session: EncordSession) -> None:
    """A key made by us is in the SDK's list."""
    key = await session.create_project_api_key(ANNS_PROJECT, "ours", [APIKeyScope.LABEL_READ])
    assert await sdk.call("get_project_api_keys", on=ANNS_PROJECT) == [
        {"api_key": key.get_secret_value(), "title": "ours", "scopes": ["label.read"]}
    ]


async def test_get_or_create_gives_one_key(sdk: Sdk, session: EncordSession) -> None:
    """The key with every scope is made once, whoever asks for it: the SDK, we, the SDK again."""
    first = await sdk.call("get_or_create_project_api_key", on=ANNS_PROJECT)
    ours = await session.get_or_create_project_api_key(ANNS_PROJECT)
    again = await sdk.call("get_or_create_project_api_key", on=ANNS_PROJECT)
    assert first == ours.get_secret_value() == again
    (listed,) = await session.list_project_api_keys(ANNS_PROJECT)
    assert {str(scope) for scope in listed.scopes} == EVERY_SCOPE
    assert listed.title == f"{ANNS_PROJECT} - admin key"


async def test_a_project_key_works_in_the_sdk(sdk: Sdk, session: EncordSession) -> None:
    """With a key the SDK reads the project, attaches, detaches and adds users, whatever the key's scopes are."""
    key = await sdk.call("create_project_api_key", on=ANNS_PROJECT, title="k", scopes=["label.write"])
    by_key = sdk.with_api_key(key)
    assert (await by_key.call("get_project", on=ANNS_PROJECT))["title"] == "Ann's"
    assert await by_key.call("add_datasets", on=ANNS_PROJECT, dataset_hashes=[DOGS]) is True
    assert await by_key.call("remove_datasets", on=ANNS_PROJECT, dataset_hashes=[CATS]) is True
    added = await by_key.call("add_users", on=ANNS_PROJECT, emails=["x@example.com"], role="TEAM_MANAGER")
    assert added == [["x@example.com", "TEAM_MANAGER", ANNS_PROJECT]]
    read = await session.project(ANNS_PROJECT).get()
    assert [dataset.dataset_hash for dataset in read.datasets] == [DOGS]


async def test_a_key_of_ours_works_in_the_sdk_and_one_of_the_sdk_in_ours(sdk: Sdk, session: EncordSession) -> None:
    """It makes no difference which client made a key."""
    ours = await session.create_project_api_key(ANNS_PROJECT, "ours", [APIKeyScope.LABEL_READ])
    by_key = sdk.with_api_key(ours.get_secret_value())
    assert await by_key.call("add_datasets", on=ANNS_PROJECT, dataset_hashes=[DOGS]) is True
    assert await by_key.call("list_label_rows", on=ANNS_PROJECT) == []

    theirs = await sdk.call("create_project_api_key", on=ANNS_PROJECT, title="theirs", scopes=["label.read"])
    project = session.project(ANNS_PROJECT, api_key=theirs)
    await project.remove_datasets([CATS])
    (user,) = await project.add_users(["x@example.com"], ProjectUserRole.ANNOTATOR)
    assert user.user_role == ProjectUserRole.ANNOTATOR
    assert [dataset.dataset_hash for dataset in (await project.get()).datasets] == [DOGS]


async def test_label_rows_need_the_scope(sdk: Sdk) -> None:
    """A key without label.read may not list label rows, and the SDK says so."""
    key = await sdk.call("create_project_api_key", on=ANNS_PROJECT, title="k", scopes=["label.write"])
    with pytest.raises(SdkError, match=r"^OperationNotAllowed: The read/write operation is not allowed by the API key"):
        await sdk.with_api_key(key).call("list_label_rows", on=ANNS_PROJECT)


async def test_a_key_is_of_one_project(sdk: Sdk, session: EncordSession) -> None:
    """Neither client gets into another project with it."""
    key = await sdk.call("create_project_api_key", on=ANNS_PROJECT, title="k", scopes=sorted(EVERY_SCOPE))
    with pytest.raises(SdkError, match=r"^AuthorisationError: "):
        await sdk.with_api_key(key).call("get_project", on=BOBS_PROJECT)
    with pytest.raises(ForbiddenError):
        await session.project(BOBS_PROJECT, api_key=key).get()


async def test_a_key_that_does_not_exist(sdk: Sdk) -> None:
    """The SDK says that it is not authenticated."""
    with pytest.raises(SdkError, match=r"^AuthenticationError: "):
        await sdk.with_api_key("0-1aABCDE_aFGcdeHIfJ2KfLMgNO3PQh4RST5UV6W_X").call("get_project", on=ANNS_PROJECT)


async def test_the_sdk_creates_and_lists_datasets(sdk: Sdk, session: EncordSession) -> None:
    """Each storage location arrives; both clients list what either has made."""
    for place in StorageLocation:
        made = await sdk.call("create_dataset", title=f"sdk {place.name}", storage=_storage_name(place))
        assert made["title"] == f"sdk {place.name}"
    ours = await session.create_dataset("ours", description="by us", storage=StorageLocation.GCP_STR)

    listed = await session.list_datasets(ListingFilter(title_like="sdk %"))
    assert [item.dataset.type for item in listed] == list(StorageLocation)
    (seen,) = await sdk.call("get_datasets", title_eq="ours")
    assert (seen["user_role"], seen["dataset_hash"]) == ("ADMIN", ours.dataset_hash)
    assert (seen["description"], seen["type"]) == ("by us", StorageLocation.GCP_STR)
    assert seen["backing_folder_uuid"] == ours.backing_folder_uuid is not None


def _storage_name(place: StorageLocation) -> str:
    # The SDK's names for the same numbers.
    names = {0: "CORD_STORAGE", 1: "AWS", 2: "GCP", 3: "AZURE", 4: "S3_COMPATIBLE"}
    return names[place]


async def test_a_dataset_of_the_sdk_goes_into_a_project_of_ours(sdk: Sdk, session: EncordSession) -> None:
    """Hashes pass between the clients."""
    dataset = (await sdk.call("create_dataset", title="D", storage="CORD_STORAGE", description="d"))["dataset_hash"]
    project = await session.create_project("P", dataset_hashes=[dataset])
    (seen,) = (await sdk.call("get_project", on=project))["datasets"]
    assert seen == {"dataset_hash": dataset, "title": "D", "description": "d", "dataset_type": "CORD_STORAGE"}


async def test_dataset_keys(sdk: Sdk) -> None:
    """The SDK makes, lists and uses API keys of datasets; one without the scope does not list data rows."""
    writer = await sdk.call("create_dataset_api_key", on=CATS, title="w", scopes=["dataset.write"])
    full = await sdk.call("get_or_create_dataset_api_key", on=CATS)
    assert full == await sdk.call("get_or_create_dataset_api_key", on=CATS)
    listed = await sdk.call("get_dataset_api_keys", on=CATS)
    assert [(key["dataset_hash"], key["api_key"]) for key in listed] == [
        (CATS, writer["api_key"]),
        (CATS, full["api_key"]),
    ]
    assert (await sdk.with_api_key(full["api_key"]).call("get_dataset", on=CATS))["title"] == "Cats"
    assert await sdk.with_api_key(full["api_key"]).call("list_data_rows", on=CATS) == []
    with pytest.raises(SdkError, match=r"^OperationNotAllowed: "):
        await sdk.with_api_key(writer["api_key"]).call("list_data_rows", on=CATS)


async def test_the_sdk_works_on_ontologies(sdk: Sdk, session: EncordSession) -> None:
    """An ontology that the SDK makes, fills and saves is the one that a project of ours shows."""
    made = await sdk.call("create_ontology", title="O", description="empty")
    saved = await sdk.call("save_ontology", on=made, title="O 2")
    assert saved == {"title": "O 2", "objects": ["Cat"]}
    listed = await sdk.call("get_ontologies")
    assert listed == [[PETS, "Pets", "ADMIN"], [made, "O 2", "ADMIN"]]
    project = await session.create_project("P", ontology_hash=made)
    ontology = await session.project(project).get_ontology()
    assert [item["name"] for item in ontology["objects"]] == ["Cat"]


async def test_the_sdk_asks_for_cloud_integrations(sdk: Sdk) -> None:
    """There are none, and the SDK takes that."""
    assert await sdk.call("get_cloud_integrations") == []
