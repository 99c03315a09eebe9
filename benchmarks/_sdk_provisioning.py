"""The same provisioning by the official SDK with a pool of threads; run by the SDK's own Python, never by ours.

Reads one JSON object from standard input and writes one to standard output. It knows nothing of our package. It
changes one thing about the SDK: where the server at the other end lacks the two REST reads behind ``get_project``,
they are answered inside this process after the same latency, without a connection and without the server's work;
that flatters the SDK, and the reply says how many there were.
"""

import importlib
import importlib.metadata
import json
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

_REST: Final = "/v2/public/"
_NOBODY: Final = str(UUID(int=0))
_LONG_AGO: Final = "2024-01-01T00:00:00Z"


class _Calls:
    """Counts every HTTP request of the process by method and path, with a shape in the place of hashes."""

    def __init__(self, *, stand_in_latency_s: float | None) -> None:
        self._adapter: Any = importlib.import_module("requests.adapters").HTTPAdapter
        self._response: Any = importlib.import_module("requests").Response
        self._latency_s = stand_in_latency_s
        self._lock = threading.Lock()
        self._really_send: Callable[..., Any] = self._adapter.send
        self.by_path: Counter[str] = Counter()
        self.stood_in = 0

    def listen(self) -> None:
        """Take the place of the function through which `requests` sends everything."""
        calls = self

        def send(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            path = urlsplit(request.url).path
            rest = path.startswith(_REST)
            shape = f"{request.method} {_REST}{path.removeprefix(_REST).split('/')[0]}/..." if rest else f"POST {path}"
            with calls._lock:
                calls.by_path[shape] += 1
                calls.stood_in += rest and calls._latency_s is not None
            if rest and calls._latency_s is not None:
                return calls._stand_in(request, path)
            return calls._really_send(adapter, request, *args, **kwargs)

        self._adapter.send = send

    def _stand_in(self, request: Any, path: str) -> Any:
        time.sleep(self._latency_s or 0.0)
        what, _, name = path.removeprefix(_REST).partition("/")
        response = self._response()
        response.status_code, response.url, response.request = 200, request.url, request
        response._content = json.dumps(_project(name) if what == "projects" else _ontology(name)).encode()  # noqa: SLF001 - the way adapters fill it
        return response


def _project(name: str) -> dict[str, object]:
    return {
        "projectHash": name,
        "projectType": "manual_qa",
        "status": "notStarted",
        "title": "",
        "description": "",
        "createdAt": _LONG_AGO,
        "creatorEmail": "emulator@example.com",
        "lastEditedAt": _LONG_AGO,
        "ontologyHash": _NOBODY,
        "editorOntology": {"objects": [], "classifications": []},
        "userRole": 0,
    }


def _ontology(name: str) -> dict[str, object]:
    return {
        "ontologyUuid": name,
        "title": "",
        "description": "",
        "editor": {"objects": [], "classifications": []},
        "createdAt": _LONG_AGO,
        "lastEditedAt": _LONG_AGO,
        "userRole": 0,
    }


def _stepwise(client: Any, roles: Any, wish: dict[str, Any]) -> None:
    """One step after the other: create, open, add datasets, add users."""
    project = client.get_project(client.create_project(wish["title"], []))
    project.add_datasets(wish["datasets"])
    for role, emails in wish["users"].items():
        project.add_users(emails, roles[role])


def _frugal(client: Any, roles: Any, wish: dict[str, Any]) -> None:
    """As somebody who counts requests would: the datasets go into the create call."""
    project = client.get_project(client.create_project(wish["title"], wish["datasets"]))
    for role, emails in wish["users"].items():
        project.add_users(emails, roles[role])


def _deprecated(client: Any, roles: Any, wish: dict[str, Any]) -> None:
    """Through ``get_project_client``, deprecated since 0.1.98, which reads nothing."""
    project = client.get_project_client(client.create_project(wish["title"], wish["datasets"]))
    for role, emails in wish["users"].items():
        project.add_users(emails, roles[role])


_WAYS: Final = {"stepwise": _stepwise, "frugal": _frugal, "deprecated": _deprecated}


def main() -> None:
    """Provision what standard input asks for, and say how long it took and with how many calls."""
    job = json.load(sys.stdin)
    encord: Any = importlib.import_module("encord")
    roles = {
        "annotator": importlib.import_module("encord.utilities.project_user").ProjectUserRole.ANNOTATOR,
        "reviewer": importlib.import_module("encord.utilities.project_user").ProjectUserRole.REVIEWER,
    }
    warnings.simplefilter("ignore")
    calls = _Calls(stand_in_latency_s=job["stand_in_latency_s"])
    calls.listen()
    client = encord.EncordUserClient.create_with_ssh_private_key(job["private_key"], domain=job["url"])
    provision = _WAYS[job["way"]]
    began_s = time.perf_counter()
    with ThreadPoolExecutor(job["threads"]) as pool:
        for _ in pool.map(lambda wish: provision(client, roles, wish), job["projects"]):
            pass
    told = {
        "elapsed_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time(),
        "calls": dict(calls.by_path),
        "stood_in": calls.stood_in,
        "encord": importlib.metadata.version("encord"),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
