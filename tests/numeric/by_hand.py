"""Networks of other libraries: as they answer themselves, and Grad-CAM by hand."""

from pathlib import Path

import numpy as np
import timm
import timm.data
import torch
from torch import Tensor, nn

from shared.contract import Options
from tests.numeric.networks import CPU, explained, pictures
from worker.core.engine.engine import Engine, to_input
from worker.core.model.network import Network, load_network


def created(name: str, **options: object) -> nn.Module:
    """With statistics that are not those it starts with."""
    torch.manual_seed(0)
    module = timm.create_model(name, **{"num_classes": 7, **options})
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.4, 1.6)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return module.eval()


def loaded(module: nn.Module, name: str, folder: Path) -> Network:
    torch.save({"state_dict": module.state_dict()}, folder / "trained.pth.tar")
    return load_network(f"timm:{name}", weights=folder / "trained.pth.tar", device=CPU)


def answers(net: Network, method: str) -> tuple[Tensor, np.ndarray, Tensor]:
    """Logits and maps of all classes of one picture, and the network's input."""
    [picture] = pictures(1, net.spec.size)
    [outcome] = Engine(net, 1).run([picture], [Options(top_k=len(net.labels), method=method)])
    classes = sorted(explained(outcome), key=lambda each: each.class_index)
    logits = torch.tensor([each.logit for each in classes])
    return logits, np.stack([each.values for each in classes]), to_input([picture], net)


def gradcam_by_hand(module: nn.Module, layer: str, x: Tensor, special: int) -> tuple[Tensor, np.ndarray]:
    """Logits, and relu(Σ_k mean(∂ y / ∂ A_k) A_k) for every class; tokens as a square behind `special` others."""
    caught: list[Tensor] = []
    handle = module.get_submodule(layer).register_forward_hook(lambda _, __, out: caught.append(out))
    output = module(x)
    handle.remove()
    logits = getattr(output, "logits", output)
    maps = []
    for logit in logits[0]:
        [gradient] = torch.autograd.grad(logit, caught[0], retain_graph=True)
        values, slopes = caught[0][0], gradient[0]
        if values.dim() == 2:
            side = round((len(values) - special) ** 0.5)
            values, slopes = (each[special:].T.reshape(-1, side, side) for each in (values, slopes))
        maps.append((slopes.mean((1, 2))[:, None, None] * values).sum(0).relu().detach().numpy())
    return logits[0].detach(), np.stack(maps)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-5 of the largest value."""
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1e-9, np.abs(expected).max()))
