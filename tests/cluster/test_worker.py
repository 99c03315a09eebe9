"""A worker hears when another was throttled, says when it was itself, and believes no old news."""

from types import SimpleNamespace
from typing import Any

from encord_async.cluster.worker import _Watch


class Cluster:
    """What the workers of a run have in common, and one worker's session, as far as throttling goes."""

    def __init__(self) -> None:
        self.said = ""
        self.throttled = self.slowed = 0

    def set(self, said: str) -> None:
        """As a `distributed.Variable`."""
        self.said = said

    def get(self) -> str:
        """As a `distributed.Variable`."""
        return self.said

    def statistics(self) -> Any:
        """As a session."""
        return SimpleNamespace(throttled=self.throttled)

    def throttled_elsewhere(self) -> None:
        """As a session."""
        self.slowed += 1


def watch_of(cluster: Cluster) -> _Watch:
    """The watch of a shard that has just begun."""
    signals = SimpleNamespace(stop=lambda _: None, throttled=lambda _: cluster)
    parts: Any = (SimpleNamespace(signals=signals), cluster, None, None, None)
    return _Watch(*parts)


async def test_old_news_slow_nobody() -> None:
    """A shard that begins is not slowed by what was said before, nor by there being nothing said at all."""
    cluster = Cluster()
    for said in ("", "somebody, long ago"):
        cluster.said = said
        watch = watch_of(cluster)
        for _ in range(3):
            await watch._tell_throttling()
    assert cluster.slowed == 0


async def test_news_slow_once() -> None:
    """Each refusal that another tells of slows this one once."""
    cluster = Cluster()
    watch = watch_of(cluster)
    await watch._tell_throttling()
    for said in ("first", "second"):
        cluster.said = said
        for _ in range(3):
            await watch._tell_throttling()
    assert cluster.slowed == 2


async def test_own_refusal_is_told() -> None:
    """A refusal of its own is said to the others, and not taken for that of another."""
    cluster = Cluster()
    watch = watch_of(cluster)
    await watch._tell_throttling()
    cluster.throttled = 3
    for _ in range(3):
        await watch._tell_throttling()
    assert cluster.said
    assert cluster.slowed == 0
