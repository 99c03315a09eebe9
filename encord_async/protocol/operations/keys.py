"""Operations on what gives access: the API keys of a project, and the caller's bearer token."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import SecretStr

from encord_async.errors import UsageError
from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    APIKeyScope,
    Query,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import Adapter, Check, Text, members_of
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import EnvelopeListing, EnvelopeOperation, RestOperation, user_call

__all__ = [
    "CreateProjectAPIKey",
    "GetBearerToken",
    "GetOrCreateProjectAPIKey",
    "ListProjectAPIKeys",
]

_TOKEN: Final = Adapter[rest_models.BearerTokenReply](rest_models.BearerTokenReply)


def _scopes(scopes: Iterable[APIKeyScope], name: str) -> object:
    found = members_of(APIKeyScope, "scope of an API key").take(scopes, name)
    if not found:
        raise UsageError("scopes is empty; an API key without a scope cannot do anything")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnKeys:
    """What the operations on the API keys of a project have in common."""

    project_hash: Text

    def uid(self) -> JSON:
        return self.project_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProjectAPIKey(_OnKeys, EnvelopeOperation[models.Key]):
    """Create an API key of a project; the result is the key. Project admins only. Source: docs."""

    query: ClassVar[Query] = user_call("projectapikey", "POST")

    title: Text
    scopes: Annotated[tuple[APIKeyScope, ...], Check(_scopes)]

    def payload(self) -> JSON:
        return {"title": self.title, "scopes": [scope.value for scope in self.scopes]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectAPIKeys(_OnKeys, EnvelopeListing[models.ProjectAPIKey]):
    """List the API keys of a project, the keys themselves included. Source: docs."""

    query: ClassVar[Query] = user_call("projectapikey", "GET")


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOrCreateProjectAPIKey(_OnKeys, EnvelopeOperation[models.Key]):
    """The project's key with all scopes, made if it is not there. Source: SDK 0.1.27 to 0.1.141."""

    query: ClassVar[Query] = user_call("projectapikey", "PUT")

    def payload(self) -> JSON:
        return {}


@dataclass(frozen=True, slots=True)
class GetBearerToken(RestOperation[SecretStr]):
    """Ask for a bearer token of the caller. How long it lasts is unknown. Source: SDK 0.1.145 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/user/bearer-token")

    def parse(self, content: object) -> SecretStr:
        return _TOKEN.read(content, self.call.name).token
