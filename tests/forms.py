"""How cells of tables that hold lists are written, for tests of what reads them and of what describes them."""

from encord_async.kinds.registry import ENTRY_MODELS
from encord_async.manifest.cells import form_of

__all__ = ["list_forms"]


def list_forms() -> dict[str, list[str]]:
    """How cells of each column that holds lists are written, an example for each kind of entry that has it."""
    found: dict[str, list[str]] = {}
    for model in ENTRY_MODELS.values():
        for name in model.model_fields:
            form = form_of(model, name)
            if form and form not in found.setdefault(name, []):
                found[name].append(form)
    return found
