"""Traces and metrics of real requests to the emulator, read back from OpenTelemetry's in-memory exporters."""

import logging
import subprocess
import sys
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from encord_async import EncordSession, NotFoundError, ServiceFaultError
from encord_async.engine.outcome import Status
from encord_async.operations import RemoveOrganisationUser
from encord_async.otel import OpenTelemetryObserver
from encord_async.raw import rest_request
from encord_async.session.observer import Attempt, Beginning
from encord_async.testing import QUICK_SETTINGS, EncordEmulator

TITLE = "A title that is nobody's business"


@dataclass(slots=True)
class Backend:
    """Where traces and metrics end up, without the application's global providers."""

    spans_made: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def observer(self) -> OpenTelemetryObserver:
        """An observer that reports here."""
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.spans_made))
        return OpenTelemetryObserver(tracers, MeterProvider([self.reader], shutdown_on_exit=False))

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self.spans_made.get_finished_spans())

    def sums(self) -> dict[str, float]:
        """The counters, and of the histogram how often something was recorded, over all attributes."""
        data = self.reader.get_metrics_data()
        found: dict[str, float] = {}
        for metrics in data.resource_metrics if data is not None else ():
            for scope in metrics.scope_metrics:
                for metric in scope.metrics:
                    points = metric.data.data_points
                    found[metric.name] = sum(
                        point.count if isinstance(point, HistogramDataPoint) else getattr(point, "value", 0)
                        for point in points
                    )
        return found

    def everything(self) -> str:
        """All that was exported, as text."""
        data = self.reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self.spans()), data.to_json() if data is not None else ""])


@pytest.fixture
def backend() -> Backend:
    """A backend of the test's own."""
    return Backend()


def observed(emulator: EncordEmulator, backend: Backend) -> EncordSession:
    """A session on the emulator whose doings the backend is told."""
    return EncordSession.from_ssh_key(
        emulator.private_key, settings=QUICK_SETTINGS, domain=emulator.url, observer=backend.observer()
    )


def attributes(span: ReadableSpan) -> dict[str, object]:
    """The attributes of a span."""
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> list[dict[str, object]]:
    """The attempts of a span, without what took how long."""
    assert {event.name for event in span.events} <= {"encord.attempt"}
    found: list[dict[str, object]] = [dict(event.attributes or {}) for event in span.events]
    durations = [event.pop("encord.duration_s") for event in found]
    assert all(isinstance(duration, float) and duration >= 0 for duration in durations)
    return found


async def test_an_operation_is_a_span(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """A call that goes well is one client span with one attempt, named and described as the conventions say."""
    async with observed(encord_emulator, backend) as session:
        await session.create_project(TITLE)
        assert session.statistics().requests == 1
    (span,) = backend.spans()
    assert (span.name, span.kind, span.status.status_code) == ("project.POST", SpanKind.CLIENT, StatusCode.UNSET)
    found = attributes(span)
    trace_id = found.pop("encord.trace_id")
    assert isinstance(trace_id, str)
    assert len(trace_id) == 32
    assert found == {
        "encord.operation": "project.POST",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": urlsplit(encord_emulator.url).port,
        "url.path": "/public/user",
        "url.template": "/public/user",
    }
    assert events(span) == [{"encord.attempt": 1, "http.response.status_code": 200}]
    assert backend.sums() == {"encord.requests": 1, "http.client.request.duration": 1}


@pytest.mark.encord_emulator(faults=[{"query": "project.GET", "fault": "status", "status": 502, "times": 2}])
async def test_retries_are_events(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """A read that fails twice is still one span without an error, which shows all three attempts."""
    async with observed(encord_emulator, backend) as session:
        project_hash = await session.create_project(TITLE)
        await session.project(project_hash).get()
        assert session.statistics().retries == 2
    span = backend.spans()[-1]
    assert (span.name, span.status.status_code) == ("project.GET", StatusCode.UNSET)
    assert attributes(span)["http.request.resend_count"] == 2
    assert "error.type" not in attributes(span)
    assert events(span) == [
        {"encord.attempt": 1, "http.response.status_code": 502, "error.type": "502"},
        {"encord.attempt": 2, "http.response.status_code": 502, "error.type": "502"},
        {"encord.attempt": 3, "http.response.status_code": 200},
    ]
    assert backend.sums() == {"encord.requests": 4, "encord.retries": 2, "http.client.request.duration": 4}


@pytest.mark.encord_emulator(
    faults=[
        {"query": "project.POST", "fault": "rate_limited", "times": 1},
        {"query": "project.POST", "fault": "rate_limited_envelope", "times": 1},
    ]
)
async def test_throttling_is_counted_apart(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """Being told to slow down, by HTTP or in an envelope, counts as throttled and not as a retry."""
    async with observed(encord_emulator, backend) as session:
        await session.create_project(TITLE)
        assert session.statistics().throttled == 2
    (span,) = backend.spans()
    assert [event.get("error.type") for event in events(span)] == ["429", "ThrottledError", None]
    assert backend.sums() == {"encord.requests": 3, "encord.throttled": 2, "http.client.request.duration": 3}


@pytest.mark.encord_emulator(faults=[{"query": "project.POST", "fault": "status", "status": 503, "times": 1}])
async def test_failures_are_errors(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """An operation that fails is a span with an error: named by the status, or by our class where HTTP says 200."""
    async with observed(encord_emulator, backend) as session:
        with pytest.raises(ServiceFaultError):
            await session.create_project(TITLE)
        with pytest.raises(NotFoundError):
            await session.project("00000000-0000-4000-8000-00000000dead").get()
    broken, unknown = backend.spans()
    assert broken.status.status_code is unknown.status.status_code is StatusCode.ERROR
    assert attributes(broken)["error.type"] == "503"
    assert attributes(unknown)["error.type"] == "NotFoundError"
    assert broken.status.description is unknown.status.description is None


@pytest.mark.encord_emulator(faults=[{"query": "project.POST", "fault": "hang", "times": 1}])
async def test_cancelled_operations_end_their_span(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """An operation given up by its caller leaves a span that says so, and its attempt is counted."""
    async with observed(encord_emulator, backend) as session, anyio.create_task_group() as group:
        group.start_soon(session.create_project, TITLE)
        while not session.statistics().requests:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    (span,) = backend.spans()
    assert attributes(span)["error.type"] == "CancelledError"
    assert events(span) == [{"encord.attempt": 1, "error.type": "CancelledError"}]
    assert backend.sums()["encord.requests"] == 1


@pytest.mark.encord_emulator(faults=[{"query": "project.POST", "fault": "drop_before", "times": 1}])
async def test_entries_in_doubt_are_counted(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """A lost create that nobody can find afterwards is counted when its entry ends in doubt."""
    async with observed(encord_emulator, backend) as session:
        manifest = [{"kind": "project", "title": TITLE}, {"kind": "project", "title": "Dogs"}]
        async with session.provision(manifest, journal=None, settle_s=0.05) as run:
            statuses = sorted([outcome.status async for outcome in run])
    assert statuses == [Status.CREATED, Status.IN_DOUBT]
    assert backend.sums()["encord.in_doubt"] == 1


async def test_nothing_private_is_exported(encord_emulator: EncordEmulator, backend: Backend) -> None:
    """No title, e-mail address, key, or path that the caller wrote leaves in a span or a metric."""
    async with observed(encord_emulator, backend) as session:
        await session.create_project(TITLE)
        with pytest.raises(NotFoundError):
            await session.execute(RemoveOrganisationUser(email="ann@example.com"))
        with pytest.raises(NotFoundError):
            await session.send(rest_request("GET", "/nothing/ann@example.com"))
    text = backend.everything()
    assert "v2/organisation/users/{email}.DELETE" in text
    assert [span.name for span in backend.spans()][-1] == "v2.GET"
    for private in (TITLE, "ann@example", "nothing", "PRIVATE KEY", "Authorization", "Signature"):
        assert private not in text


class Broken:
    """An observer that fails at whatever it is told."""

    def started(self, beginning: Beginning) -> str:
        """Fail, but only for reads, so that the other methods are reached too."""
        if beginning.operation.endswith("GET"):
            raise RuntimeError("no room for spans")
        return beginning.operation

    def attempted(self, token: str, attempt: Attempt) -> None:
        """Fail."""
        raise ZeroDivisionError(token)

    def ended(self, token: str, error: BaseException | None) -> None:
        """Fail."""
        raise KeyError(token)

    def in_doubt(self, kind: str) -> None:
        """Fail."""
        raise OSError(kind)


@pytest.mark.encord_emulator(faults=[{"query": "project.POST", "fault": "drop_before", "times": 1}])
async def test_a_failing_observer_costs_nothing(
    encord_emulator: EncordEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever an observer raises, operations and runs end as without it, and one line in the log tells of it."""
    session = EncordSession.from_env(
        environ=encord_emulator.environ,
        settings=QUICK_SETTINGS,
        observer=Broken(),
    )
    with caplog.at_level(logging.WARNING, "encord_async"):
        async with session:
            async with session.provision([{"kind": "project", "title": "Cats"}], journal=None, settle_s=0.05) as run:
                (outcome,) = [outcome async for outcome in run]
            assert outcome.status is Status.IN_DOUBT
            project_hash = await session.create_project("Dogs")
            assert (await session.project(project_hash).get()).title == "Dogs"
            with pytest.raises(NotFoundError):
                await session.project("00000000-0000-4000-8000-00000000dead").get()
    complaints = [record for record in caplog.records if "observer" in record.message]
    assert len(complaints) == 1
    assert complaints[0].exc_info is not None


@pytest.mark.process
def test_without_the_extra_the_import_says_what_to_install() -> None:
    """The bare install works; whoever wants traces without OpenTelemetry is told what brings it."""
    code = "import sys; sys.modules['opentelemetry'] = None; import encord_async, encord_async.otel"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(
        "MissingExtraError: traces and metrics need OpenTelemetry: pip install 'encord-async[otel]'"
    )
