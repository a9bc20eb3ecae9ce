"""`python:package.module:callable`: the user's own network, imported for the worker's settings and for nothing else."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import torch

from shared.config import Settings
from shared.contract import Options
from shared.errors import ModelError, UsageError
from tests.numeric.by_hand import answers, close, gradcam_by_hand
from tests.numeric.networks import CPU
from worker.core.model.network import load_network
from worker.models import asked as asked_module
from worker.models.asked import asked
from worker.models.inspection import inspect

NET = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, classes=4):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2))
            self.head = nn.Linear(12, classes)

        def forward(self, x):
            x = torch.relu(self.body(x))
            if float(x.sum()) < -1:          # depends on the data: no tracer can follow it
                raise RuntimeError
            return {output}

    def build():
        torch.manual_seed(5)
        return Net()
"""
OUTPUTS = {
    "logits": "self.head(x.mean((2, 3)))",
    "a dictionary": "{'logits': self.head(x.mean((2, 3))), 'loss': None}",
    "an object": "type('Answer', (), {'logits': self.head(x.mean((2, 3)))})()",
}

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported; its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_any_module_of_ones_own_is_explained(kind: str, write: Write) -> None:
    """It need not be traced; logits may lie in an object, as transformers' do. Weights may be in it already."""
    name = write(f"nets_{len(kind)}", NET.replace("{output}", OUTPUTS[kind]))
    net = load_network(f"python:{name}:build", device=CPU)
    module = sys.modules[name].build().eval()
    logits, maps, x = answers(net, "gradcam")
    output = module(x)
    plain = output if isinstance(output, torch.Tensor) else getattr(output, "logits", None)
    plain = output["logits"] if plain is None else plain
    close(logits.numpy(), plain[0].detach().numpy())
    assert net.target_layer == "body.3" or net.head is None
    assert net.model.startswith(f"python:{name}:build@")
    assert maps.shape == (4, 27, 27)


def test_the_closed_form_of_a_module_that_cannot_be_traced(write: Write) -> None:
    """Found by what its layers do: the mean of the last one's output is what the head takes. Maps are W · A."""
    text = NET.replace("x = torch.relu(self.body(x))", "x = self.act(self.body(x))").replace(
        "self.head =", "self.act = nn.ReLU(); self.head ="
    )
    name = write("nets_untraced", text.replace("{output}", OUTPUTS["logits"]))
    net = load_network(f"python:{name}:build", device=CPU)
    module = sys.modules[name].build().eval()
    logits, maps, x = answers(net, "cam")
    with torch.no_grad():
        features = module.act(module.body(x))[0]
        close(logits.numpy(), module(x)[0].numpy())
        close(maps, torch.einsum("ck,khw->chw", module.head.weight, features).numpy())
    assert (net.target_layer, net.graph) == ("act", None)
    _, heat, _ = answers(net, "gradcam")
    close(heat, gradcam_by_hand(module, "act", x, 0)[1])


def test_its_weights_are_the_checkpoints(write: Write, tmp_path: Path) -> None:
    """Under whatever prefix; and other code is another model."""
    name = write("nets_weights", NET.replace("{output}", OUTPUTS["logits"]))
    first = load_network(f"python:{name}:build", device=CPU)
    state = sys.modules[name].build().state_dict()
    changed = {f"model.{key}": tensor * 2 for key, tensor in state.items()}
    torch.save({"state_dict": {**changed, "criterion.weight": torch.ones(4)}}, tmp_path / "w.ckpt")
    net = load_network(f"python:{name}:build", weights=tmp_path / "w.ckpt", device=CPU)
    torch.testing.assert_close(net.module.state_dict()["head.weight"], state["head.weight"] * 2)
    assert net.renamed == ("state_dict.model.* → *",)
    assert net.ignored == ("state_dict.criterion.weight",)
    write(name, NET.replace("{output}", OUTPUTS["logits"]) + "\n    # edited\n")
    sys.modules.pop(name)
    assert load_network(f"python:{name}:build", device=CPU).model != first.model


def test_one_that_computes_while_it_is_built_has_its_weights_too(write: Write, tmp_path: Path) -> None:
    """As networks do that spread a rate over their layers; its code runs once."""
    text = (
        NET.format(output=OUTPUTS["logits"])
        + """
    built = []

    class Spread(Net):
        def __init__(self):
            super().__init__()
            self.rates = torch.linspace(0, 0.1, 4).tolist()
            built.append(self)
    """
    )
    name = write("spread", text)
    module = __import__(name).Spread().eval()
    torch.save(module.state_dict(), tmp_path / "w.pth")
    net = load_network(f"python:{name}:Spread", weights=tmp_path / "w.pth", device=CPU)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(net.module(x), module(x))
    assert len(sys.modules[name].built) == 2  # once here


def test_weights_that_do_not_fit_it_are_refused(write: Write, tmp_path: Path) -> None:
    """Missing tensors and tensors that it would not compute with, by name."""
    name = write("nets_misfit", NET.replace("{output}", OUTPUTS["logits"]))
    state = load_network(f"python:{name}:build", device=CPU).module.state_dict()
    torch.save({key: tensor for key, tensor in state.items() if key != "head.bias"}, tmp_path / "less.pth")
    torch.save({**state, "attention.weight": torch.ones(12, 12)}, tmp_path / "more.pth")
    for file, reason in (("less.pth", "missing: head.bias"), ("more.pth", "unexpected: attention.weight")):
        with pytest.raises(ModelError, match=reason):
            load_network(f"python:{name}:build", weights=tmp_path / file, device=CPU)


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("import not_there", "build", r"cannot be imported: ModuleNotFoundError: No module named 'not_there' \(.*:1\)"),
        ("x = 1 / 0", "build", r"cannot be imported: ZeroDivisionError: division by zero \(.*nets_bad.*\.py:1\)"),
        ("", "build", "cannot be imported: AttributeError: .* has no attribute 'build'"),
        ("def build(): return 3", "build", "returned int; expected a torch.nn.Module"),
        ("def build(): raise KeyError('k')", "build", r"cannot be called without arguments: KeyError: 'k' \(.*:1\)"),
        ("def build(n): return n", "build", "cannot be called without arguments: TypeError"),
        ("import torch\ndef build(): return torch.nn.Conv2d(3, 4, 3)", "build", "expected logits"),
        (
            "import torch\ndef build(): return torch.nn.Linear(3, 4)",
            "build",
            r"does not run on a picture|expected logits",
        ),
    ],
)
def test_what_goes_wrong_in_it_is_shown_as_it_is(text: str, name: str, reason: str, write: Write) -> None:
    """The error of its own code, and where."""
    module = write(f"nets_bad{abs(hash(text)) % 10**8}", text)
    with pytest.raises(ModelError, match=reason):
        load_network(f"python:{module}:{name}", device=CPU)


@pytest.mark.parametrize("name", ["python:os", "python:", "python:a b:c", "python:os:system('x')", "python:../x:y"])
def test_a_malformed_name_is_a_usage_error(name: str) -> None:
    """With the form that is expected."""
    with pytest.raises(UsageError, match=r"expected python:package\.module:callable"):
        load_network(name, device=CPU)


# --- who may name it


@pytest.fixture
def trap(write: Write, tmp_path: Path) -> Iterator[str]:
    """A callable whose import leaves a mark; nothing may be left at the end."""
    marker = tmp_path / "ran"
    yield f"python:{write('nets_trap', f'open({str(marker)!r}, chr(119)); build = None')}:build"
    assert not marker.exists()
    assert "nets_trap" not in sys.modules


def test_a_model_file_in_storage_may_not(trap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write into a bucket may not run code on the workers."""
    (tmp_path / "m.toml").write_text(f'architecture = "{trap}"\n')
    monkeypatch.setattr(asked_module, "local_file", lambda _settings, _address: tmp_path / "m.toml")
    with pytest.raises(UsageError, match="code is imported only for a model file on the worker's own disk"):
        asked(Settings(model="s3://models/m.toml"))
    assert asked(Settings(model=str(tmp_path / "m.toml"))).architecture == trap


@pytest.mark.parametrize("key", ["arch", "architecture", "model_name", "model", "hyper_parameters"])
def test_a_checkpoint_may_not(key: str, trap: str, tmp_path: Path) -> None:
    """Whatever it says of its architecture is a text."""
    state = torch.nn.Linear(3, 4).state_dict()
    value: object = {"architecture": trap} if key == "hyper_parameters" else trap
    torch.save({"state_dict": state, key: value}, tmp_path / "w.pth")
    with pytest.raises(ModelError):
        inspect(str(tmp_path / "w.pth"), None, Settings())
    with pytest.raises(ModelError):
        load_network("resnet18", weights=tmp_path / "w.pth", device=CPU)


@pytest.mark.parametrize("config", [{"architecture": "{}"}, {"architectures": ["{}"], "model_type": "vit"}])
def test_a_folder_may_not(config: dict[str, object], trap: str, tmp_path: Path) -> None:
    """Its config.json names one of timm's or of transformers'."""
    text = msgspec.json.encode(config).decode().replace("{}", trap)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(text)
    torch.save(torch.nn.Linear(3, 4).state_dict(), folder / "pytorch_model.bin")
    found = asked(Settings(weights=str(folder)))
    with pytest.raises((ModelError, UsageError)):
        load_network(found.architecture, weights=found.weights, device=CPU)


def test_a_job_may_not(trap: str) -> None:
    """Its options have no place for it: a message names a model that is already served."""
    assert not any("architecture" in name or name == "model" for name in Options.__struct_fields__)
