"""Reads storage folders with the official SDK; run by the interpreter of its own environment.

The emulator's address is the argument, a private key comes on standard input; on standard output is what it saw.
"""

import json
import sys

# The SDK is in this script's environment and not in that of the type checker.
from encord import EncordUserClient  # type: ignore[import-not-found] # see above

client = EncordUserClient.create_with_ssh_private_key(ssh_private_key=sys.stdin.read(), domain=sys.argv[1])
seen = {}
for folder in client.find_storage_folders():
    parent = folder.parent
    seen[folder.name] = {
        "description": folder.description,
        "parent": None if parent is None else parent.name,
        "metadata": {key: value for key, value in (folder.client_metadata or {}).items() if key != "encord_async"},
        "type": str(folder.folder_type.value),
        "integration": None if folder.integration_hash is None else str(folder.integration_hash),
        "url": folder.remote_url,
        "groups": [[group.name, str(group.user_role.value)] for group in folder.list_groups()],
    }
json.dump(seen, sys.stdout)
