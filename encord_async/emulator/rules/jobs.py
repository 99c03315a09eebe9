"""The rules of jobs: registering files of a cloud in a folder, and bringing a cloud-synced folder up to its bucket.

Each function answers one call of the catalogue; none knows HTTP, opens a transaction or reads a clock. How far a job is
follows from the time: its units are done one after the other, evenly over its length. Inferred: a file that was passed
over counts as done; a job does not see what another that is under way is about to register; what was registered stays
when another unit fails or the rest is cancelled; a sync only adds.
"""

import json
from fnmatch import fnmatchcase
from typing import Final

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Call, Rules
from encord_async.emulator.rules.cloud_data import Unit, Upload, kind_of, name_of, read_upload
from encord_async.emulator.rules.storage import folder_of
from encord_async.emulator.store import FolderRow, JobRow, NewItem, UnitError
from encord_async.protocol.catalogue import MAX_POLL_S, JobStatus

__all__ = ["RULES", "UNREADABLE"]

UNREADABLE: Final = "unreadable_urls"
"""The note of the store that says which URLs cannot be read: a JSON list of patterns with ``*``."""


def _start(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    upload = read_upload(call.payload)
    storage = call.store.storage
    if upload.integration is not None and storage.integration(upload.integration) is None:
        raise Refused("RESOURCE_NOT_FOUND_ERROR", "no such integration")
    job = _written(call, folder, upload, is_sync=False)
    return Answer(job.hash, job.hash, folder.name)


def _sync(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    if folder.remote_url is None or folder.integration is None:
        raise Refused("BAD_REQUEST", "the folder is not a cloud-synced one")
    if call.payload is not None:
        raise Refused("INVALID_ARGUMENTS_ERROR", "a sync has no body")
    integration = call.store.storage.integration(folder.integration)
    objects = [] if integration is None else json.loads(integration.objects)
    units = [
        Unit(str(kind), [url], name_of(url), "{}")
        for url in objects
        if url.startswith(folder.remote_url) and (kind := kind_of(url)) is not None
    ]
    upload = Upload(
        units, skips=True, upserts=False, ignore_errors=True, integration=folder.integration, file_name=None
    )
    job = _written(call, folder, upload, is_sync=True)
    return Answer(job.hash, job.hash, folder.name)


def _written(call: Call, folder: FolderRow, upload: Upload, *, is_sync: bool) -> JobRow:
    """Write down a job and what it will have made by and by."""
    storage = call.store.storage
    patterns = json.loads(call.store.meta(UNREADABLE) or "[]")
    # A sync finds what another one has begun, for that is the folder's own business.
    known = storage.known_urls(folder.id, [unit.urls[0] for unit in upload.units], 2**62 if is_sync else call.now_us)
    errors, fresh = [], []
    for place, unit in enumerate(upload.units):
        url = unit.urls[0]
        if upload.skips and url in known:
            if upload.upserts:
                storage.set_metadata(folder.id, url, unit.metadata, call.now_us)
        elif any(fnmatchcase(one, pattern) for one in unit.urls for pattern in patterns):
            errors.append(UnitError(place, unit.urls, "the file cannot be read"))
        else:
            fresh.append((place, NewItem(unit.type, unit.name or name_of(url), unit.metadata, url)))
            known.add(url)
    job = storage.add_job(
        folder.id,
        is_sync=is_sync,
        units=len(upload.units),
        errors=errors,
        ignore_errors=upload.ignore_errors,
        file_name=upload.file_name,
        now_us=call.now_us,
        span_us=call.job_us,
    )
    for place, new in fresh:
        at_us = call.now_us + call.job_us * (place + 1) // job.units
        storage.add_item(job, folder, new, integration=upload.integration, at_us=at_us)
    return job


def _named(call: Call, *, is_sync: bool) -> tuple[FolderRow, JobRow]:
    folder = folder_of(call)
    job = call.store.storage.job(call.path["job"], folder.id)
    if job is None or bool(job.is_sync) is not is_sync:
        # As a folder that is not there; inferred.
        raise Refused("AUTHORISATION_ERROR", "the job does not exist, or you have no access to it")
    return folder, job


def _counts(job: JobRow, now_us: int) -> dict[str, int]:
    """How many units are pending, done, failed and cancelled."""
    at_us = now_us if job.cancelled_us is None else min(now_us, job.cancelled_us)
    span_us = job.due_us - job.created_us
    over = job.units if at_us >= job.due_us else job.units * (at_us - job.created_us) // span_us
    failed = sum(1 for error in json.loads(job.errors) if error["place"] < over)
    left = job.units - over
    cancelled = 0 if job.cancelled_us is None else left
    return {"Pending": left - cancelled, "Done": over - failed, "Error": failed, "Cancelled": cancelled}


def _status(job: JobRow, now_us: int) -> JobStatus:
    if job.cancelled_us is not None:
        return JobStatus.CANCELLED
    if now_us < job.due_us:
        return JobStatus.PENDING
    return JobStatus.ERROR if json.loads(job.errors) and not job.ignore_errors else JobStatus.DONE


def _hold(call: Call, job: JobRow, status: JobStatus) -> int:
    """Until when a poll is held: to the end of the job, but not longer than asked for, nor than a proxy would."""
    call.knows_only("timeoutSeconds")
    # The SDK asks for seven days; more than what a proxy holds is cut, as it relies on.
    asked_s = min(call.whole("timeoutSeconds", 0, 10**8, 0), MAX_POLL_S)
    if status is not JobStatus.PENDING or not asked_s:
        return 0
    return min(job.due_us, call.now_us + asked_s * 1_000_000)


def _poll(call: Call) -> Answer:
    _, job = _named(call, is_sync=False)
    status, counts = _status(job, call.now_us), _counts(job, call.now_us)
    seen = job.units - counts["Pending"] - counts["Cancelled"]
    failed = [error for error in json.loads(job.errors) if error["place"] < seen]
    made = call.store.storage.items_of_job(job.id, call.now_us)
    reply: dict[str, object] = {
        "status": status,
        "itemsWithNames": [{"itemUuid": item.hash, "name": item.name} for item in made],
        "errors": sorted({error["text"] for error in failed}),
        **{f"units{state}Count": number for state, number in counts.items()},
        "unitErrors": [
            {
                "objectUrls": error["urls"],
                "error": error["text"],
                "subtaskUuid": error["subtask"],
                "actionDescription": "Reading the file",
            }
            for error in failed
        ],
        **({"fileName": job.file_name} if job.file_name is not None else {}),
    }
    return Answer(reply, hold_until_us=_hold(call, job, status))


def _cancel(call: Call) -> Answer:
    folder = folder_of(call, admin=True)
    _, job = _named(call, is_sync=False)
    if call.payload is not None:
        raise Refused("INVALID_ARGUMENTS_ERROR", "a cancellation has no body")
    left = _counts(job, call.now_us)["Pending"]
    if left:
        call.store.storage.cancel_job(job, call.now_us)
    return Answer({"unitsCancelledCount": left}, job.hash, folder.name)


def _poll_sync(call: Call) -> Answer:
    _, job = _named(call, is_sync=True)
    status, counts = _status(job, call.now_us), _counts(job, call.now_us)
    over = status is not JobStatus.PENDING
    pages = {"Pending": int(not over), "Done": int(over), "Error": 0, "Cancelled": 0}
    reply = {
        # In small letters here, in capitals for uploads.
        "status": status.lower(),
        **{f"scanPagesProcessing{state}": number for state, number in pages.items()},
        **{f"uploadJobs{state}": pages[state] for state in ("Pending", "Done", "Error")},
        **{f"uploadJobsUnits{state}": number for state, number in counts.items()},
    }
    return Answer(reply, hold_until_us=_hold(call, job, status))


_FOLDER: Final = "v2/storage/folders/{folder}"

RULES: Final[Rules] = {
    f"{_FOLDER}/data-upload-jobs.POST": _start,
    f"{_FOLDER}/data-upload-jobs/{{job}}.GET": _poll,
    f"{_FOLDER}/data-upload-jobs/{{job}}/cancel.POST": _cancel,
    f"{_FOLDER}/cloud-synced-folder-syncs.POST": _sync,
    f"{_FOLDER}/cloud-linked-folder-syncs/{{job}}/long-polling.GET": _poll_sync,
}
