"""The emulator's memory."""

import pytest

from encord_async.emulator.arguments import Filter
from encord_async.emulator.store import PROJECT, Store


def test_a_transaction_is_kept_whole_or_not_at_all() -> None:
    """An error leaves nothing of what was written before it."""
    store = Store(None)

    def half() -> None:
        with store.transaction():
            store.set_meta("half", "1")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert store.meta("half") is None
    store.close()


def test_looking_up_a_title_does_not_scan_all_projects() -> None:
    """With a hundred thousand projects the lookup still reads a handful of rows."""
    store = Store(None)
    user = store.user("ann@example.com")
    with store.transaction():
        for number in range(2000):
            store.add_project(title=f"P{number}", description="", ontology_id=1, admins=[user.id], now_us=number)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._db.set_progress_handler(count, 1)
    assert [row.title for _, row in store.listed(PROJECT, user.id, Filter(title_eq="P77"), 10**18)] == ["P77"]
    assert steps < 100
    store.close()
