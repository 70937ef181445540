"""Routes by task: a text's vector is bought, and the target whose examples it is like is asked first."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mooring.core import ids
from mooring.core.errors import ConfigError, InvalidRequest
from mooring.core.text import digest
from mooring.gateway.config import GatewayConfig, ModelConfig, ProviderConfig
from mooring.gateway.explain import explain
from mooring.gateway.keys import Caller
from mooring.gateway.route_config import TaskConfig
from mooring.gateway.task import Chooser, Example, TaskModel, held_out, load, read_examples, train
from mooring.journal import NewRun
from mooring.sim.embeddings import vector

from .house import House, house, say, sim_prices

TARGETS = ("sim/writer", "sim/echo")
WORDS = {
    "sim/echo": ("repeat the parcel number", "repeat the order number", "repeat the number of my parcel"),
    "sim/writer": ("write a long story", "write a story about ships", "write me a long poem"),
}
EXAMPLES = [Example(text, target) for target, texts in WORDS.items() for text in texts]
LIKE_ECHO = "repeat the parcel number please"

Scenario = Callable[[House], Awaitable[None]]


def learnt(path: Path, *, margin: float = 0.1, model: str = "sim/embed", dimensions: int = 64) -> TaskConfig:
    vectors = [vector(example.text, dimensions) for example in EXAMPLES]
    data = train(EXAMPLES, vectors, embedding_model=model, margin=margin, folds=3)
    (path / "m.task.json").write_bytes(data)
    return TaskConfig(file=str(path / "m.task.json"), digest=digest(data).hex())


def running(path: Path, scenario: Scenario, task: TaskConfig) -> None:
    def config(url: str) -> GatewayConfig:
        return GatewayConfig(
            providers={"sim": ProviderConfig(type="sim", base_url=f"{url}/v1", prices=sim_prices())},
            models={"m": ModelConfig(targets=TARGETS, strategy="task", task=task)},
            retry_wait_seconds=0,
        )

    async def whole() -> None:
        async with house(path, config=config) as made:
            await scenario(made)

    asyncio.run(whole())


def asked(made: House) -> list[str]:
    """The models that the double was asked for, in order."""
    return [msgspec.json.decode(request.body)["model"] for request in made.sim.requests]


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_target_whose_examples_are_alike_is_asked_and_the_vector_is_on_the_bill(
    tmp_path: Path, is_stream: bool
) -> None:
    async def scenario(made: House) -> None:
        answer = await made.ask(say(LIKE_ECHO, model="m", stream=is_stream))
        assert (answer.stream_text if is_stream else answer.text) == LIKE_ECHO
        assert asked(made) == ["embed", "echo"]
        assert len(made.sim.meter.rows) == 2
        assert await made.bill() == (await made.meter(), 0)
        calls = await made.journal.list_calls("default", limit=10)
        assert sorted(call.kind for call in calls) == ["chat", "embedding"]
        assert len({call.trace_id for call in calls}) == 1

    running(tmp_path, scenario, learnt(tmp_path))


def test_what_the_user_said_last_decides(tmp_path: Path) -> None:
    async def scenario(made: House) -> None:
        said = [{"role": "user", "content": LIKE_ECHO}, {"role": "assistant", "content": "81"}]
        await made.ask({"model": "m", "messages": [*said, {"role": "user", "content": "write a long story"}]})
        assert asked(made) == ["embed", "writer"]

    running(tmp_path, scenario, learnt(tmp_path))


def test_what_is_like_neither_goes_to_the_first_that_is_listed(tmp_path: Path) -> None:
    async def scenario(made: House) -> None:
        assert (await made.ask(say("zebra quartz", model="m"))).status == 200
        assert asked(made) == ["embed", "writer"]

    running(tmp_path, scenario, learnt(tmp_path, margin=0.9))


def test_a_target_that_was_chosen_and_fails_is_followed_by_the_others(tmp_path: Path) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault("status", model="echo", times=2)
        assert (await made.ask(say(LIKE_ECHO, model="m"))).status == 200
        assert asked(made) == ["embed", "echo", "echo", "writer"]

    running(tmp_path, scenario, learnt(tmp_path))


@pytest.mark.parametrize("model", ["nobody/serves-this", "sim/echo"])
def test_without_a_vector_the_targets_are_tried_as_listed(tmp_path: Path, model: str) -> None:
    async def scenario(made: House) -> None:
        assert (await made.ask(say(LIKE_ECHO, model="m"))).status == 200
        assert asked(made)[-1] == "writer"

    running(tmp_path, scenario, learnt(tmp_path, model=model))


def test_vectors_of_another_length_choose_nothing(tmp_path: Path) -> None:
    async def scenario(made: House) -> None:
        assert (await made.ask(say(LIKE_ECHO, model="m"))).status == 200
        assert asked(made) == ["embed", "writer"]

    running(tmp_path, scenario, learnt(tmp_path, dimensions=32))


def test_a_vector_that_does_not_come_is_not_waited_for_and_the_bill_adds_up(tmp_path: Path) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault("stall_first_byte", model="embed", times=2)
        assert (await made.ask(say(LIKE_ECHO, model="m"))).status == 200
        assert asked(made)[-1] == "writer"
        settled, held = await made.bill()
        assert settled <= await made.meter() <= settled + held

    running(tmp_path, scenario, learnt(tmp_path).model_copy(update={"seconds": 0.05}))


def test_within_a_run_the_vector_belongs_to_the_step_and_is_bought_once(tmp_path: Path) -> None:
    async def scenario(made: House) -> None:
        run_id = ids.new_id()
        await made.journal.create_run(NewRun(id=run_id, project_id="default", handler="agent", name="a", input=b"{}"))
        run = await made.journal.claim_run(["agent"])
        assert run is not None
        step = {"x_mooring_run": ids.show("run", run_id), "x_mooring_step": "s", "x_mooring_epoch": str(run.epoch)}
        service = Caller.service("default")
        first = await made.ask(say(LIKE_ECHO, model="m"), caller=service, **step)
        again = await made.ask(say(LIKE_ECHO, model="m"), caller=service, **step)
        assert (again.status, again.body) == (200, first.body)
        assert asked(made) == ["embed", "echo"]
        vector_of = await made.journal.find_step("default", run_id, "s/embed#1")
        assert vector_of is not None
        assert (vector_of.kind, vector_of.state) == ("embedding", "completed")

    running(tmp_path, scenario, learnt(tmp_path))


def test_explain_says_the_target_and_by_how_much(tmp_path: Path) -> None:
    config = GatewayConfig(
        providers={"sim": ProviderConfig(type="sim", base_url="http://127.0.0.1:9/v1", prices=sim_prices())},
        models={"m": ModelConfig(targets=TARGETS, strategy="task", task=learnt(tmp_path))},
    )
    body = msgspec.json.encode(say(LIKE_ECHO, model="m"))
    found = explain(config, body, embed=lambda model, text: vector(text, 64) if model == "sim/embed" else None)
    assert found.lines()[1].startswith("1. sim/echo    most like its examples: likeness 0.")
    assert found.facts()["choice"]["label"] == "sim/echo"
    assert found.facts()["choice"]["margin"] > 0.1
    without = explain(config, body).lines()
    assert without[1].startswith("1. sim/writer  number 1")
    assert "The targets stay as listed: no vector was made of its text." in without


def test_a_file_that_is_missing_another_or_no_model_is_refused_at_the_start(tmp_path: Path) -> None:
    task = learnt(tmp_path)
    with pytest.raises(ConfigError, match="not a target"):
        load("m", task, ["sim/echo"])
    file = tmp_path / "m.task.json"
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ConfigError, match="another one than its digest"):
        load("m", task, TARGETS)
    file.write_bytes(b"{}")
    with pytest.raises(ConfigError, match="holds no model"):
        load("m", TaskConfig(file=str(file), digest=digest(b"{}").hex()), TARGETS)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load("m", task, TARGETS)


def test_the_strategy_and_what_was_learnt_go_together() -> None:
    with pytest.raises(ValidationError, match="go together"):
        ModelConfig(targets=TARGETS, strategy="task")
    with pytest.raises(ValidationError, match="go together"):
        ModelConfig(targets=TARGETS, task=TaskConfig(file="x", digest="0" * 64))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"{", "Line 1 is not"),
        (b'\n{"text": "a", "target": "sim/other"}', "Line 2: 'sim/other' is not a target"),
        (b'{"text": " ", "target": "sim/echo"}', "Line 1 has no text"),
        (b'{"text": "a", "target": "sim/echo"}\n{"text": "b", "target": "sim/echo"}', "too few"),
        (b"", "too few"),
    ],
)
def test_examples_that_teach_nothing_are_refused(lines: bytes, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        read_examples(lines, TARGETS)


def test_accuracy_is_of_examples_that_the_model_has_not_seen() -> None:
    """Each has a direction of its own, so that a model that has seen it would be right, and one that has not cannot."""
    vectors = [[float(row == column) for column in range(8)] for row in range(8)]
    found = held_out(["a"] * 4 + ["b"] * 4, vectors, margin=0.01, folds=4)
    assert (found.clear, found.right_of_clear) == (0, 0)
    assert found.most_frequent == 4


@given(st.lists(st.sampled_from("ab"), min_size=2, max_size=24), st.integers(2, 7), st.randoms())
def test_every_example_is_held_out_exactly_once(labels: list[str], folds: int, random) -> None:
    labels = [*labels, "a", "a", "b", "b"]
    vectors = [[random.random(), random.random(), 1.0] for _ in labels]
    found = held_out(labels, vectors, margin=0.0, folds=folds)
    assert sum(count for _, count in found.by_target.values()) == found.examples == found.clear == len(labels)
    assert found.right == found.right_of_clear == sum(right for right, _ in found.by_target.values())


def test_the_same_examples_make_the_same_file(tmp_path: Path) -> None:
    assert learnt(tmp_path) == learnt(tmp_path)
    model = msgspec.json.decode((tmp_path / "m.task.json").read_bytes(), type=TaskModel)
    assert Chooser(model).choose(vector(LIKE_ECHO, 64)).target == "sim/echo"
    assert model.accuracy.lines()[0].startswith("held out   6 of 6 (100 %) right")
