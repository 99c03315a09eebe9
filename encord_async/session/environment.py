"""What the environment says of the key and the service, in the words of Encord's SDK. It sees only what it is given."""

from collections.abc import Mapping
from typing import Final

from encord_async.errors import KeyFormatError
from encord_async.protocol.signing import SSHKey
from encord_async.secrecy import Secret, sealed

__all__ = ["ENV_CA_BUNDLE", "ENV_DOMAIN", "ENV_KEY", "ENV_PASSPHRASE", "is_key_text", "key_from_env"]

ENV_KEY_FILE: Final = "ENCORD_SSH_KEY_FILE"
ENV_KEY: Final = "ENCORD_SSH_KEY"
ENV_PASSPHRASE: Final = "ENCORD_SSH_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable, no passphrase
ENV_DOMAIN: Final = "ENCORD_DOMAIN"
ENV_CA_BUNDLE: Final = "REQUESTS_CA_BUNDLE"


@sealed
def key_from_env(env: Mapping[str, str], *, path: str | None = None, passphrase: Secret[str] | None = None) -> SSHKey:
    """The SSH key that *env* names, or that of the file *path*; *passphrase* takes the place of the one there.

    Raises:
        KeyFormatError: There is no *path* and neither variable is set, one is empty, or the key cannot be used.
    """
    if path is not None:
        return SSHKey.from_path(path, passphrase=passphrase or env.get(ENV_PASSPHRASE))
    for name, load in ((ENV_KEY_FILE, SSHKey.from_path), (ENV_KEY, SSHKey.from_text)):
        if name not in env:
            continue
        if not env[name].strip():
            raise KeyFormatError(f"{name} is set but empty; unset it or give a key")
        if name == ENV_KEY_FILE and is_key_text(env[name]):
            raise KeyFormatError(f"{name} holds the text of a key, not a path; set {ENV_KEY} to it instead")
        try:
            return load(env[name], passphrase=passphrase or env.get(ENV_PASSPHRASE))
        except KeyFormatError as error:
            raise KeyFormatError(f"{name}: {error.message}") from None
    raise KeyFormatError(
        f"no key: set {ENV_KEY_FILE} to the path of an OpenSSH private key, or {ENV_KEY} to its text. To make one: "
        "ssh-keygen -t ed25519 -f encord_key, and register encord_key.pub with your user in Encord's app; or take "
        "that of a service account, which an Admin of the organisation makes there"
    )


def is_key_text(text: str) -> bool:
    """Whether *text* is meant to be a key and not the path of one."""
    return not text.strip() or any(mark in text for mark in ("-----", "\n", "\\n"))
