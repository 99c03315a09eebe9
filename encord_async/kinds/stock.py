"""What lies in storage folders, and which integration goes by which title: listed once for all who ask in a run.

Sends nothing but reads. Kept are digests of URLs, eight bytes each.
"""

from collections import defaultdict

import anyio

from encord_async.kinds.cloud import found_integration
from encord_async.kinds.files import URLs, url_digest
from encord_async.kinds.reading import Reads
from encord_async.protocol.operations.storage import ListItems

__all__ = ["Stock"]


class Stock:
    """What *reads* shows of folders and integrations, each asked for once."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._urls: dict[str, URLs] = {}
        self._integrations: dict[str, str] = {}
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def urls(self, folder_uuid: str) -> URLs:
        """The URLs that lay in a folder when it was first asked for.

        Raises:
            EncordError: It cannot be listed.
        """
        async with self._locks[folder_uuid]:
            if folder_uuid not in self._urls:
                found: set[int] = set()
                listing = ListItems(folder_uuid=folder_uuid, include_client_metadata=False)
                async for page in self._reads.pages(listing):
                    found.update(url_digest(item.url) for item in page.results if item.url is not None)
                self._urls[folder_uuid] = URLs(found)
        return self._urls[folder_uuid]

    def forget(self, folder_uuid: str) -> None:
        """List a folder anew when it is next asked for."""
        self._urls.pop(folder_uuid, None)

    async def meet_newest(self, folder_uuid: str, wanted: URLs) -> None:
        """Note which of *wanted* lie in a folder by now, page by page from the newest on, while a page has any.

        Raises:
            EncordError: It cannot be listed.
        """
        listing = ListItems(folder_uuid=folder_uuid, include_client_metadata=False, newest_first=True)
        async for page in self._reads.pages(listing):
            met = [wanted.meet(item.url) for item in page.results if item.url is not None]
            if not any(met) or not wanted.unmet:
                return

    async def integration(self, named: str) -> str:
        """See `found_integration`."""
        async with self._locks[f"integration {named}"]:
            if named not in self._integrations:
                self._integrations[named] = await found_integration(self._reads, named)
        return self._integrations[named]
