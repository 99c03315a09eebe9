"""The official SDK, in two releases, each in an environment of its own."""

import os
from pathlib import Path

import pytest

RELEASES = {"0.1.211": "ENCORD_SDK_NEW_PYTHON", "0.1.145": "ENCORD_SDK_OLD_PYTHON"}


def _python_of(release: str) -> Path:
    path = os.environ.get(RELEASES[release])
    if not path:
        pytest.skip(f"needs the SDK's environment: {RELEASES[release]} is not set, `make test` sets it")
    # Not resolved: the link is what makes it the environment's interpreter.
    return Path(path).absolute()


@pytest.fixture(params=sorted(RELEASES))
def sdk_release(request: pytest.FixtureRequest) -> str:
    """The releases of the official SDK that we are held against, one after the other."""
    return str(request.param)


@pytest.fixture
def sdk_python(sdk_release: str) -> Path:
    """The interpreter that has *sdk_release* and not our package."""
    return _python_of(sdk_release)
