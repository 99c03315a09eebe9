"""The public names, which `encord_async` hands on as soon as one of them is asked for. Nothing is defined here."""

from encord_async import errors
from encord_async.client import EncordSession, ProjectHandle
from encord_async.engine.options import Progress
from encord_async.engine.outcome import Outcome, Status, Summary
from encord_async.engine.run import Run
from encord_async.errors import *  # noqa: F403 - all of them, and their list is there
from encord_async.protocol.catalogue import (
    APIKeyScope,
    CopyOption,
    DatasetUserRole,
    MemberType,
    OrganisationRole,
    ProjectStatus,
    ProjectUserRole,
    StorageLocation,
)
from encord_async.protocol.signing import APIKey, BearerToken, SSHKey
from encord_async.session.session import Statistics
from encord_async.session.settings import RetryPolicy, Settings, Timeouts

__all__: list[str] = [
    "APIKey",
    "APIKeyScope",
    "BearerToken",
    "CopyOption",
    "DatasetUserRole",
    "EncordSession",
    "MemberType",
    "OrganisationRole",
    "Outcome",
    "Progress",
    "ProjectHandle",
    "ProjectStatus",
    "ProjectUserRole",
    "RetryPolicy",
    "Run",
    "SSHKey",
    "Settings",
    "Statistics",
    "Status",
    "StorageLocation",
    "Summary",
    "Timeouts",
]
__all__ += errors.__all__
