"""Files that are registered in a storage folder, a block of them by one upload job. Sends nothing.

Only what is not in the folder is sent, and with the word to pass over URLs that are there all the same. When the
service looks whether one is there is not known: so no two jobs at once are about one URL, and a job whose answer was
lost is settled by what the folder shows, before what is missing then is sent again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import anyio.to_thread

from encord_async.errors import AppliedError
from encord_async.kinds.errand import Ending, Errand
from encord_async.kinds.files import Portion, Unit, identity_url, url_digest
from encord_async.kinds.step import Step
from encord_async.kinds.stock import Stock
from encord_async.protocol.catalogue import Effect, JobStatus
from encord_async.protocol.operations.base import Operation
from encord_async.protocol.operations.storage import PollUploadJob, StartUploadJob
from encord_async.protocol.request import Request
from encord_async.protocol.rest import RestRequest
from encord_async.protocol.rest_models import UploadJob
from encord_async.redaction import quoted

__all__ = ["FOLDER_DATA"]

_SHOWN: Final = 3
"""So many of the files that could not be registered are named in a message; outcomes have them all."""


class _Data(Errand):
    sort = what = thing = gives = "folder_data"
    noun = "file of a folder"
    plural = "files of folders"
    adds = ("folder_data", "block of files to register", "blocks of files to register")
    parent = "folder"

    async def starting(self, stock: Stock, parent_hash: str, step: Step) -> StartUploadJob | None:
        portion = portion_of(step)
        there = await stock.urls(parent_hash)
        items = await anyio.to_thread.run_sync(portion.lacking, there)
        if not items:
            return None
        integration = None if portion.integration is None else await stock.integration(portion.integration)
        return StartUploadJob(
            folder_uuid=parent_hash,
            items=items,
            integration_uuid=integration,
            ignore_errors=portion.skips_errors,
        )

    def files_of(self, operation: Operation[str]) -> frozenset[int]:
        items = operation.items if isinstance(operation, StartUploadJob) else ()
        return frozenset(url_digest(identity_url(item)) for item in items)

    def request(self, operation: Operation[str]) -> Request:
        """As what is not sent again by itself once its answer was lost: two jobs at once may not see each other."""
        sealed = operation.request()
        if not isinstance(sealed, RestRequest):
            raise AssertionError("upload jobs are started over REST")
        return replace(sealed, call=replace(sealed.call, effect=Effect.CREATE))

    def asking(self, parent_hash: str, job: str, hold_s: int) -> PollUploadJob:
        return PollUploadJob(folder_uuid=parent_hash, job_uuid=job, hold_s=hold_s)

    def ended(self, answer: UploadJob, step: Step) -> Ending | None:
        if not answer.is_over:
            return None
        units = tuple(Unit(url, one.error) for one in answer.unit_errors for url in one.object_urls[:1])
        failed = max(answer.units_error_count, len(units))
        if answer.status is JobStatus.DONE and (not failed or portion_of(step).skips_errors):
            return Ending(units=units)
        if failed:
            return Ending(_failed(failed, units), units)
        why = "; ".join(answer.errors[:_SHOWN]) or "the service does not say why"
        error = AppliedError(
            f"the upload job of the files {step.item} ended as {str(answer.status).lower()}: {why}; the next run "
            "registers what is missing then",
            code="UPLOAD_FAILED",
        )
        return Ending(error)


def portion_of(step: Step) -> Portion:
    """The files that *step* is about."""
    if not isinstance(step.load, Portion):
        raise AssertionError(f"{step.kind.word} {step.item!r} is about no files")
    return step.load


def _failed(number: int, units: Sequence[Unit]) -> AppliedError:
    named = "; ".join(f"{quoted(one.url)}: {one.error}" for one in units[:_SHOWN])
    what = "1 file could not be registered" if number == 1 else f"{number} files could not be registered"
    return AppliedError(
        f"{what}: {named}{'; and more' if number > _SHOWN else ''}; put them right, leave them out of the entry, or "
        "let it skip them with on_error: skip",
        code="FILES_FAILED",
    )


FOLDER_DATA: Final = _Data()
