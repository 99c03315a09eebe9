"""The official SDK reads the items of folders and the rows of datasets; run by its interpreter, without our package.

Reads the private key from standard input, takes the domain as its argument, prints what it saw as JSON.
"""

import json
import sys

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above


def main() -> None:
    """See the module."""
    client = EncordUserClient.create_with_ssh_private_key(sys.stdin.read(), domain=sys.argv[1])
    items: dict[str, list[object]] = {}
    for folder in client.find_storage_folders():
        for item in folder.list_items():
            integration = None if item.integration_hash is None else str(item.integration_hash)
            seen = [folder.name, item.name, item.item_type.value, item.client_metadata, integration]
            items.setdefault(item.url, []).append(seen)
    rows = {}
    for info in client.get_datasets():
        dataset = client.get_dataset(info["dataset"].dataset_hash)
        links = sorted(row.file_link for row in dataset.list_data_rows())
        if links:
            rows[dataset.title] = links
    json.dump({"items": items, "rows": rows}, sys.stdout)


main()
