"""What the local Encord refuses or breaks, the official SDK understands as the vendor meant it."""

import pytest

from encord_async.emulator import Emulator, EmulatorSettings, Fault, FaultRule
from encord_async.emulator.http import MAX_BODY_BYTES
from encord_async.protocol.catalogue import CODES
from tests.interop.conftest import (
    ANNS_PROJECT,
    BIRDS,
    BOBS_PROJECT,
    CATS,
    SEED,
    STRANGER,
    TWIN,
    UNKNOWN,
    Json,
    Sdk,
    SdkError,
    Start,
    only_new,
    only_old,
)

CREATE: Json = {"project_title": "P", "dataset_hashes": []}

# The class that the newest SDK raises for each code. MUST_SET_DETECTION_RANGE_ERROR is named there, but not mapped.
CLASSES = {
    "AUTHENTICATION_ERROR": "AuthenticationError",
    "SSH_KEY_NOT_FOUND_ERROR": "SshKeyNotFound",
    "DUPLICATE_SSH_KEY_ERROR": "DuplicateSshKeyError",
    "AUTHORISATION_ERROR": "AuthorisationError",
    "OPERATION_NOT_ALLOWED": "OperationNotAllowed",
    "METHOD_NOT_ALLOWED_ERROR": "MethodNotAllowedError",
    "RESOURCE_NOT_FOUND_ERROR": "ResourceNotFoundError",
    "RESOURCE_EXISTS_ERROR": "ResourceExistsError",
    "INVALID_ARGUMENTS_ERROR": "InvalidArgumentsError",
    "INVALID_DATE_FORMAT_ERROR": "InvalidDateFormatError",
    "WRONG_PROJECT_TYPE_ERROR": "WrongProjectTypeError",
    "RATE_LIMIT_ERROR": "RateLimitExceededError",
    "UNKNOWN_ERROR": "UnknownException",
    "ANSWER_DICTIONARY_ERROR": "AnswerDictionaryError",
    "CORRUPTED_LABEL_ERROR": "CorruptedLabelError",
    "FEATURE_DOES_NOT_EXIST_ERROR": "FeatureDoesNotExistError",
    "MODEL_FEATURES_INCONSISTENT_ERROR": "ModelFeaturesInconsistentError",
    "MODEL_WEIGHTS_INCONSISTENT_ERROR": "ModelWeightsInconsistentError",
    "FILE_TYPE_NOT_SUPPORTED_ERROR": "FileTypeNotSupportedError",
    "DETECTION_RANGE_INVALID_ERROR": "DetectionRangeInvalidError",
    "MUST_SET_DETECTION_RANGE_ERROR": "GenericServerError",
    "UPLOAD_OPERATION_NOT_SUPPORTED_ERROR": "UploadOperationNotSupportedError",
    "FILE_SIZE_NOT_SUPPORTED_ERROR": "FileSizeNotSupportedError",
}
# Its payload has to be an object; the one of an injected fault is a text, at which the SDK stumbles.
NOT_INJECTED = {"MULTI_LABEL_LIMIT_ERROR"}


@pytest.fixture(params=[200, 400], ids=["http-200", "http-400"])
async def emulator(request: pytest.FixtureRequest, start: Start) -> Emulator:
    """A strict local Encord that refuses with this HTTP status; which one the real service uses is not known."""
    return await start(EmulatorSettings(seed=SEED, strict=True, failure_http_status=request.param))


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


async def test_a_key_that_is_not_registered(sdk: Sdk) -> None:
    """The SDK says that the SSH key was not found, on either path."""
    stranger = sdk.as_(STRANGER)
    for name, on, arguments in (
        ("create_project", None, CREATE),
        ("get_projects", None, {}),
        ("get_project", ANNS_PROJECT, {}),
        ("add_datasets", ANNS_PROJECT, {"dataset_hashes": [CATS]}),
    ):
        with pytest.raises(SdkError, match=r"^SshKeyNotFound: .* SSH key does not exist"):
            await stranger.call(name, on, **arguments)


async def test_a_key_that_is_registered_twice(sdk: Sdk) -> None:
    """The SDK says that the SSH key exists more than once."""
    with pytest.raises(SdkError, match=r"^DuplicateSshKeyError: "):
        await sdk.as_(TWIN).call("get_projects")


async def test_a_token_that_is_not_known(sdk: Sdk) -> None:
    """The SDK says that it is not authenticated."""
    with pytest.raises(SdkError, match=r"^AuthenticationError: You are not authenticated"):
        await sdk.with_token("token-of-nobody").call("get_projects")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_project", {}),
        ("add_datasets", {"dataset_hashes": [CATS]}),
        ("remove_datasets", {"dataset_hashes": [CATS]}),
        ("add_users", {"emails": ["x@example.com"], "role": "ANNOTATOR"}),
        ("copy_project", {}),
        ("list_label_rows", {}),
    ],
)
async def test_projects_that_are_not_there_or_not_ones_own(
    sdk: Sdk, emulator: Emulator, name: str, arguments: Json
) -> None:
    """The first is not found, the second is not authorised, and nothing happens to it."""
    before = emulator.state()
    with pytest.raises(SdkError, match=r"^ResourceNotFoundError: no such project"):
        await sdk.call(name, UNKNOWN, **arguments)
    with pytest.raises(SdkError, match=r"^AuthorisationError: You are not authorised"):
        await sdk.call(name, BOBS_PROJECT, **arguments)
    assert emulator.state() == before


@pytest.mark.parametrize("name", ["get_dataset", "add_dataset_users", "list_data_rows"])
async def test_datasets_that_are_not_there_or_not_ones_own(sdk: Sdk, name: str) -> None:
    """It is the same with datasets."""
    arguments = {"emails": ["x@example.com"], "role": "USER"} if name == "add_dataset_users" else {}
    with pytest.raises(SdkError, match=r"^ResourceNotFoundError: no such dataset"):
        await sdk.call(name, UNKNOWN, **arguments)
    with pytest.raises(SdkError, match=r"^AuthorisationError: "):
        await sdk.call(name, BIRDS, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"dataset_hashes": [CATS, UNKNOWN]}, rf"ResourceNotFoundError: no such dataset: '{UNKNOWN}'"),
        ({"dataset_hashes": [CATS, BIRDS]}, "AuthorisationError: "),
        ({"ontology_hash": UNKNOWN}, "ResourceNotFoundError: no such ontology"),
        ({"workflow_template_hash": UNKNOWN}, "ResourceNotFoundError: no such project"),
        ({"workflow_template_hash": BOBS_PROJECT}, "AuthorisationError: "),
        ({"project_title": " "}, "InvalidArgumentsError: title has to be a string that is not empty"),
        ({"dataset_hashes": CATS}, "InvalidArgumentsError: dataset_hashes has to be a list of strings"),
    ],
)
async def test_creates_that_are_refused(sdk: Sdk, emulator: Emulator, arguments: Json, error: str) -> None:
    """The SDK says why, and no project has come into being."""
    with pytest.raises(SdkError, match=f"^{error}"):
        await sdk.call("create_project", **(CREATE | arguments))
    assert len(emulator.state()["projects"]) == 2


async def test_addresses_that_are_none(sdk: Sdk) -> None:
    """The service's own words reach the user of the SDK."""
    with pytest.raises(SdkError, match=r"^InvalidArgumentsError: user_emails\[1\] is not an e-mail address"):
        await sdk.call("add_users", ANNS_PROJECT, emails=["x@example.com", "x"], role="ANNOTATOR")


@pytest.mark.parametrize("code", sorted(set(CODES) - NOT_INJECTED))
async def test_every_code_of_the_catalogue(sdk: Sdk, sdk_release: str, emulator: Emulator, code: str) -> None:
    """The SDK has a class for each code, from the release on that the catalogue names; before, it is a general one."""
    emulator.set_faults([FaultRule(query="project.POST", fault=Fault.ERROR, code=code)])
    known = _release(CODES[code].since) <= _release(sdk_release)
    with pytest.raises(SdkError, match=f"^{CLASSES[code] if known else 'GenericServerError'}: "):
        await sdk.call("create_project", **CREATE)


def test_no_code_is_left_out() -> None:
    """What is held against the SDK is the whole catalogue."""
    assert set(CLASSES) | NOT_INJECTED == set(CODES)


@only_new
@pytest.mark.parametrize(("retry_after", "hint"), [("7", "Retry after 7 seconds"), ("1", "1 second"), (None, "")])
async def test_http_429(sdk: Sdk, emulator: Emulator, retry_after: str | None, hint: str) -> None:
    """The newest SDK takes it for a rate limit, with the hint of the header, and does not send a create again."""
    emulator.set_faults([FaultRule(query="*", fault=Fault.RATE_LIMITED, retry_after=retry_after)])
    with pytest.raises(SdkError, match=f"^RateLimitExceededError: Rate limit exceeded.*{hint}"):
        await sdk.call("create_project", **CREATE)
    assert emulator.stats()["by_query"] == {"project.POST": 1}


@only_new
async def test_a_rate_limit_in_the_envelope(sdk: Sdk, emulator: Emulator) -> None:
    """The newest SDK takes it for a rate limit, too."""
    emulator.set_faults([FaultRule(query="*", fault=Fault.RATE_LIMITED_ENVELOPE)])
    with pytest.raises(SdkError, match=r"^RateLimitExceededError: too many requests"):
        await sdk.call("create_project", **CREATE)


@only_new
async def test_http_413(sdk: Sdk) -> None:
    """The newest SDK says that the request is too large, in the service's words."""
    with pytest.raises(SdkError, match=r"^PayloadTooLargeError: the limit of a body is"):
        await sdk.call("create_project", **CREATE, project_description="x" * MAX_BODY_BYTES)


@pytest.mark.parametrize(
    ("rule", "error", "applied"),
    [
        (FaultRule(query="*", fault=Fault.STATUS, status=504), "Error parsing JSON response: <html>.*504", False),
        # 0.1.145 leaves this one to urllib3, which gives the page away.
        (FaultRule(query="*", fault=Fault.STATUS, status=502), "", False),
        (FaultRule(query="*", fault=Fault.DROP_BEFORE), "Request session.send failed", False),
        (FaultRule(query="*", fault=Fault.DROP_AFTER_COMMIT), "Request session.send failed", True),
        (FaultRule(query="*", fault=Fault.TRUNCATE), "Request session.send failed", True),
    ],
    ids=["504", "502", "drop-before", "drop-after-commit", "truncate"],
)
async def test_a_service_that_breaks_down(
    sdk: Sdk, emulator: Emulator, rule: FaultRule, error: str, applied: bool
) -> None:
    """The SDK sends a create once and says that the request failed, whether or not it was applied."""
    emulator.set_faults([rule])
    with pytest.raises(SdkError, match=f"^RequestException: {error}"):
        await sdk.call("create_project", **CREATE)
    assert emulator.stats()["by_query"] == {"project.POST": 1}
    assert len(emulator.state()["projects"]) == (3 if applied else 2)


@only_old
@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.RATE_LIMITED_ENVELOPE])
async def test_rate_limits_in_the_old_sdk(sdk: Sdk, emulator: Emulator, fault: Fault) -> None:
    """It has no class for them: it says that the request failed, or that the server named an error it does not know."""
    emulator.set_faults([FaultRule(query="*", fault=fault)])
    expected = "RequestException: " if fault is Fault.RATE_LIMITED else "GenericServerError: .*RATE_LIMIT_ERROR"
    with pytest.raises(SdkError, match=f"^{expected}"):
        await sdk.call("create_project", **CREATE)
    assert emulator.stats()["by_query"] == {"project.POST": 1}
