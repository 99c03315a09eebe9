"""Facts of Encord's envelope API: names, numbers and codes, each with its source.

Data only. Nothing here decides, encodes or sends; client and emulator share this module and nothing else,
so a mistake in the client's logic cannot be forgiven by a server that repeats it.

Marks used in ``source``: *docs* is the vendor's page on projects over the API; *SDK x.y* is the official Python
SDK at that release, read or captured; *inferred* is our own reading, never confirmed by the vendor.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Literal, TypeAlias

__all__ = [
    "CODES",
    "DEFAULT_DOMAIN",
    "ENVELOPE_SUCCESS",
    "QUERIES",
    "US_DOMAIN",
    "APIKeyScope",
    "CodeFact",
    "CodeMeaning",
    "CopyOption",
    "DatasetScope",
    "DatasetUserRole",
    "Effect",
    "Endpoint",
    "Header",
    "Method",
    "ProjectUserRole",
    "Query",
    "ResourceType",
    "StorageLocation",
    "query",
]

DEFAULT_DOMAIN: Final = "https://api.encord.com"
"""Source: docs; SDK 0.1.43 and newer (``configs.py``)."""

US_DOMAIN: Final = "https://api.us.encord.com"
"""Source: vendor's authentication page. Accounts are per region; the wrong one looks like an unknown key."""

ENVELOPE_SUCCESS: Final = 200
"""The only ``status`` in a reply's body that means success, as an integer. Source: SDK 0.1.211 ``http/querier.py``."""

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
"""``query_method`` of an envelope. The HTTP method is POST always. Source: SDK, all releases (``http/request.py``)."""


class Endpoint(StrEnum):
    """Paths that take envelopes. Source: docs."""

    USER = "/public/user"
    RESOURCE = "/public"


class ResourceType(StrEnum):
    """Values of the ``ResourceType`` header. Source: SDK 0.1.211 ``constants/string_constants.py``."""

    PROJECT = "project"
    DATASET = "dataset"
    ONTOLOGY = "ontology"


class Header(StrEnum):
    """Header names of the envelope API. Source: docs; SDK 0.1.211 captured."""

    AUTHORIZATION = "Authorization"
    RESOURCE_ID = "ResourceID"
    RESOURCE_TYPE = "ResourceType"
    TRACE = "X-Cloud-Trace-Context"
    RETRY_AFTER = "Retry-After"


class Effect(StrEnum):
    """What doing an operation twice would do; the retry table has a column for each."""

    READ = "read"
    """Changes nothing."""
    SET = "set"
    """Idempotent: twice leaves the service as once would."""
    CREATE = "create"
    """Twice makes two things, and this API cannot delete them."""


class ProjectUserRole(IntEnum):
    """Role of a user in a project. Source: docs (0 to 4); SDK 0.1.211 (5)."""

    ADMIN = 0
    ANNOTATOR = 1
    REVIEWER = 2
    ANNOTATOR_REVIEWER = 3
    TEAM_MANAGER = 4
    VIEWER = 5


class DatasetUserRole(IntEnum):
    """Role of a user in a dataset. Source: SDK 0.1.60 and newer."""

    ADMIN = 0
    USER = 1


class APIKeyScope(StrEnum):
    """Scopes of a project API key. Source: docs (label.*); SDK 0.1.23 to 0.1.145 (the rest)."""

    LABEL_READ = "label.read"
    LABEL_WRITE = "label.write"
    MODEL_INFERENCE = "model.inference"
    MODEL_TRAIN = "model.train"
    LABEL_LOGS_READ = "label_logs.read"
    ALGO_LIBRARY = "algo.library"


class DatasetScope(StrEnum):
    """Scopes of a dataset API key. Source: SDK 0.1.23 to 0.1.145."""

    READ = "dataset.read"
    WRITE = "dataset.write"


class StorageLocation(IntEnum):
    """Where a dataset keeps its data (``type`` of a dataset). Source: vendor's datasets page; SDK 0.1.122 (4)."""

    CORD_STORAGE = 0
    AWS_S3 = 1
    GCP_STR = 2
    AZURE_STR = 3
    S3_COMPATIBLE_STR = 4


class CopyOption(StrEnum):
    """What a project copy takes along, in the order in which the SDK lists them. Source: SDK 0.1.23 and newer."""

    LABELS = "labels"
    DATASETS = "datasets"
    MODELS = "models"
    COLLABORATORS = "collaborators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One call of the envelope API: its name on the wire, where it goes and what repeating it does."""

    type: str
    method: Method
    endpoint: Endpoint
    resource_type: ResourceType | None
    effect: Effect
    source: str

    @property
    def name(self) -> str:
        """The name used in logs, statistics and fault rules, for example ``project.POST``."""
        return f"{self.type}.{self.method}"


def _user(type_: str, method: Method, effect: Effect, source: str) -> Query:
    return Query(type=type_, method=method, endpoint=Endpoint.USER, resource_type=None, effect=effect, source=source)


def _on(resource: ResourceType, type_: str, method: Method, effect: Effect, source: str) -> Query:
    return Query(
        type=type_,
        method=method,
        endpoint=Endpoint.RESOURCE,
        resource_type=resource,
        effect=effect,
        source=source,
    )


_PROJECT, _DATASET, _ONTOLOGY = ResourceType.PROJECT, ResourceType.DATASET, ResourceType.ONTOLOGY
_READ, _SET, _CREATE = Effect.READ, Effect.SET, Effect.CREATE

_ALL_QUERIES: Final = (
    _user("project", "POST", _CREATE, "docs; SDK 0.1.23-0.1.211"),
    _user("projectapikey", "POST", _CREATE, "docs; SDK 0.1.23-0.1.145"),
    _user("projectapikey", "GET", _READ, "docs; SDK 0.1.23-0.1.145"),
    _user("projectapikey", "PUT", _SET, "SDK 0.1.27-0.1.141: get-or-create, so twice is once"),
    _user("projectwithuserrole", "GET", _READ, "SDK 0.1.29-0.1.211"),
    _user("dataset", "POST", _CREATE, "vendor's datasets page; SDK 0.1.23-0.1.152"),
    _user("datasetwithuserrole", "GET", _READ, "SDK 0.1.29-0.1.152"),
    _user("datasetapikey", "POST", _CREATE, "SDK 0.1.23-0.1.145"),
    _user("datasetapikey", "GET", _READ, "SDK 0.1.23-0.1.145"),
    _user("datasetapikey", "PUT", _SET, "SDK 0.1.27-0.1.141"),
    _user("ontology", "POST", _CREATE, "SDK 0.1.43-0.1.152"),
    _user("ontologywithuserrole", "GET", _READ, "SDK 0.1.43-0.1.152"),
    _on(_PROJECT, "project", "GET", _READ, "docs; SDK 0.0.1-0.1.211"),
    _on(_PROJECT, "projectdataset", "POST", _SET, "docs; SDK; that a second attach is harmless is inferred"),
    _on(_PROJECT, "projectdataset", "DELETE", _SET, "docs; SDK; that a second detach is harmless is inferred"),
    _on(_PROJECT, "projectusers", "POST", _SET, "docs; SDK docstring: an existing member keeps the role"),
    _on(_PROJECT, "projectcopy", "POST", _CREATE, "SDK 0.1.23-0.1.211"),
    _on(_PROJECT, "apikeymeta", "GET", _READ, "SDK 0.1.2-0.1.145, sent with an API key"),
    _on(_PROJECT, "labelrowmetadata", "GET", _READ, "SDK 0.1.34-0.1.211"),
    _on(_DATASET, "dataset", "GET", _READ, "SDK 0.1.2-0.1.211"),
    _on(_DATASET, "datasetusers", "POST", _SET, "SDK 0.1.58-0.1.211"),
    _on(_DATASET, "datarows", "GET", _READ, "SDK 0.1.70-0.1.211"),
    _on(_ONTOLOGY, "ontology", "GET", _READ, "SDK 0.1.43-0.1.152"),
)

QUERIES: Final = {(item.endpoint, item.type, item.method): item for item in _ALL_QUERIES}
"""Every call known here, by endpoint, ``query_type`` and ``query_method``."""


def query(endpoint: Endpoint, type_: str, method: Method) -> Query:
    """Look a call up by its names on the wire; KeyError if the catalogue does not have it."""
    return QUERIES[endpoint, type_, method]


class CodeMeaning(StrEnum):
    """What an error code says about the call it answers."""

    UNAUTHENTICATED = "unauthenticated"
    """The credential is not accepted; no other call will be either."""
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    EXISTS = "exists"
    INVALID = "invalid"
    THROTTLED = "throttled"
    REFUSED = "refused"
    """Turned down for a reason of its own."""
    UNCLEAR = "unclear"
    """The service broke down; whether it had acted by then is not said."""


@dataclass(frozen=True, slots=True)
class CodeFact:
    """One error code: its meaning, the SDK release that first knew it, and what it says to a person."""

    meaning: CodeMeaning
    since: str
    text: str


CODES: Final[dict[str, CodeFact]] = {
    "AUTHENTICATION_ERROR": CodeFact(
        CodeMeaning.UNAUTHENTICATED, "0.0.1", "the key, signature or region is not accepted"
    ),
    "SSH_KEY_NOT_FOUND_ERROR": CodeFact(
        CodeMeaning.UNAUTHENTICATED, "0.1.37", "the public key is not registered, or in another region"
    ),
    "DUPLICATE_SSH_KEY_ERROR": CodeFact(
        CodeMeaning.UNAUTHENTICATED, "0.1.37", "the public key is registered more than once"
    ),
    "AUTHORISATION_ERROR": CodeFact(CodeMeaning.FORBIDDEN, "0.0.1", "no access to that resource"),
    "OPERATION_NOT_ALLOWED": CodeFact(CodeMeaning.FORBIDDEN, "0.0.1", "the API key lacks the scope"),
    "METHOD_NOT_ALLOWED_ERROR": CodeFact(CodeMeaning.INVALID, "0.1.0", "that query_method is not offered"),
    "RESOURCE_NOT_FOUND_ERROR": CodeFact(CodeMeaning.NOT_FOUND, "0.1.27", "no such resource"),
    "RESOURCE_EXISTS_ERROR": CodeFact(CodeMeaning.EXISTS, "0.1.0", "it is there already"),
    "INVALID_ARGUMENTS_ERROR": CodeFact(CodeMeaning.INVALID, "0.1.37", "an argument is not accepted"),
    "INVALID_DATE_FORMAT_ERROR": CodeFact(CodeMeaning.INVALID, "0.1.34", "a date filter is not accepted"),
    "WRONG_PROJECT_TYPE_ERROR": CodeFact(CodeMeaning.REFUSED, "0.1.75", "not for this type of project"),
    "RATE_LIMIT_ERROR": CodeFact(CodeMeaning.THROTTLED, "0.1.211", "too many requests"),
    "UNKNOWN_ERROR": CodeFact(CodeMeaning.UNCLEAR, "0.0.1", "the service broke down"),
    "MULTI_LABEL_LIMIT_ERROR": CodeFact(CodeMeaning.REFUSED, "0.1.50", "too many labels in one request"),
    "ANSWER_DICTIONARY_ERROR": CodeFact(CodeMeaning.REFUSED, "0.0.1", "label answers do not fit"),
    "CORRUPTED_LABEL_ERROR": CodeFact(CodeMeaning.REFUSED, "0.0.1", "the label is corrupted"),
    "FEATURE_DOES_NOT_EXIST_ERROR": CodeFact(CodeMeaning.REFUSED, "0.1.10", "no such feature"),
    "MODEL_FEATURES_INCONSISTENT_ERROR": CodeFact(CodeMeaning.REFUSED, "0.1.10", "model features differ"),
    "MODEL_WEIGHTS_INCONSISTENT_ERROR": CodeFact(CodeMeaning.REFUSED, "0.1.6", "model weights do not fit"),
    "FILE_TYPE_NOT_SUPPORTED_ERROR": CodeFact(CodeMeaning.REFUSED, "0.0.3", "file type not supported"),
    "DETECTION_RANGE_INVALID_ERROR": CodeFact(CodeMeaning.REFUSED, "0.0.3", "detection range invalid"),
    "MUST_SET_DETECTION_RANGE_ERROR": CodeFact(CodeMeaning.REFUSED, "0.0.3", "detection range missing"),
    "UPLOAD_OPERATION_NOT_SUPPORTED_ERROR": CodeFact(
        CodeMeaning.REFUSED, "0.1.2", "uploads are not possible to this dataset"
    ),
    "FILE_SIZE_NOT_SUPPORTED_ERROR": CodeFact(CodeMeaning.REFUSED, "0.1.29", "the file is too large"),
}
"""Error codes in ``response[0]`` of a failure. Source: SDK ``http/error_utils.py`` over all releases."""
