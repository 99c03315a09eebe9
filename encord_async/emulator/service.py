"""The emulated service: which rule answers a request, and the answer committed before it is told.

Pure with respect to HTTP. Order of checks: credential, outer form, method, headers and resource, permission, arguments.
"""

from dataclasses import dataclass, field

from encord_async.emulator.arguments import Refused
from encord_async.emulator.calls import Answer, Reply, Request, Terms
from encord_async.emulator.rules import RULES, WRITES
from encord_async.emulator.store import Store

__all__ = ["Service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Answers requests of both APIs out of *store*, on *terms*."""

    store: Store
    terms: Terms = field(default_factory=Terms)

    def answer(self, request: Request, *, now_us: int, stale_us: int = 0, fault: str | None = None) -> Reply:
        """Return the reply; whatever was changed is committed, and noted in the log together with *fault*."""
        try:
            answer = self._answer(request, now_us, now_us - stale_us, fault)
            return request.success(answer.result)._replace(hold_until_us=answer.hold_until_us)
        except Refused as refused:
            return request.failure(refused.code, refused.text)
        except RecursionError:
            return request.failure("INVALID_ARGUMENTS_ERROR", "nested too deeply")

    def _answer(self, request: Request, now_us: int, as_of_us: int, fault: str | None) -> Answer:
        call = request.call(self.store, now_us=now_us, as_of_us=as_of_us)
        rule = RULES[call.name]
        if call.name not in WRITES:
            return rule(call)
        with self.store.transaction():
            answer = rule(call)
            self.store.note(query=call.name, hash_=answer.hash, title=answer.title, fault=fault, now_us=now_us)
        return answer
