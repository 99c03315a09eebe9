"""A sync of a folder with the bucket that it mirrors, of which the entries of folders speak. Sends nothing."""

from typing import Final

from encord_async.errors import AppliedError
from encord_async.kinds.errand import Errand
from encord_async.protocol.catalogue import JobStatus
from encord_async.protocol.operations.storage import GetFolder, PollCloudSync, StartCloudSync
from encord_async.protocol.rest_models import CloudSync

__all__ = ["FOLDER_SYNC"]


class _Syncs(Errand):
    sort = what = thing = gives = "folder_sync"
    noun = thing_noun = "sync of a folder"
    plural = "syncs of folders"
    parent = "folder"

    def starting(self, parent_hash: str, item: str) -> StartCloudSync:  # noqa: ARG002 - the folder knows its bucket
        return StartCloudSync(folder_uuid=parent_hash)

    def asking(self, parent_hash: str, job: str) -> PollCloudSync:
        return PollCloudSync(folder_uuid=parent_hash, job_uuid=job)

    def is_over(self, answer: CloudSync) -> bool:
        if not answer.is_over:
            return False
        failed, done = answer.upload_jobs_units_error, answer.upload_jobs_units_done
        if answer.status is not JobStatus.DONE or failed:
            raise AppliedError(
                f"the sync ended as {str(answer.status).lower()}: {done} files are there, and {failed} could not be "
                "registered, which Encord's app shows; the next run syncs again",
                code="SYNC_FAILED",
            )
        return True

    def probe(self, parent_hash: str) -> GetFolder:
        return GetFolder(folder_uuid=parent_hash)


FOLDER_SYNC: Final = _Syncs()
