"""A sync of a folder with the bucket that it mirrors, of which the entries of folders speak. Sends nothing."""

from typing import Final

from encord_async.errors import AppliedError
from encord_async.kinds.errand import Ending, Errand
from encord_async.kinds.step import Step
from encord_async.kinds.stock import Stock
from encord_async.protocol.catalogue import JobStatus
from encord_async.protocol.operations.storage import PollCloudSync, StartCloudSync
from encord_async.protocol.rest_models import CloudSync

__all__ = ["FOLDER_SYNC"]


class _Syncs(Errand):
    sort = what = thing = gives = "folder_sync"
    noun = "sync of a folder"
    plural = "syncs of folders"
    parent = "folder"

    async def starting(self, stock: Stock, parent_hash: str, step: Step) -> StartCloudSync:  # noqa: ARG002 - the folder
        return StartCloudSync(folder_uuid=parent_hash)

    def asking(self, parent_hash: str, job: str, hold_s: int) -> PollCloudSync:
        return PollCloudSync(folder_uuid=parent_hash, job_uuid=job, hold_s=hold_s)

    def ended(self, answer: CloudSync, step: Step) -> Ending | None:  # noqa: ARG002 - it is about the folder alone
        if not answer.is_over:
            return None
        failed, done = answer.upload_jobs_units_error, answer.upload_jobs_units_done
        if answer.status is JobStatus.DONE and not failed:
            return Ending()
        error = AppliedError(
            f"the sync ended as {str(answer.status).lower()}: {done} files are there, and {failed} could not be "
            "registered, which Encord's app shows; the next run syncs again",
            code="SYNC_FAILED",
        )
        return Ending(error)


FOLDER_SYNC: Final = _Syncs()
