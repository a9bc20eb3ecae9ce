"""One output, several labels at once, shares of one whole: probabilities and maps as the training meant them."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.contract import InputTable, ModelFile, Options
from shared.errors import UsageError
from tests.numeric.checkpoints import resnet, saved, state_of
from tests.numeric.networks import CPU, explained, inputs, pictures
from worker.core.engine.engine import Engine, to_input
from worker.core.maps.evidence import Evidence
from worker.core.model.network import Network, load_network
from worker.core.types import ClassMap


def loaded(module: nn.Module, folder: Path, **given: object) -> Network:
    return load_network(
        "resnet18", weights=saved(state_of(module), folder), device=CPU, given=ModelFile(**given) if given else None
    )


def one(net: Network, **options: object) -> tuple[ClassMap, ...]:
    [outcome] = Engine(net, 1).run(pictures(1), [Options(**options)])
    return explained(outcome)


@pytest.fixture(scope="module")
def single() -> nn.Module:
    """One output, trained with BCEWithLogitsLoss."""
    module = copy.deepcopy(resnet())
    torch.manual_seed(7)
    module.fc = nn.Linear(512, 1)
    nn.init.constant_(module.fc.bias, 0.3)
    return module.eval()


def by_hand(module: nn.Module, net: Network) -> tuple[float, np.ndarray]:
    """The logit of the test picture, and its map from the activations of layer4 and the row of `fc`."""
    caught: list[Tensor] = []
    handle = module.layer4.register_forward_hook(lambda *given: caught.append(given[2]))
    with torch.inference_mode():
        logit = float(module(to_input(pictures(1), net))[0, 0])
    handle.remove()
    return logit, np.einsum("k,khw->hw", module.fc.weight[0].detach().numpy(), caught[0][0].numpy())


def test_one_output_belongs_to_the_second_of_two_labels(single: nn.Module, tmp_path: Path) -> None:
    """Its probability is the sigmoid; the negative's map is its negative."""
    net = loaded(single, tmp_path, labels=("healthy", "ill"))
    logit, values = by_hand(single, net)
    found = {each.class_index: each for each in one(net)}
    assert net.outputs == "sigmoid"
    assert found.keys() == {0, 1}
    assert found[1].logit == pytest.approx(logit, abs=1e-5)
    assert found[1].probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    assert found[0].probability == pytest.approx(1 - found[1].probability, abs=1e-6)
    np.testing.assert_allclose(found[1].values, values, atol=1e-5 * np.abs(values).max())
    np.testing.assert_allclose(found[0].values, -values, atol=1e-5 * np.abs(values).max())


def test_one_output_without_two_names_is_one_prediction(single: nn.Module, tmp_path: Path) -> None:
    """Class 0, with its sigmoid, whatever top-k asks for."""
    for labels in (None, ("ill",)):
        net = loaded(single, tmp_path, labels=labels)
        [found] = one(net, top_k=3)
        logit, values = by_hand(single, net)
        assert (found.class_index, found.rank) == (0, 1)
        assert found.probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
        np.testing.assert_allclose(found.values, values, atol=1e-5 * np.abs(values).max())


def test_sigmoid_outputs_are_each_labels_own(tmp_path: Path) -> None:
    """Two findings that are both there are both near 1; the target `probability` weighs by p (1 - p)."""
    net = loaded(resnet(), tmp_path, outputs="sigmoid")
    logits = net.classify(to_input(pictures(1), net))[0]
    found = one(net, top_k=5)
    for each in found:
        assert each.probability == pytest.approx(float(logits[each.class_index].sigmoid()), abs=1e-6)
    assert [each.rank for each in found] == [1, 2, 3, 4, 5]
    for each, of_p in zip(found, one(net, top_k=5, target="probability"), strict=True):
        slope = each.probability * (1 - each.probability)
        np.testing.assert_allclose(of_p.values, slope * each.values, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "xgradcam", "layercam"])
def test_closed_forms_of_the_sigmoid_are_autograds(method: str, tmp_path: Path) -> None:
    """The gradient of the probability, against autograd from the activations on."""
    net = loaded(resnet(), tmp_path, outputs="sigmoid")
    assert net.head is not None
    logits, activations = net.forward(inputs(1))
    classes = torch.tensor([[3, 1]])
    a = activations.double().clone().requires_grad_()
    score = net.head.logits(a).sigmoid()[0, 3]
    [expected] = torch.autograd.grad(score, a)
    evidence = Evidence(
        net.head, activations.double(), logits.double(), classes, "probability", inputs(1), net.classify, 4, "sigmoid"
    )
    torch.testing.assert_close(evidence.gradient()[0, 0].expand_as(expected[0]), expected[0], rtol=1e-5, atol=1e-9)


def test_softmax_is_another_word_for_the_probability(tmp_path: Path) -> None:
    """As it was before sigmoid outputs were."""
    net = loaded(resnet(), tmp_path)
    for old, new in zip(one(net, target="softmax"), one(net, target="probability"), strict=True):
        np.testing.assert_array_equal(old.values, new.values)


def test_every_class_of_at_least_a_probability(tmp_path: Path) -> None:
    """All of them, best first; none where none is."""
    for outputs in ("softmax", "sigmoid"):
        net = loaded(resnet(), tmp_path, outputs=outputs)
        every = one(net, top_k=5)
        bar = (every[1].probability + every[2].probability) / 2
        assert [each.class_index for each in one(net, min_probability=bar)] == [
            each.class_index for each in every if each.probability >= bar
        ]
    assert one(loaded(resnet(), tmp_path), min_probability=0.999) == ()


def test_top_k_is_cut_to_the_classes(tmp_path: Path) -> None:
    """A network of five has no sixth best."""
    assert len(one(loaded(resnet(), tmp_path), top_k=9)) == 5


def test_the_models_name_follows_all_that_an_answer_depends_on(tmp_path: Path) -> None:
    """Outputs and preprocessing, too; its own name where the model file gives one."""
    given = [{}, {"outputs": "sigmoid"}, {"input": InputTable(mean=(0.5, 0.5, 0.5))}, {"name": "cats"}]
    names = [loaded(resnet(), tmp_path, **each).model for each in given]
    assert len({name.partition("@")[2] for name in names[:3]}) == 3
    assert names[3] == f"cats@{names[0].partition('@')[2]}"


def test_a_stem_needs_as_many_means_as_it_has_channels(tmp_path: Path) -> None:
    """Grey pictures get the mean over the colours where nothing is said; a contradiction is refused."""
    module = copy.deepcopy(resnet())
    module.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    assert loaded(module, tmp_path).spec.mean == (0.449,)
    net = loaded(module, tmp_path, input=InputTable(channels=1, mean=(0.5,), std=(0.25,)))
    assert (net.spec.mean, net.spec.std) == ((0.5,), (0.25,))
    with pytest.raises(UsageError, match="mean and std have 3 and 1 numbers, but the weights take 1 channel:"):
        loaded(module, tmp_path, input=InputTable(mean=(0.5, 0.5, 0.5)))
    with pytest.raises(UsageError, match=r"input\.channels is 3, but the weights take pictures of 1"):
        loaded(module, tmp_path, input=InputTable(channels=3))


def test_the_layer_that_a_model_file_names(tmp_path: Path) -> None:
    """Its own target layer changes nothing; another one is differentiated back to."""
    assert "cam" in loaded(resnet(), tmp_path, target_layer="layer4").methods
    net = loaded(resnet(), tmp_path, target_layer="layer3")
    assert (net.methods, net.target_layer) == (("gradcam", "hirescam", "layercam", "finercam"), "layer3")
    assert one(net, method="hirescam")[0].values.shape == (4, 4)
