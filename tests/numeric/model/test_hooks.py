"""The hook object."""

import threading

import pytest
import torch
from torch import nn

from tests.numeric.networks import inputs, network
from worker.core.model.hooks import ActivationHook


def hooks(module: nn.Module) -> int:
    return sum(len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in module.modules())


def test_a_hook_on_layer4_saves_the_activations_and_can_be_removed():
    """The hook object of the reference notebook, on the network that the worker runs."""
    net = network()
    assert net.target_layer == "layer4"
    hook = ActivationHook(net.hookable.get_submodule("layer4"))
    with torch.inference_mode():
        first = net.hookable(inputs(1))
    caught = hook.activations
    assert caught is not None
    assert caught.shape == (1, 512, 2, 2)
    assert torch.allclose(net.head.logits(caught.double()).float(), first, atol=1e-5)
    hook.remove()
    hook.remove()  # idempotent
    with torch.inference_mode():
        net.hookable(inputs(1, seed=9))
    assert hook.activations is caught
    assert hook.calls == 1
    assert hooks(net.hookable) == 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_second_output_of_the_graph_is_what_the_hook_catches(dtype: torch.dtype):
    """In every precision, for other sizes and batches than the one at load: bit by bit."""
    net = network("resnet18", 10, dtype=dtype)
    for count, size in ((1, 64), (5, 97)):
        x = inputs(count, size).to(dtype)
        for found, hooked in zip(net.forward(x), net.hooked(x), strict=True):
            assert found.dtype is torch.float32
            assert torch.equal(found, hooked)


def test_no_hook_stays_behind_when_the_forward_raises():
    """Counted before and after, for the hooked and for the differentiated forward."""
    net = network()
    for run in (net.hooked, lambda x: net.tape(x, ["layer4"])):
        with pytest.raises(RuntimeError):
            run(torch.zeros(1, 5, 64, 64))  # five channels
        assert hooks(net.hookable) + hooks(net.module) == 0
        run(inputs(1))
        assert hooks(net.hookable) + hooks(net.module) == 0


def test_two_threads_may_hook_the_same_layer_at_once():
    """Each hook sees only its own thread's forward, though both are registered during both."""
    layer = nn.Identity()
    both_hooked, results = threading.Barrier(2, timeout=10), {}

    def run(value: int) -> None:
        with ActivationHook(layer) as hook:
            both_hooked.wait()
            layer(torch.tensor([value]))
            both_hooked.wait()
            results[value] = hook.activations

    threads = [threading.Thread(target=run, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert {value: int(caught) for value, caught in results.items()} == {1: 1, 2: 2}


def test_many_threads_may_explain_with_one_network():
    """Nothing of a call is kept on the network: four threads at once find what one finds alone."""
    net = network()
    alone = [net.forward(inputs(1, seed=seed)) for seed in range(4)]
    found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def run(seed: int) -> None:
        for _ in range(3):
            found[seed] = net.forward(inputs(1, seed=seed))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for seed, (logits, activations) in enumerate(alone):
        assert torch.allclose(found[seed][0], logits, atol=1e-5)
        assert torch.allclose(found[seed][1], activations, atol=1e-5)
