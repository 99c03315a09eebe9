"""Operations on what gives access: the API keys of a project, and the caller's bearer token."""

from dataclasses import dataclass
from typing import ClassVar, Final

from pydantic import SecretStr

from encord_async.errors import UsageError
from encord_async.protocol import models, rest_models
from encord_async.protocol.catalogue import (
    APIKeyScope,
    Query,
    RestCall,
    rest_call,
)
from encord_async.protocol.checks import Adapter, as_list, assign, one_of, read_hash, text, texts
from encord_async.protocol.jsontext import JSON
from encord_async.protocol.operations.base import (
    EnvelopeOperation,
    RestOperation,
    user_call,
)

__all__ = [
    "CreateProjectAPIKey",
    "GetBearerToken",
    "GetOrCreateProjectAPIKey",
    "ListProjectAPIKeys",
]

_API_KEYS: Final = Adapter[tuple[models.ProjectAPIKey, ...]](models.Many[models.ProjectAPIKey])
_TOKEN: Final = Adapter[rest_models.BearerTokenReply](rest_models.BearerTokenReply)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnKeys:
    """What the operations on the API keys of a project have in common."""

    project_hash: str

    def __post_init__(self) -> None:
        text(self.project_hash, "project_hash")

    def uid(self) -> JSON:
        return self.project_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProjectAPIKey(_OnKeys, EnvelopeOperation[SecretStr]):
    """Create an API key of a project; the result is the key. Project admins only. Source: docs."""

    query: ClassVar[Query] = user_call("projectapikey", "POST")

    title: str
    scopes: tuple[APIKeyScope, ...]

    def __post_init__(self) -> None:
        _OnKeys.__post_init__(self)
        text(self.title, "title")
        scopes = tuple(one_of(APIKeyScope, scope, "scope of an API key") for scope in texts(self.scopes, "scopes"))
        if not scopes:
            raise UsageError("scopes is empty; an API key without a scope cannot do anything")
        assign(self, "scopes", scopes)

    def payload(self) -> JSON:
        return {"title": self.title, "scopes": [scope.value for scope in self.scopes]}

    def parse(self, content: object) -> SecretStr:
        return SecretStr(read_hash(content, self.query.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProjectAPIKeys(_OnKeys, EnvelopeOperation[tuple[models.ProjectAPIKey, ...]]):
    """List the API keys of a project, the keys themselves included. Source: docs."""

    query: ClassVar[Query] = user_call("projectapikey", "GET")

    def parse(self, content: object) -> tuple[models.ProjectAPIKey, ...]:
        return _API_KEYS.read(as_list(content), self.query.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOrCreateProjectAPIKey(_OnKeys, EnvelopeOperation[SecretStr]):
    """The project's key with all scopes, made if it is not there. Source: SDK 0.1.27 to 0.1.141."""

    query: ClassVar[Query] = user_call("projectapikey", "PUT")

    def payload(self) -> JSON:
        return {}

    def parse(self, content: object) -> SecretStr:
        return SecretStr(read_hash(content, self.query.name))


@dataclass(frozen=True, slots=True)
class GetBearerToken(RestOperation[SecretStr]):
    """Ask for a bearer token of the caller. How long it lasts is unknown. Source: SDK 0.1.145 to 0.1.211."""

    call: ClassVar[RestCall] = rest_call("GET", "/user/bearer-token")

    def parse(self, content: object) -> SecretStr:
        return _TOKEN.read(content, self.call.name).token
