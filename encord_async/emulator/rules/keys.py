"""The rules of API keys, of projects and of datasets.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock.
"""

import json
from collections.abc import Sequence
from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, KeyCaller, Rules
from encord_async.emulator.rules.access import resource, user_of
from encord_async.emulator.store import DATASET, PROJECT, DatasetRow, KeyRow, Kind, Row
from encord_async.protocol.catalogue import APIKeyScope, DatasetScope

__all__ = ["RULES"]


def _create_for_project(call: Call) -> Answer:
    project = resource(call, PROJECT, call.uid_text())
    given = call.members("title", "scopes")
    title, scopes = given.name("title"), given.members("scopes", tuple(APIKeyScope))
    key = _made(call, PROJECT, project, title, scopes)
    return Answer(key.api_key, project.hash, title)


def _list_of_project(call: Call) -> Answer:
    project = resource(call, PROJECT, call.uid_text())
    call.payload_is(None)
    keys = call.store.keys_of(PROJECT, project.id, call.as_of_us)
    return Answer([{"api_key": key.api_key, "title": key.title, "scopes": json.loads(key.scopes)} for key in keys])


def _full_of_project(call: Call) -> Answer:
    project = resource(call, PROJECT, call.uid_text())
    call.payload_is({})
    key = _full(call, PROJECT, project, tuple(APIKeyScope))
    return Answer(key.api_key, project.hash, key.title)


def _create_for_dataset(call: Call) -> Answer:
    call.uid_is_null()
    given = call.members("dataset_hash", "title", "scopes")
    dataset = resource(call, DATASET, given.name("dataset_hash"))
    title, scopes = given.name("title"), given.members("scopes", tuple(DatasetScope))
    return Answer(_shown(_made(call, DATASET, dataset, title, scopes), dataset), dataset.hash, title)


def _list_of_dataset(call: Call) -> Answer:
    dataset = _dataset(call)
    return Answer([_shown(key, dataset) for key in call.store.keys_of(DATASET, dataset.id, call.as_of_us)])


def _full_of_dataset(call: Call) -> Answer:
    dataset = _dataset(call)
    key = _full(call, DATASET, dataset, tuple(DatasetScope))
    return Answer(_shown(key, dataset), dataset.hash, key.title)


def _dataset(call: Call) -> DatasetRow:
    call.uid_is_null()
    return resource(call, DATASET, call.members("dataset_hash").name("dataset_hash"))


def _full(call: Call, kind: Kind[Row], of: Row, every: Sequence[str]) -> KeyRow:
    """Return the key with every scope, a new one if there was none."""
    for key in call.store.keys_of(kind, of.id, call.now_us):
        if set(json.loads(key.scopes)) == set(every):
            return key
    return _made(call, kind, of, f"{of.hash} - admin key", every)


def _made(call: Call, kind: Kind[Row], of: Row, title: str, scopes: Sequence[str]) -> KeyRow:
    user = user_of(call)
    return call.store.add_key(kind, of.id, title=title, scopes=scopes, user_id=user.id, now_us=call.now_us)


def _shown(key: KeyRow, dataset: DatasetRow) -> dict[str, object]:
    return {
        "resource_hash": dataset.hash,
        "api_key": key.api_key,
        "title": key.title,
        "key_hash": key.key_hash,
        "scopes": json.loads(key.scopes),
    }


def _metadata(call: Call) -> Answer:
    call.uid_is_null()
    call.payload_is(None)
    if not isinstance(call.caller, KeyCaller):
        raise Refused("INVALID_ARGUMENTS_ERROR", "apikeymeta is asked with an API key")
    return Answer({"title": call.caller.key.title, "resource_type": call.caller.key.kind})


RULES: Final[Rules] = {
    "projectapikey.POST": _create_for_project,
    "projectapikey.GET": _list_of_project,
    "projectapikey.PUT": _full_of_project,
    "datasetapikey.POST": _create_for_dataset,
    "datasetapikey.GET": _list_of_dataset,
    "datasetapikey.PUT": _full_of_dataset,
    "apikeymeta.GET": _metadata,
}
