"""Facts of Encord's two APIs, the envelope and REST v2: names, numbers and codes, each with its source.

Data only. Nothing here decides, encodes or sends; client and emulator share this module and nothing else,
so a mistake in the client's logic cannot be forgiven by a server that repeats it.

Marks used in ``source``: *docs* is the vendor's page on projects over the API; *SDK x.y* is the official Python
SDK at that release, read or captured; *inferred* is our own reading, never confirmed by the vendor.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, Literal, TypeAlias

__all__ = [
    "CODES",
    "DEFAULT_DOMAIN",
    "ENVELOPE_SUCCESS",
    "MAX_ACTIONS",
    "MAX_ITEMS_OF_JOB",
    "MAX_NAME_CHARACTERS",
    "MAX_PAGE_SIZE",
    "MAX_POLL_S",
    "MAX_URL_BYTES",
    "QUERIES",
    "REST_CALLS",
    "REST_ROOT",
    "SIGNATURE_ALGORITHM",
    "SIGNATURE_COMPONENTS",
    "SIGNATURE_LABEL",
    "US_DOMAIN",
    "APIKeyScope",
    "CodeFact",
    "CodeMeaning",
    "CopyOption",
    "DatasetScope",
    "DatasetUserRole",
    "Effect",
    "Endpoint",
    "FileType",
    "FolderUserRole",
    "Header",
    "ItemType",
    "JobStatus",
    "MemberType",
    "Method",
    "OntologyUserRole",
    "OrganisationRole",
    "ProjectStatus",
    "ProjectUserRole",
    "Query",
    "ResourceType",
    "RestCall",
    "RestMethod",
    "StageType",
    "StorageLocation",
    "TaskStatus",
    "query",
    "rest_call",
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
    """Header names of both APIs. Source: docs; SDK 0.1.211 captured; ``http/v2/request_signer.py`` (the last three)."""

    AUTHORIZATION = "Authorization"
    RESOURCE_ID = "ResourceID"
    RESOURCE_TYPE = "ResourceType"
    TRACE = "X-Cloud-Trace-Context"
    RETRY_AFTER = "Retry-After"
    CONTENT_DIGEST = "Content-Digest"
    SIGNATURE_INPUT = "Signature-Input"
    SIGNATURE = "Signature"


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


class OntologyUserRole(IntEnum):
    """Role of a user in an ontology. Source: SDK 0.1.211 ``utilities/ontology_user.py``."""

    ADMIN = 0
    USER = 1


class OrganisationRole(StrEnum):
    """Role of a member of the organisation (``roleMnemonicName``). Source: SDK 0.1.211 ``orm/organisation_user.py``."""

    ADMIN = "ADMIN"
    MEMBER = "MEMBER"
    TASKER = "TASKER"
    WORKFORCE_MANAGER = "WORKFORCE_MANAGER"


class MemberType(StrEnum):
    """Whether somebody belongs to the company itself. Source: SDK 0.1.211 ``orm/organisation_user.py``.

    Only internal members can be Admins of the organisation (docstring of ``add_organisation_user``).
    """

    INTERNAL = "internal"
    EXTERNAL = "external"


class ProjectStatus(StrEnum):
    """Where a project stands in its life. Source: SDK 0.1.163 and newer, ``orm/project.py``; 0.1.189 (in review)."""

    NOT_STARTED = "notStarted"
    IN_PROGRESS = "inProgress"
    IN_REVIEW = "inReview"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ARCHIVED = "archived"


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


class FolderUserRole(StrEnum):
    """Role of a user or a group in a storage folder: a word, unlike others. Source: SDK 0.1.211 ``orm/storage.py``."""

    USER = "user"
    ADMIN = "admin"


class FileType(StrEnum):
    """What a file in the cloud is registered as (``externalFileType``). Source: SDK 0.1.211 ``orm/storage.py``."""

    VIDEO = "VIDEO"
    IMAGE = "IMAGE"
    AUDIO = "AUDIO"
    TIME_SERIES = "TIMESERIES"
    NIFTI = "NIFTI"
    TEXT = "PLAIN_TEXT"
    PDF = "PDF"


class ItemType(StrEnum):
    """What an item of a storage folder is. Source: SDK 0.1.211 ``orm/storage.py``."""

    VIDEO = "video"
    IMAGE = "image"
    GROUP = "group"
    IMAGE_GROUP = "imageGroup"
    IMAGE_SEQUENCE = "imageSequence"
    DICOM_FILE = "dicomFile"
    DICOM_SERIES = "dicomSeries"
    AUDIO = "audio"
    TIME_SERIES = "timeseries"
    NIFTI = "nifti"
    TEXT = "plainText"
    PDF = "pdf"
    SCENE = "scene"


class JobStatus(StrEnum):
    """How far a job is: an upload or a sync, which spells it in lower case. Source: SDK 0.1.211 ``orm/dataset.py``."""

    PENDING = "PENDING"
    DONE = "DONE"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"


class StageType(StrEnum):
    """What a stage of a workflow is for. Source: SDK 0.1.211 ``orm/workflow.py``."""

    ANNOTATION = "ANNOTATION"
    REVIEW = "REVIEW"
    USER_ROUTER = "USER_ROUTER"
    PERCENTAGE_ROUTER = "PERCENTAGE_ROUTER"
    CONSENSUS_ANNOTATION = "CONSENSUS_ANNOTATION"
    CONSENSUS_REVIEW = "CONSENSUS_REVIEW"
    DONE = "DONE"
    AGENT = "AGENT"


class TaskStatus(StrEnum):
    """How far a task is in its stage. Source: SDK 0.1.211 ``workflow/stages/*.py``."""

    NEW = "NEW"
    ASSIGNED = "ASSIGNED"
    RELEASED = "RELEASED"
    SKIPPED = "SKIPPED"
    REOPENED = "REOPENED"
    COMPLETED = "COMPLETED"


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
    name: str = field(init=False, repr=False, compare=False)
    """The name used in logs, statistics and fault rules, for example ``project.POST``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.type}.{self.method}")


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
    _on(_DATASET, "datasetlinkitems", "POST", _SET, "SDK 0.1.211; sent with SKIP, which passes over what is linked"),
    _on(_DATASET, "video", "DELETE", _SET, "SDK 0.1.211; that a second removal is harmless is inferred"),
    _on(_ONTOLOGY, "ontology", "GET", _READ, "SDK 0.1.43-0.1.152"),
)

QUERIES: Final = {(item.endpoint, item.type, item.method): item for item in _ALL_QUERIES}
"""Every call known here, by endpoint, ``query_type`` and ``query_method``."""


def query(endpoint: Endpoint, type_: str, method: Method) -> Query:
    """Look a call up by its names on the wire; KeyError if the catalogue does not have it."""
    return QUERIES[endpoint, type_, method]


REST_ROOT: Final = "/v2/public"
"""What every path of REST v2 begins with. Source: SDK 0.1.84 and newer, ``http/v2/api_client.py``."""

SIGNATURE_LABEL: Final = "encord-sig"
"""Label of the one signature of a REST request. Source: SDK 0.1.211 ``http/v2/request_signer.py``."""

SIGNATURE_COMPONENTS: Final = ("@method", "@request-target", "content-digest")
"""What the signature of a REST request covers, in this order; not the host. Source: as `SIGNATURE_LABEL`."""

SIGNATURE_ALGORITHM: Final = "ed25519"
"""Source: as `SIGNATURE_LABEL`. The text of the signature base is signed itself, without a digest before."""

RestMethod: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
"""HTTP methods of the REST calls known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCall:
    """One call of REST v2: its HTTP method, its path below `REST_ROOT` with ``{names}`` to fill in, its effect."""

    method: RestMethod
    path: str
    effect: Effect
    source: str

    @property
    def name(self) -> str:
        """The name used in logs, statistics and fault rules, for example ``v2/projects/{project}/users.GET``."""
        return f"v2{self.path}.{self.method}"


def _rest(method: RestMethod, path: str, effect: Effect, source: str) -> RestCall:
    return RestCall(method=method, path=path, effect=effect, source=source)


_ALL_REST_CALLS: Final = (
    _rest("POST", "/datasets", _CREATE, "SDK 0.1.153-0.1.211, which never repeats it"),
    _rest("GET", "/datasets/list", _READ, "SDK 0.1.153-0.1.211"),
    _rest("GET", "/datasets/{dataset}/users", _READ, "SDK 0.1.211"),
    _rest("POST", "/datasets/{dataset}/users/bulk-delete", _SET, "SDK 0.1.211: strangers are ignored"),
    _rest("GET", "/datasets/{dataset}/groups", _READ, "SDK 0.1.114-0.1.211"),
    _rest("POST", "/datasets/{dataset}/groups", _SET, "SDK 0.1.114-0.1.211; that twice is once is inferred"),
    _rest("DELETE", "/datasets/{dataset}/groups", _SET, "SDK 0.1.114-0.1.211; that twice is once is inferred"),
    _rest("GET", "/projects", _READ, "SDK 0.1.155-0.1.211"),
    _rest("GET", "/projects/{project}", _READ, "SDK 0.1.118-0.1.211"),
    _rest("PUT", "/projects/{project}/status", _SET, "SDK 0.1.163-0.1.211"),
    _rest("GET", "/projects/{project}/datasets", _READ, "SDK 0.1.118-0.1.211"),
    _rest("GET", "/projects/{project}/users", _READ, "SDK 0.1.168-0.1.211"),
    _rest("POST", "/projects/{project}/users/bulk-delete", _SET, "SDK 0.1.211: strangers are ignored"),
    _rest("GET", "/projects/{project}/groups", _READ, "SDK 0.1.114-0.1.211"),
    _rest("POST", "/projects/{project}/groups", _SET, "SDK 0.1.114-0.1.211; that twice is once is inferred"),
    _rest("DELETE", "/projects/{project}/groups", _SET, "SDK 0.1.114-0.1.211; that twice is once is inferred"),
    _rest("GET", "/projects/{project}/tags", _READ, "SDK 0.1.211"),
    _rest("PUT", "/projects/{project}/tags/{tag}", _SET, "SDK 0.1.211: attached already is a no-op"),
    _rest("DELETE", "/projects/{project}/tags/{tag}", _SET, "SDK 0.1.211: not attached is a no-op"),
    _rest("POST", "/ontologies", _CREATE, "SDK 0.1.153-0.1.211, which never repeats it"),
    _rest("GET", "/ontologies", _READ, "SDK 0.1.153-0.1.211"),
    _rest("GET", "/ontologies/{ontology}", _READ, "SDK 0.1.153-0.1.211"),
    _rest("PUT", "/ontologies/{ontology}", _SET, "SDK 0.1.153-0.1.211"),
    _rest("GET", "/ontologies/{ontology}/groups", _READ, "SDK 0.1.114-0.1.211"),
    _rest("POST", "/ontologies/{ontology}/groups", _SET, "SDK 0.1.114-0.1.211; that twice is once is inferred"),
    _rest("DELETE", "/ontologies/{ontology}/groups", _SET, "SDK 0.1.114-0.1.211; that twice is once is inferred"),
    _rest("GET", "/user/bearer-token", _READ, "SDK 0.1.145-0.1.211"),
    _rest("GET", "/user/current-organisation/groups", _READ, "SDK 0.1.114-0.1.211"),
    _rest("POST", "/organisation/groups", _CREATE, "SDK 0.1.211"),
    _rest("GET", "/organisation/groups/{group}", _READ, "SDK 0.1.211"),
    _rest("GET", "/organisation/groups/{group}/users", _READ, "SDK 0.1.211"),
    _rest("POST", "/organisation/groups/{group}/users", _SET, "SDK 0.1.211; that twice is once is inferred"),
    _rest("POST", "/organisation/groups/{group}/users/bulk-delete", _SET, "SDK 0.1.211: strangers are ignored"),
    _rest("GET", "/organisation/users", _READ, "SDK 0.1.211"),
    _rest("POST", "/organisation/users", _SET, "SDK 0.1.211: a member is HTTP 409, documented as a success"),
    _rest("DELETE", "/organisation/users/{email}", _SET, "SDK 0.1.211; that twice is once is inferred"),
    _rest("GET", "/organisation/organisation-tags", _READ, "SDK 0.1.211"),
    _rest("POST", "/organisation/organisation-tags", _CREATE, "SDK 0.1.211; names are unique, so twice is HTTP 409"),
    _rest("POST", "/storage/folders", _CREATE, "SDK 0.1.211, which never repeats it"),
    _rest("GET", "/storage/folders", _READ, "SDK 0.1.211"),
    _rest("GET", "/storage/search/folders", _READ, "SDK 0.1.211"),
    _rest("GET", "/storage/folders/{folder}", _READ, "SDK 0.1.211"),
    _rest("PATCH", "/storage/folders/{folder}", _SET, "SDK 0.1.211"),
    _rest("DELETE", "/storage/folders/{folder}", _SET, "SDK 0.1.211; that twice is once is inferred"),
    _rest("GET", "/storage/folders/{folder}/folders", _READ, "SDK 0.1.211"),
    _rest("GET", "/storage/folders/{folder}/groups", _READ, "SDK 0.1.211"),
    _rest("POST", "/storage/folders/{folder}/groups", _SET, "SDK 0.1.211; that twice is once is inferred"),
    _rest("DELETE", "/storage/folders/{folder}/groups", _SET, "SDK 0.1.211; that twice is once is inferred"),
    _rest("GET", "/storage/folders/{folder}/items", _READ, "SDK 0.1.211"),
    _rest("POST", "/storage/items/get-bulk", _READ, "SDK 0.1.211"),
    _rest(
        "POST",
        "/storage/folders/{folder}/data-upload-jobs",
        _SET,
        "SDK 0.1.211, which never repeats it; sent with skipDuplicateUrls only, so that a URL is there once (docs)",
    ),
    _rest("GET", "/storage/folders/{folder}/data-upload-jobs/{job}", _READ, "SDK 0.1.211"),
    _rest("POST", "/storage/folders/{folder}/data-upload-jobs/{job}/cancel", _SET, "SDK 0.1.211"),
    _rest(
        "POST",
        "/storage/folders/{folder}/cloud-synced-folder-syncs",
        _SET,
        "SDK 0.1.211, which never repeats it; twice looks through the bucket twice",
    ),
    # The two paths of a sync do not spell it alike.
    _rest("GET", "/storage/folders/{folder}/cloud-linked-folder-syncs/{job}/long-polling", _READ, "SDK 0.1.211"),
    _rest("GET", "/cloud-integrations", _READ, "SDK 0.1.211"),
    _rest("GET", "/projects/{project}/workflow/stages/{stage}/tasks", _READ, "SDK 0.1.211"),
    _rest(
        "POST",
        "/projects/{project}/workflow/stages/{stage}/actions",
        _SET,
        "SDK 0.1.211; sent with ASSIGN and RELEASE only, of which twice is once",
    ),
    _rest("POST", "/projects/{project}/priorities", _SET, "SDK 0.1.211"),
)

REST_CALLS: Final = {(item.method, item.path): item for item in _ALL_REST_CALLS}
"""Every REST call known here, by HTTP method and path.

None of them creates a project, attaches datasets or adds users to a project: no release of the SDK knows one that does.
"""


def rest_call(method: RestMethod, path: str) -> RestCall:
    """Look a REST call up; KeyError if the catalogue does not have it."""
    return REST_CALLS[method, path]


MAX_URL_BYTES: Final = 16 * 1024
"""Longest URL of a file that is registered. Source: vendor's page on registering cloud data."""

MAX_NAME_CHARACTERS: Final = 300
"""Longest title of an item. Source: as `MAX_URL_BYTES`."""

MAX_ITEMS_OF_JOB: Final = 500_000
"""Most items of one upload job. Source: as `MAX_URL_BYTES`."""

MAX_PAGE_SIZE: Final = 1000
"""Most entries that a listing of folders or items may be asked for at once. Source: SDK 0.1.211 ``storage.py``."""

MAX_ACTIONS: Final = 1000
"""Most actions on tasks in one call. Source: SDK 0.1.211 ``http/limits.py``."""

MAX_POLL_S: Final = 60
"""Longest time that a poll is held, in seconds: well below what a client waits for a reply. Source: SDK 0.1.211
``orm/storage.py``, ``GetUploadJobParams``, whose default it is; the SDK asks for days and relies on being cut."""


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
