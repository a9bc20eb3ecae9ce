"""The engine with a proven runner, on a host that plays a device with graphs: when it uses it, and when it does not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from shared.contract import Options
from shared.errors import ImageError, ModelError
from tests.numeric.host_runner import SIDE, engine, warm
from tests.numeric.networks import every_method, explained, network, picky, pictures, red, same, tiny
from worker.core.engine import proven
from worker.core.engine.choice import engine_for
from worker.core.engine.cuda import buckets
from worker.core.engine.engine import TOLERANCE, TORCH, Engine
from worker.core.engine.proven import ProvenEngine
from worker.core.model.network import Network
from worker.core.types import Explanation, FloatArray


def alexnet() -> Network:
    """Which has no closed form."""
    return network("alexnet", 10)


def test_sizes_double_up_to_the_largest():
    """So a micro-batch is padded to at most twice its pictures, and a full one not at all."""
    assert buckets(1) == [1]
    assert buckets(2) == [1, 2]
    assert buckets(16) == [1, 2, 4, 8, 16]
    assert buckets(24) == [1, 2, 4, 8, 16, 24]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_replayed_micro_batch_has_the_answers_of_an_eager_one(count: int):
    """Also one that does not fill its size, whatever is mixed in it; and it says that it may be overlapped."""
    made, graphs, warnings = warm()
    net = made.network
    wishes = [*every_method(net, top_k=3), Options(classes=(7, 2, 5)), *every_method(net, top_k=2, target="softmax")]
    wishes = (wishes[::2] + wishes[1::2])[:count]
    batch = pictures(count, SIDE)
    same(made.run(batch, wishes), Engine(net, 8).run(batch, wishes))
    assert (graphs.calls, warnings, made.overlaps) == ([count], [], True)
    assert (made.mode, made.name) == ("host", "host")


def test_a_micro_batch_with_scorecam_runs_eagerly():
    """It runs the network again and again, and waits for each answer, so that nothing would be won by a graph."""
    made, graphs, _ = warm(largest=2)
    wishes = [Options(method="scorecam", top_k=2), Options(top_k=2)]
    same(made.run(pictures(2, SIDE), wishes), Engine(made.network, 2).run(pictures(2, SIDE), wishes))
    assert graphs.calls == []


def test_micro_batches_that_began_together_keep_their_own_answers():
    """The second overwrites what the first one's forward put out, not what was made of it."""
    made, *_ = warm()
    batches = [pictures(4, SIDE, seed) for seed in range(3)]
    finish = [made.begin(batch, [Options()] * 4) for batch in batches]
    for batch, wait in reversed(list(zip(batches, finish, strict=True))):
        same(wait(), Engine(made.network, 4).run(batch, [Options()] * 4))


@pytest.mark.parametrize(
    ("sizes", "wish"),
    [
        ((SIDE, 96), Options()),
        ((SIDE,), Options(method="gradcam", target_layer="0.0")),
        ((SIDE,) * 2, Options(method="layercam", target_layer="0.0,0.4")),
        ((SIDE,) * 9, Options()),
        ((), Options()),
    ],
)
def test_what_was_not_captured_runs_eagerly(sizes: tuple[int, ...], wish: Options):
    """Another size, another layer, more pictures than the largest size, none."""
    made, graphs, warnings = warm()
    batch = [pictures(1, size)[0] for size in sizes]
    same(made.run(batch, [wish] * len(batch)), Engine(made.network, 8).run(batch, [wish] * len(batch)))
    assert graphs.calls == warnings == []


def test_options_that_cannot_be_served_fail_their_own_pictures_only():
    """As in every engine."""
    made, *_ = warm()
    good, bad = made.run(pictures(2, SIDE), [Options(), Options(classes=(11,))])
    explained(good)
    assert isinstance(bad, ImageError)


def raises(error: Exception) -> Callable[[object], Tensor]:
    def fault(_: object) -> Tensor:
        raise error

    return fault


@pytest.mark.parametrize("where", ["on_forward", "on_fetch"])
def test_a_micro_batch_that_raises_is_run_again_eagerly_and_says_why(where: str):
    """Wherever the device fails; the pictures have their answers all the same."""
    made, graphs, warnings = warm()
    setattr(graphs, where, raises(ValueError("a kernel said no")))
    same(made.run(pictures(3, SIDE), [Options()] * 3), Engine(made.network, 8).run(pictures(3, SIDE), [Options()] * 3))
    assert warnings == ["a micro-batch of 3 runs again, eagerly: ValueError: a kernel said no"]


@pytest.mark.parametrize("where", ["on_forward", "on_fetch"])
def test_a_lost_device_is_no_ones_picture(where: str):
    """It is raised, so that the process ends; an eager run would meet the same."""
    made, graphs, _ = warm()
    setattr(graphs, where, raises(RuntimeError("CUDA error: an illegal memory access was encountered")))
    with pytest.raises(RuntimeError, match="CUDA error"):
        made.run(pictures(1, SIDE), [Options()])


def test_a_guilty_picture_fails_alone():
    """Found by the eager run's halving."""
    made, _, warnings = warm(picky(ValueError, net=tiny())[0])
    batch = pictures(4, SIDE)
    batch[2] = red(SIDE)
    outcomes = made.run(batch, [Options()] * 4)
    assert [isinstance(each, Explanation) for each in outcomes] == [True, True, False, True]
    assert len(warnings) == 1


def test_out_of_memory_halves_the_micro_batch():
    """Of a replay: its pictures are run eagerly, in halves if need be."""
    net, module = picky(torch.OutOfMemoryError, net=tiny())
    made, *_ = warm(net)
    module.limit = 4
    for outcome in made.run(pictures(8, SIDE), [Options()] * 8):
        explained(outcome)
    assert made.max_batch_size == 4


def test_what_does_not_fit_into_memory_is_not_captured():
    """The largest size that does is the micro-batch from then on."""

    def fits(size: int) -> None:
        if size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")

    made, graphs, warnings = engine()
    graphs.on_capture = fits
    made.warm_up()
    assert (made.proven, made.max_batch_size) == ([1, 2, 4], 4)
    assert warnings == ["no memory for micro-batches of 8: 4 from now on"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_captured_forward_that_computes_something_else_is_not_replayed(dtype: torch.dtype):
    """Twice the tolerance in the activations is found, said with its size, and the network runs eagerly."""
    made, graphs, warnings = engine(tiny(dtype), largest=2)
    compute = graphs.compute

    def off(size: int) -> tuple[Tensor, ...]:
        logits, activations = compute(size)
        return logits, activations * (1 + 2 * TOLERANCE[dtype])

    graphs.compute = off  # type: ignore[method-assign]
    made.warm_up()
    assert (made.proven, made.overlaps, graphs.outputs) == ([], False, {})
    assert warnings == [f"resnet18 runs on {made.mode}"]
    assert made.mode.startswith(
        f"{TORCH} instead of host: DifferenceError: of 1 pictures the activations differ from the hooked network's by"
    )
    graphs.calls.clear()
    assert explanation(made).engine == made.name == TORCH
    assert graphs.calls == []


def explanation(made: ProvenEngine) -> Explanation:
    """Of one picture."""
    [outcome] = made.run(pictures(1, SIDE), [Options()])
    assert isinstance(outcome, Explanation)
    return outcome


def test_a_result_says_what_made_it():
    """The runner, or torch where the picture is not a usual one."""
    made, *_ = warm()
    usual, large, scorecam = (
        made.run(pictures(1, size), [Options(method=method)])[0]
        for size, method in ((SIDE, "cam"), (96, "cam"), (SIDE, "scorecam"))
    )
    assert [usual.engine, large.engine, scorecam.engine] == ["host", TORCH, TORCH]  # type: ignore[union-attr]


def test_a_runner_that_goes_wrong_later_is_found_by_a_sample_and_not_used_any_more(monkeypatch: pytest.MonkeyPatch):
    """The micro-batch that showed it has the right answer, and so has each one after it."""
    monkeypatch.setattr(proven, "SAMPLE_EVERY", 4)
    made, graphs, warnings = warm()
    eager = Engine(made.network, 8)
    batch = pictures(2, SIDE)
    for _ in range(4):
        same(made.run(batch, [Options()] * 2), eager.run(batch, [Options()] * 2))
    assert warnings == []
    compute = graphs.compute
    graphs.compute = lambda size: tuple(each * 1.01 for each in compute(size))  # type: ignore[method-assign]
    assert explanation(made).engine == "host"  # nobody looked
    same(made.run(batch, [Options()] * 2), eager.run(batch, [Options()] * 2))
    assert "differ from the hooked network's by 0.01" in warnings[0]
    assert (explanation(made).engine, made.name, made.overlaps) == (TORCH, TORCH, False)


def test_a_staging_that_mixes_up_two_micro_batches_is_found_at_the_start():
    """The check begins a second one before it looks at the first."""
    made, graphs, warnings = engine(largest=2)
    latest: list[Tensor] = []

    def mixed_up(values: Tensor) -> Callable[[], FloatArray]:
        latest[:] = [values.clone()]
        return lambda: latest[0].numpy()  # noqa: PLW0108 -- the latest at the time of that call

    graphs.fetch = mixed_up  # type: ignore[method-assign]
    made.warm_up()
    assert made.proven == []
    assert len(warnings) == 1


def test_a_capture_that_fails_leaves_an_engine_that_works():
    """With the reason in one line."""
    made, graphs, warnings = engine(largest=2)
    graphs.on_capture = raises(RuntimeError("operation not permitted when stream is capturing\nand more"))  # type: ignore[assignment]
    made.warm_up()
    assert warnings == [
        f"resnet18 runs on {TORCH} instead of host: RuntimeError: operation not permitted when stream is capturing"
    ]
    explained(made.run(pictures(1, SIDE), [Options()])[0])


def test_a_network_that_cannot_run_at_all_is_refused():
    """Not even eagerly."""
    made, *_ = engine(picky(MemoryError, 0, tiny())[0], largest=2)
    with pytest.raises(ModelError, match="does not run"):
        made.warm_up()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [tiny, alexnet])
def test_torch_alone_is_the_plain_engine(kind: Callable[[], Network]):
    """Where it is asked for, and where maps need a backward pass: nothing overlaps, and beginning is running."""
    plain = engine_for(kind(), 4, pytest.fail, "torch" if kind is tiny else "auto")
    assert (type(plain), plain.overlaps, plain.mode, plain.name) == (Engine, False, TORCH, TORCH)
    wishes = [Options(method="gradcam")] * 2
    same(plain.begin(pictures(2), wishes)(), plain.run(pictures(2), wishes))
