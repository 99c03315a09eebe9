"""The official SDK's environments are what the interoperability tests take them for."""

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CONSTRUCT = """
import importlib.metadata, importlib.util, sys
from encord import EncordUserClient
client = EncordUserClient.create_with_ssh_private_key(sys.stdin.read(), domain="http://127.0.0.1:1")
assert importlib.util.find_spec("encord_async") is None
print(importlib.metadata.version("encord"), type(client).__name__)
"""


def test_the_sdk_takes_our_key_and_domain(sdk_release: str, sdk_python: Path) -> None:
    """The pinned SDK imports on this Python, and builds a client from an OpenSSH key and a loopback domain."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    done = subprocess.run(
        [sdk_python, "-I", "-c", CONSTRUCT], input=key.decode(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [sdk_release, "EncordUserClient"]
