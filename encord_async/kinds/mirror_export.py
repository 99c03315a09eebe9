"""Which datasets have data rows of folders that mirror a bucket, for an export: their entries name the folder.

No entry registers such files, for a sync brings them. Sends nothing but reads. Kept are eight bytes for each item of
such folders and for each row of one dataset.
"""

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from encord_async.errors import AuthenticationError, RefusedError, UnreadableReplyError
from encord_async.kinds.data_rows import parts_of_rows
from encord_async.kinds.exporting import Pen
from encord_async.kinds.files import URLs, url_digest
from encord_async.kinds.folder import FOLDER
from encord_async.kinds.reading import OnRefusal, Reads
from encord_async.kinds.thing import DatasetAPI, Listed
from encord_async.protocol.operations.storage import ListItems

__all__ = ["Mirror", "mirrors_of", "rows_of"]

_MOST_NAMES: Final = 20_000
"""Most items that an entry names one by one."""
_ROWS: Final = "data rows of a dataset"
_PATTERN: Final = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
"""As in `glob.escape`: a name is a pattern."""


class _Rows(NamedTuple):
    """The folder that an entry names, and which of its items; none for all of them."""

    folder: str
    names: tuple[str, ...]


class Mirror(NamedTuple):
    """A folder that mirrors a bucket, and digests of the uuids of what is in it."""

    listed: Listed
    items: "array[int]"


async def rows_of(reads: Reads, pen: Pen, mirrors: Sequence[Mirror], dataset: Listed) -> _Rows | None:
    """Of which folder an entry can say that *dataset* has its items; what it cannot say is told."""
    if not mirrors:
        return None
    try:
        rows = array("Q")
        async for part in parts_of_rows(reads, dataset.hash):
            rows.extend(url_digest(row.backing_item_uuid) for row in part if row.backing_item_uuid is not None)
    except AuthenticationError:
        raise
    except (RefusedError, UnreadableReplyError):
        # Whoever writes down the files tells it.
        return None
    linked = URLs(rows)
    numbers = [(sum(map(linked.__contains__, one.items)), one) for one in mirrors]
    (number, most), *others = sorted(numbers, key=lambda one: -one[0])
    for left, other in others:
        if left:
            reason = f"{left} are of {other.listed.title}, and an entry names one folder that mirrors a bucket"
            pen.leave_out(_ROWS, dataset.title, dataset.hash, reason)
    if not number:
        return None
    if number == len(most.items):
        return _Rows(most.listed.hash, ())
    if number > _MOST_NAMES:
        reason = f"{number} are of {most.listed.title}, more than an entry names, and not all that is in it"
        pen.leave_out(_ROWS, dataset.title, dataset.hash, reason)
        return None
    of = f"of {most.listed.title}"
    with OnRefusal(lambda error: pen.leave_out(_ROWS, dataset.title, dataset.hash, f"{of}: {error.message}")):
        return _Rows(most.listed.hash, await _names(reads, most.listed, linked))
    return None


async def _names(reads: Reads, folder: Listed, linked: URLs) -> tuple[str, ...]:
    """The names of those items of a folder that are *linked*."""
    names: list[str] = []
    async for page in reads.pages(_listing(folder)):
        shown = (one for one in page.results if url_digest(one.uuid) in linked)
        names += [(one.url or one.name).translate(_PATTERN) for one in shown]
    return tuple(dict.fromkeys(names))


async def mirrors_of(reads: Reads, pen: Pen) -> list[Mirror]:
    """All of them that an entry was written down for."""
    found: list[Mirror] = []
    if not pen.has(FOLDER.word):
        # Nobody could list them, it may be.
        return found
    async for folder in FOLDER.listed(reads, DatasetAPI.REST):
        if not folder.item.remote_url or pen.reference(FOLDER.word, folder.hash) is None:
            continue
        items = array("Q")
        with OnRefusal(lambda _: None):
            async for page in reads.pages(_listing(folder)):
                items.extend(url_digest(item.uuid) for item in page.results if not item.is_tombstone)
            found.append(Mirror(folder, items))
    return found


def _listing(folder: Listed) -> ListItems:
    return ListItems(folder_uuid=folder.hash, include_client_metadata=False)
