"""An Encord in memory that also lists the users of projects and removes them, over REST v2; no dataset has any."""

import json
from collections.abc import Mapping

from anyio.lowlevel import checkpoint

from encord_async.protocol.reply import RawReply
from tests.provision.conftest import ADMIN, TOKEN, Call, Json, Project, Refusal, Service

LIST = "v2/projects/{project}/users.GET"
REMOVE = "v2/projects/{project}/users/bulk-delete.POST"
READ = "v2/projects/{project}.GET"
TAGS = "v2/projects/{project}/tags.GET"
DATASET_USERS = "v2/datasets/{dataset}/users.GET"
PAGE = 2
"""Users on one page."""
_STATUSES = {"RESOURCE_NOT_FOUND_ERROR": 404, "METHOD_NOT_ALLOWED_ERROR": 405, "AUTHENTICATION_ERROR": 401}


class ListingService(Service):
    """The account of ``ADMIN``, with the calls of REST v2 that are about the users of a project."""

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_s: float | None,
        turn: object = None,
    ) -> RawReply:
        """Answer a call of REST v2."""
        if "/datasets/" in target and target.endswith("/users"):
            self.calls.append(Call(DATASET_USERS, target.split("/")[-2], None, {}))
            return RawReply(200, {}, b'{"results": []}')
        if "/projects/" not in target:
            return await super().request(method, target, headers, body, timeout_s=timeout_s, turn=turn)
        _, _, path = target.partition("/projects/")
        path, _, query = path.partition("?")
        resource, _, rest = path.partition("/")
        name = f"v2/projects/{{project}}{rest and '/' + rest}.{method}"
        call = Call(name, resource, None, json.loads(body or "{}") | {"token": query.partition("pageToken=")[2]})
        self.calls.append(call)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await checkpoint()
            return self._rest_reply(call, headers)
        finally:
            self.in_flight -= 1

    def _rest_reply(self, call: Call, headers: Mapping[str, str]) -> RawReply:
        fault = next((one for one in self.faults if one.left and one.name == call.name and one.touches(call)), None)
        try:
            if headers["Authorization"] != f"Bearer {TOKEN}":
                raise Refusal("AUTHENTICATION_ERROR")
            if fault is not None:
                fault.left -= 1
                raise Refusal(fault.code or "")
            answer = self._rest_answer(call, self._readable(call.resource))
        except Refusal as refusal:
            return RawReply(_STATUSES.get(refusal.code, 403), {}, b'{"message": "no"}')
        return RawReply(204, {}, b"") if answer is None else RawReply(200, {}, json.dumps(answer).encode())

    def _readable(self, hash_: str) -> Project:
        if hash_ not in self.projects:
            raise Refusal("RESOURCE_NOT_FOUND_ERROR")
        return self.projects[hash_]

    def _rest_answer(self, call: Call, project: Project) -> Json:
        match call.name:
            case "v2/projects/{project}/users.GET":
                start = int(call.payload["token"] or 0)
                page = list(project.users.items())[start : start + PAGE]
                more = {"nextPageToken": str(start + PAGE)} if start + PAGE < len(project.users) else {}
                return {"results": [{"userEmail": email, "userRole": role} for email, role in page], **more}
            case "v2/projects/{project}/tags.GET":
                return {"results": []}
            case "v2/projects/{project}/users/bulk-delete.POST":
                assert ADMIN not in call.payload["userEmails"]
                for email in call.payload["userEmails"]:
                    project.users.pop(email, None)
                return None
            case "v2/projects/{project}.GET":
                return {"projectHash": call.resource, "title": project.title, "userRole": project.role}
        raise Refusal("METHOD_NOT_ALLOWED_ERROR")
