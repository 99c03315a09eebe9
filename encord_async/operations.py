"""Each call of the service as a frozen, typed object for `EncordSession.execute`, and what those are made of.

Names alone; nothing is done here. Those of operations stand in the list of the module that each is made in.
"""

# ruff: noqa: F403

from encord_async.protocol.catalogue import (
    FileType,
    FolderUserRole,
    ItemType,
    JobStatus,
    StageType,
    TaskStatus,
)
from encord_async.protocol.cloud_files import (
    CloudDicomSeries,
    CloudFile,
    CloudImageGroup,
    CloudItem,
)
from encord_async.protocol.operations import datasets, keys, ontologies, organisation, projects, storage, workflow
from encord_async.protocol.operations.base import (
    Creation,
    EnvelopeOperation,
    ListingFilter,
    Operation,
    PageOperation,
    RestOperation,
)
from encord_async.protocol.operations.datasets import *
from encord_async.protocol.operations.keys import *
from encord_async.protocol.operations.ontologies import *
from encord_async.protocol.operations.organisation import *
from encord_async.protocol.operations.projects import *
from encord_async.protocol.operations.storage import *
from encord_async.protocol.operations.workflow import *

__all__ = [
    "CloudDicomSeries",
    "CloudFile",
    "CloudImageGroup",
    "CloudItem",
    "Creation",
    "EnvelopeOperation",
    "FileType",
    "FolderUserRole",
    "ItemType",
    "JobStatus",
    "ListingFilter",
    "Operation",
    "PageOperation",
    "RestOperation",
    "StageType",
    "TaskStatus",
]
__all__ += datasets.__all__
__all__ += keys.__all__
__all__ += ontologies.__all__
__all__ += organisation.__all__
__all__ += projects.__all__
__all__ += storage.__all__
__all__ += workflow.__all__
