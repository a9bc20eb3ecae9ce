"""What a worker tells of its model is what its network then does."""

import pytest

from shared.checks.options import check_options
from shared.contract import Options
from shared.errors import UsageError
from tests.numeric.networks import network
from worker.app import card_of


@pytest.mark.parametrize("layer", ["layer4", "layer3", "layer3.0.conv1", "layer44"])
@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_a_producer_accepts_the_layers_that_the_network_accepts(layer: str, method: str) -> None:
    """So that a mistyped layer is refused before anything is uploaded, and no other."""
    net = network("resnet18")
    options = Options(target_layer=layer, method=method)  # type: ignore[arg-type]

    def verdict(check: object, *arguments: object) -> bool:
        try:
            check(*arguments)  # type: ignore[operator]
        except UsageError:
            return False
        return True

    given = {"target_layer": layer, "method": method}
    assert verdict(check_options, card_of(net, "torch"), given) == verdict(net.check, options)


def test_a_producer_refuses_with_the_networks_own_reason() -> None:
    """Which methods cannot work on it, and no input too small for its layers."""
    net = network("alexnet", classes=10)
    card = card_of(net, "torch")

    with pytest.raises(UsageError) as caught:
        check_options(card, {"method": "cam"})
    assert (
        str(caught.value)
        == f"alexnet does not support the method cam: {net.reason}. Use gradcam, hirescam, layercam or finercam"
    )
    assert "classifier.5 (ReLU)" in net.reason
    with pytest.raises(UsageError, match="invalid input_size 62: alexnet takes 63 to 4096 pixels"):
        check_options(card, {"method": "gradcam", "input_size": 62})


def test_the_input_of_a_pool_that_no_layer_puts_out_is_in_the_card() -> None:
    """DenseNet pools the output of a function; the worker puts a layer of its own there."""
    card = card_of(network("densenet121", classes=10), "torch")

    assert card.target_layer == "pool_input"
    assert card.target_layer in card.layers
    assert check_options(card, {"target_layer": "pool_input"}).target_layer == "pool_input"
