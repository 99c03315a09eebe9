"""The emulated service: who calls, which rule answers, and the answer committed before it is told.

Pure with respect to HTTP. Order of checks: credential, envelope, method, headers and resource, permission, arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from encord_async.emulator.datasets import DATASET_RULES
from encord_async.emulator.envelope import Refused, Request, parse
from encord_async.emulator.projects import PROJECT_RULES
from encord_async.emulator.rules import Call, Caller, KeyCaller, UserCaller
from encord_async.emulator.signatures import ApiKey, Bearer, Signed, credential_of
from encord_async.emulator.store import Store
from encord_async.protocol.catalogue import QUERIES, Effect, Endpoint, ResourceType

__all__ = ["LISTINGS", "QUERY_NAMES", "Envelope", "Service"]

_RULES: Final = {**PROJECT_RULES, **DATASET_RULES}
QUERY_NAMES: Final = frozenset(f"{type_}.{method}" for _, type_, method in _RULES)
"""Every call that the emulator answers, for example ``project.POST``."""

LISTINGS: Final = frozenset(
    {
        "projectwithuserrole.GET",
        "datasetwithuserrole.GET",
        "ontologywithuserrole.GET",
        "projectapikey.GET",
        "datasetapikey.GET",
        "project.GET",
    }
)
"""The calls that a stale read shows the past."""

_WRITES: Final = frozenset(
    {item.name for item in QUERIES.values() if item.effect is not Effect.READ} | {"ontology.PUT"}
)

_RESOURCES: Final[Mapping[str, ResourceType]] = {
    **{item.name: item.resource_type for item in QUERIES.values() if item.resource_type is not None},
    "ontology.PUT": ResourceType.ONTOLOGY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One request as it came in: the exact bytes, what they say if they are JSON, and the headers that count."""

    endpoint: Endpoint
    body: bytes
    document: object
    authorization: str | None
    resource_id: str
    resource_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Answers envelopes out of *store*. With *strict*, only what the official SDK sends."""

    store: Store
    strict: bool

    def answer(self, envelope: Envelope, *, now_us: int, stale_us: int = 0, fault: str | None = None) -> object:
        """Return the result of a call; whatever it changed is committed, and noted in the log together with *fault*.

        Raises:
            Refused: The call is turned down, and nothing was changed.
        """
        caller = self._caller(envelope)
        request = parse(envelope.endpoint, envelope.document, envelope.body, strict=self.strict)
        rule = _RULES.get((envelope.endpoint, request.type, request.method))
        if rule is None:
            raise Refused("METHOD_NOT_ALLOWED_ERROR")
        self._check_headers(envelope, caller, request)
        call = Call(
            store=self.store,
            caller=caller,
            resource_type=envelope.resource_type,
            resource_id=envelope.resource_id,
            request=request,
            strict=self.strict,
            now_us=now_us,
            as_of_us=now_us - stale_us,
        )
        if request.name not in _WRITES:
            return rule(call).result
        with self.store.transaction():
            answer = rule(call)
            self.store.note(query=request.name, hash_=answer.hash, title=answer.title, fault=fault, now_us=now_us)
        return answer.result

    def _caller(self, envelope: Envelope) -> Caller:
        match credential_of(envelope.authorization, envelope.body):
            case Signed(secret):
                unknown = Refused("SSH_KEY_NOT_FOUND_ERROR", "the public key is not registered")
            case Bearer(secret):
                unknown = Refused("AUTHENTICATION_ERROR")
            case ApiKey(key) if envelope.endpoint is Endpoint.RESOURCE and (found := self.store.key(key)):
                return KeyCaller(*found)
            case _:
                raise Refused("AUTHENTICATION_ERROR")
        users = self.store.users_of(secret)
        if not users:
            raise unknown
        if len(users) > 1:
            raise Refused("DUPLICATE_SSH_KEY_ERROR")
        return UserCaller(users[0])

    def _check_headers(self, envelope: Envelope, caller: Caller, request: Request) -> None:
        if envelope.endpoint is Endpoint.USER:
            if self.strict and (envelope.resource_id or envelope.resource_type):
                raise Refused("INVALID_ARGUMENTS_ERROR", "strict: ResourceID and ResourceType are empty here")
            return
        if not (envelope.resource_id.isascii() and envelope.resource_id.isprintable()):
            raise Refused("INVALID_ARGUMENTS_ERROR", "the ResourceID header is not text")
        if not envelope.resource_id:
            raise Refused("INVALID_ARGUMENTS_ERROR", "the ResourceID header is missing")
        if isinstance(caller, KeyCaller):
            if self.strict and envelope.resource_type:
                raise Refused("INVALID_ARGUMENTS_ERROR", "strict: ResourceType is not sent with an API key")
            if envelope.resource_id != caller.resource_hash:
                raise Refused("AUTHORISATION_ERROR", "the API key is not one of that resource")
            return
        wanted = _RESOURCES.get(request.name)
        accepted = {wanted} if request.type != "ontology" else {ResourceType.ONTOLOGY, ResourceType.PROJECT}
        if wanted is not None and envelope.resource_type not in accepted:
            raise Refused("INVALID_ARGUMENTS_ERROR", f"the ResourceType header has to be {wanted}")
