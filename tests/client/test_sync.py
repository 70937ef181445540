"""The blocking face is made from the async one and cannot drift."""

import ast
import inspect

import pytest

from mooring.client import client, generate, sync

PAIRS = [(getattr(client, name), getattr(sync, name.removeprefix("Async"))) for name in generate.CLASSES]


def test_the_generated_file_is_up_to_date() -> None:
    made = generate.generate((generate.HERE / "client.py").read_text())
    assert ast.dump(ast.parse(made)) == ast.dump(ast.parse((generate.HERE / "sync.py").read_text()))


@pytest.mark.parametrize(("core", "face"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_faces_have_the_same_methods_and_parameters(core: type, face: type) -> None:
    for name, member in inspect.getmembers(core, inspect.isfunction):
        if name.startswith("_") or name in generate._SKIPPED:
            continue
        assert [str(p).replace("Async", "") for p in inspect.signature(member).parameters.values()] == [
            str(p) for p in inspect.signature(getattr(face, name)).parameters.values()
        ], name
