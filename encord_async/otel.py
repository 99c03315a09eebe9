"""OpenTelemetry: a span for each operation with its attempts as events, and metrics. The only door to opentelemetry.

It configures no SDK and no exporter, and never puts a secret, a title, an e-mail address or the text of an error into
an attribute.

    async with EncordSession.from_env(observer=OpenTelemetryObserver()) as session:
        ...

Metrics: the counters ``encord.requests``, ``encord.retries`` (sent again after a fault), ``encord.throttled`` and
``encord.in_doubt`` (entries of manifests), and the histogram ``http.client.request.duration``: seconds of each sending.

Source of names: OpenTelemetry semantic conventions for HTTP, client spans and client metrics.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from encord_async.errors import EncordError, MissingExtraError, ThrottledError
from encord_async.session.observer import Attempt, Beginning

try:
    from opentelemetry.metrics import MeterProvider, get_meter_provider
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, get_tracer_provider
except ImportError as error:
    raise MissingExtraError("traces and metrics need OpenTelemetry: pip install 'encord-async[otel]'") from error

__all__ = ["OpenTelemetryObserver"]

Attributes: TypeAlias = dict[str, str | int | float]

_SCOPE: Final = "encord_async"
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_DURATION_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""What the conventions advise."""


@dataclass(slots=True, kw_only=True)
class _Operation:
    """An operation under way."""

    span: Span
    labels: Attributes
    http_status: int | None = None
    attempts: int = 0
    after_fault: bool = False


class OpenTelemetryObserver:
    """Give it to a session as ``observer``; sessions may share one."""

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        """Prepare a tracer and the instruments; None takes the application's global providers."""
        ours = version("encord-async")
        self._tracer = (tracer_provider or get_tracer_provider()).get_tracer(_SCOPE, ours)
        meter = (meter_provider or get_meter_provider()).get_meter(_SCOPE, ours)
        self._requests = meter.create_counter("encord.requests", "{request}", "Requests sent, retries included")
        self._retries = meter.create_counter("encord.retries", "{request}", "Requests sent again after a fault")
        self._throttled = meter.create_counter("encord.throttled", "{request}", "Requests turned away for load")
        self._in_doubt = meter.create_counter("encord.in_doubt", "{entry}", "Entries that ended in doubt")
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests",
            explicit_bucket_boundaries_advisory=_DURATION_BOUNDS_S,
        )

    def started(self, beginning: Beginning) -> _Operation:
        """See `Observer`."""
        labels = _labels(beginning)
        attributes = labels | {"encord.trace_id": beginning.trace_id}
        if beginning.path_template is not None:
            attributes["url.template"] = beginning.path_template
            if "{" not in beginning.path_template:
                attributes["url.path"] = beginning.path_template
        span = self._tracer.start_span(beginning.operation, kind=SpanKind.CLIENT, attributes=attributes)
        return _Operation(span=span, labels=labels)

    def attempted(self, token: _Operation, attempt: Attempt) -> None:
        """See `Observer`."""
        outcome = _outcome(attempt.http_status, attempt.error)
        self._requests.add(1, token.labels)
        if token.after_fault:
            self._retries.add(1, token.labels)
        if isinstance(attempt.error, ThrottledError):
            self._throttled.add(1, token.labels)
        self._duration.record(attempt.duration_s, token.labels | outcome)
        event: Attributes = {"encord.attempt": attempt.number, "encord.duration_s": attempt.duration_s}
        token.span.add_event("encord.attempt", event | outcome)
        token.attempts = attempt.number
        token.http_status = attempt.http_status
        token.after_fault = attempt.error is not None and not isinstance(attempt.error, ThrottledError)

    def ended(self, token: _Operation, error: BaseException | None) -> None:
        """See `Observer`."""
        span = token.span
        span.set_attributes(_outcome(token.http_status, error))
        if token.attempts > 1:
            span.set_attribute("http.request.resend_count", token.attempts - 1)
        if error is not None:
            # Without a description: the service's words in an error may hold what the caller wrote.
            span.set_status(StatusCode.ERROR)
        span.end()

    def in_doubt(self, kind: str) -> None:
        """See `Observer`."""
        self._in_doubt.add(1, {"encord.kind": kind})


def _labels(beginning: Beginning) -> Attributes:
    """What spans and metrics share; each has few values."""
    url = urlsplit(beginning.domain)
    return {
        "encord.operation": beginning.operation,
        "http.request.method": beginning.method,
        "server.address": url.hostname or "",
        "server.port": url.port or _DEFAULT_PORTS[url.scheme],
    }


def _outcome(http_status: int | None, error: BaseException | None) -> Attributes:
    """How it ended. ``error.type`` is the status where that tells, else our class: envelopes fail in HTTP 200."""
    outcome: Attributes = {}
    if http_status is not None:
        outcome["http.response.status_code"] = http_status
    if error is not None:
        # After several attempts the error need not be that of the last reply.
        status = error.http_status if isinstance(error, EncordError) else None
        outcome["error.type"] = str(status) if status is not None and status >= 400 else type(error).__qualname__
    return outcome
