"""Checkpoints as trainers write them: whatever lies around the network's tensors, the answers are the network's."""

import argparse
import copy
import gzip
import pathlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from shared.errors import ModelError
from tests.numeric.checkpoints import NAMES, State, check, prefixed, resnet, saved, state_of
from tests.numeric.networks import CPU, inputs, random_module
from worker.core.checkpoint.checkpoint import open_checkpoint
from worker.core.model.assemble import Assembled, assemble
from worker.core.model.network import load_network


def lightning(state: State, **more: object) -> dict[str, object]:
    """What a LightningModule with `self.model` writes."""
    return {
        "epoch": 3,
        "global_step": 300,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed(state, "model."), **more},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_path": pathlib.Path("/data/best.ckpt")}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(5, 512), "step": torch.tensor(3.0)}}}],
        "hyper_parameters": {"lr": 1e-3, "root": pathlib.Path("/data"), "args": argparse.Namespace(arch="resnet18")},
    }


FORMS: dict[str, Callable[[State], object]] = {
    "torchvision's training script": lambda s: {
        "model": s,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "lr_scheduler": {"last_epoch": 3},
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, model="resnet18"),
        "model_ema": {**prefixed(state_of(resnet(seed=1)), "module."), "n_averaged": torch.tensor(3)},
    },
    "timm's training script": lambda s: {
        "epoch": 1,
        "arch": "resnet18",
        "state_dict": s,
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(64, 3, 7, 7)}}},
        "args": argparse.Namespace(model="resnet18"),
        "amp_scaler": {"scale": 65536.0},
        "state_dict_ema": state_of(resnet(seed=1)),
        "metric": np.float64(93.1),
    },
    "averaged weights first": lambda s: {"ema_state_dict": state_of(resnet(seed=1)), "model": s},
    "Lightning": lightning,
    "Lightning with class weights in its loss": lambda s: lightning(s, **{"criterion.weight": torch.ones(5)}),
    "Lightning with pos_weight": lambda s: lightning(s, **{"criterion.pos_weight": torch.ones(5)}),
    "Lightning with a metric's matrix": lambda s: lightning(s, **{"val_cm.confmat": torch.zeros(5, 5)}),
    "Lightning around a compiled network": lambda s: {"state_dict": prefixed(s, "model._orig_mod.")},
    "net. as prefix": lambda s: {"state_dict": prefixed(s, "net.")},
    "nested prefixes": lambda s: {"state_dict": prefixed(s, "module.encoder.backbone.")},
    "a loop's own keys": lambda s: {"net": s, "acc": 93.1, "epoch": 100},
    "NumPy's numbers": lambda s: {"weights": s, "best_acc": np.float64(0.9), "history": np.arange(3.0)},
    "SWA": lambda s: {**prefixed(s, "module."), "n_averaged": torch.tensor(3)},
    "counted operations": lambda s: {**s, "total_ops": torch.zeros(1), "layer1.0.conv1.total_ops": torch.zeros(1)},
    "pairs in a list": lambda s: list(s.items()),
    "parameters": lambda s: {key: nn.Parameter(t) if t.is_floating_point() else t for key, t in s.items()},
    "an object's state": lambda s: {"trainer": argparse.Namespace(model_state=s, lr=1)},
    "head beside the backbone": lambda s: {
        ("head." + key[3:] if key.startswith("fc.") else "backbone." + key): tensor for key, tensor in s.items()
    },
    "children by their numbers": lambda s: {
        (f"features.{number}" + key[len(child) :] if child != "fc" else key): tensor
        for number, (child, _) in enumerate(resnet().named_children())
        for key, tensor in s.items()
        if key.startswith(f"{child}.")
    },
    "names of kuangliu's networks": lambda s: {
        key.replace("downsample", "shortcut").replace("fc.", "linear."): tensor for key, tensor in s.items()
    },
    "Lightning on several devices": lambda s: {"state_dict": prefixed(s, "model.module.")},
    "Lightning Fabric's and DeepSpeed's wrapper": lambda s: {"state_dict": prefixed(s, "_forward_module.model.")},
    "DeepSpeed": lambda s: {"module": s, "optimizer": None, "ds_config": {}, "dp_world_size": 1},
    "FSDP, with wrappers at every depth": lambda s: {
        "_fsdp_wrapped_module." + key.replace("layer1.", "layer1._checkpoint_wrapped_module._fsdp_wrapped_module."): t
        for key, t in s.items()
    },
    "MMPretrain": lambda s: {
        "meta": {"dataset_meta": {"classes": NAMES}},
        "state_dict": {("head." if key.startswith("fc.") else "backbone.") + key: t for key, t in s.items()},
    },
    "ema_pytorch": lambda s: {
        **prefixed(state_of(resnet(seed=1)), "ema_model."),
        **prefixed(s, "online_model."),
        "initted": torch.tensor([True]),
    },
    "a student and its teacher": lambda s: {
        "state_dict": {**prefixed(state_of(resnet(seed=1)), "teacher."), **prefixed(s, "student.")}
    },
    "a larger teacher": lambda s: {
        "state_dict": {**prefixed(state_of(random_module("resnet34", 5)), "teacher."), **prefixed(s, "student.")}
    },
    "a tuple with the epoch": lambda s: (s, 3),
    "a whole module beside them": lambda s: {"model": resnet(), "state_dict": s},
    "slices of one storage": lambda s: {
        key: torch.stack([tensor, tensor], dim=-1)[..., 0] if tensor.dim() else tensor for key, tensor in s.items()
    },
}


def same(path: Path, module: nn.Module) -> Assembled:
    """The file's tensors are those of `module`, each in its place."""
    found = assemble("resnet18", open_checkpoint(path))
    expected = module.state_dict()
    assert found.module.state_dict().keys() == expected.keys()
    for name, tensor in found.module.state_dict().items():
        assert torch.equal(tensor, expected[name].float()) or name.endswith("num_batches_tracked")
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_loads_as_its_trainer_wrote_it(form: str, tmp_path: Path) -> None:
    """The raw weights, not the averaged ones."""
    assert same(saved(FORMS[form](state_of(resnet())), tmp_path), resnet()).classes == 5


def test_the_model_is_the_same_however_it_was_saved(tmp_path: Path) -> None:
    """It computes what the module computes by hand, and has one name."""
    bare = check(saved(state_of(resnet()), tmp_path), resnet())
    assert check(saved(lightning(state_of(resnet())), tmp_path), resnet()).model == bare.model


@pytest.mark.slow
def test_averaged_weights_are_taken_when_they_are_asked_for(tmp_path: Path) -> None:
    """By their key or as `#ema`; what was chosen, and what else there was, is said."""
    averaged = resnet(seed=1)
    path = saved(FORMS["torchvision's training script"](state_of(resnet())), tmp_path)
    for key in ("ema", "model_ema", "model_ema.module"):
        same(Path(f"{path}#{key}"), averaged)
    same(Path(f"{path}#model"), resnet())
    assert "FILE#model_ema takes them" in " ".join(same(path, resnet()).notes)
    with pytest.raises(ModelError, match=r"nothing under 'emma': it holds model, model_ema"):
        load_network("resnet18", weights=Path(f"{path}#emma"), device=CPU)
    same(saved(state_of(resnet()), tmp_path, "odd#ema"), resnet())  # a file of that very name
    path = saved(FORMS["a student and its teacher"](state_of(resnet())), tmp_path)
    assert "FILE#state_dict.teacher takes them" in " ".join(same(path, resnet()).notes)
    same(Path(f"{path}#state_dict.teacher"), averaged)


def test_pruned_weights_are_those_that_are_left(tmp_path: Path) -> None:
    """torch.nn.utils.prune keeps each weight and its mask."""
    module = copy.deepcopy(resnet())
    prune.l1_unstructured(module.layer1[0].conv1, "weight", 0.3)
    prune.l1_unstructured(module.fc, "bias", 0.5)
    check(saved(state_of(module), tmp_path), module)


def test_what_was_ignored_and_renamed_is_named_once(tmp_path: Path) -> None:
    """Many tensors of one key as one entry."""
    net = same(saved(lightning(state_of(resnet()), **{"criterion.weight": torch.ones(5)}), tmp_path), resnet())
    assert net.ignored == (
        "state_dict.criterion.weight",
        "optimizer_states.0.state.0.exp_avg",
        "optimizer_states.0.state.0.step",
    )
    assert net.renamed == ("state_dict.model.* → *",)


@pytest.mark.slow
def test_the_example_scripts_vgg_has_its_wrapper_in_the_middle(tmp_path: Path) -> None:
    """PyTorch's ImageNet example wraps `features` alone."""
    module = random_module("alexnet", 5).eval()
    state = {key.replace("features.", "features.module."): tensor for key, tensor in module.state_dict().items()}
    net = check(saved({"state_dict": state}, tmp_path), module, "alexnet", inputs(1, 96))
    assert net.renamed == ("state_dict.features.module → features", "state_dict.* → *")


@pytest.mark.slow
def test_precisions_and_containers(tmp_path: Path) -> None:
    """Half precision, bfloat16, the old format, safetensors under any suffix, in one file or several."""
    module = copy.deepcopy(resnet())
    for dtype in (torch.float16, torch.bfloat16):
        state = {key: t.to(dtype) if t.is_floating_point() else t for key, t in state_of(resnet()).items()}
        module.load_state_dict({key: tensor.float() for key, tensor in state.items()})
        same(saved(state, tmp_path), module)
    state = state_of(module)
    torch.save({"state_dict": state}, tmp_path / "old.tar", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "X.SAFETENSORS")
    save_file(prefixed(state, "module."), tmp_path / "model.bin")
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = sorted(state)
    shards = {"a.safetensors": names[:60], "b.safetensors": names[60:]}
    for file, own in shards.items():
        save_file({name: state[name] for name in own}, folder / file)
    where: dict[str, Any] = {"weight_map": {name: file for file, own in shards.items() for name in own}}
    (folder / "model.safetensors.index.json").write_bytes(__import__("msgspec").json.encode(where))
    for name in ("old.tar", "X.SAFETENSORS", "model.bin", "sharded", "sharded/model.safetensors.index.json"):
        same(tmp_path / name, module)


def refusal(value: object, folder: Path, name: str = "resnet18") -> str:
    with pytest.raises(ModelError) as refused:
        load_network(name, weights=saved(value, folder), device=CPU)
    return str(refused.value)


def test_weights_of_another_architecture_are_named(tmp_path: Path) -> None:
    """What it is, with how many classes, and what to type."""
    other = state_of(random_module("resnet34", 5))
    message = refusal({"state_dict": prefixed(other, "model.")}, tmp_path)
    assert "these are the weights of a resnet34 with 5 classes. Give --model resnet34" in message


def test_a_network_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    """Tensors between the trunk's own, or heads of which one would be chosen by chance, change the answers."""
    state = state_of(resnet())
    attention = {f"layer1.{block}.se.fc.weight": torch.ones(4, 64) for block in (0, 1)}
    assert "unexpected: layer1.0.se.fc.weight" in refusal({**state, **attention}, tmp_path)
    assert "unexpected: ca.conv.weight" in refusal({**state, "ca.conv.weight": torch.ones(4, 64, 1, 1)}, tmp_path)
    trunk = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    heads = {"age.weight": torch.ones(3, 512), "sex.weight": torch.ones(2, 512)}
    assert "more than one head: age, sex" in refusal({**trunk, **heads}, tmp_path)
    assert "no head" in refusal(trunk, tmp_path)
    prelu = {"fc.0.weight": torch.ones(9, 512), "fc.1.weight": torch.ones(1), "fc.2.weight": torch.ones(5, 9)}
    assert "unexpected: fc.1.weight" in refusal({**trunk, **prelu}, tmp_path)
    beside = {"head.scale": torch.ones(512), "head.fc.weight": torch.ones(5, 512)}
    assert "unexpected: head.scale" in refusal({**prefixed(trunk, "backbone."), **beside}, tmp_path)


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (gzip.compress(b"weights", mtime=0), "compressed by gzip: unpack it with gunzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras writes it"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS's pointer to the file"),
        (b"<!DOCTYPE html><html>", "a web page and not the file"),
        (b"hello", "neither a file of torch.save nor of safetensors"),
    ],
    ids=["gzip", "HDF5", "LFS", "HTML", "text"],
)
def test_what_people_take_for_a_checkpoint_is_called_by_its_name(begin: bytes, what: str, tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "best.pth").write_bytes(begin)
    with pytest.raises(ModelError, match=re.escape(what)):
        load_network("resnet18", weights=tmp_path / "best.pth", device=CPU)


@pytest.mark.slow
def test_programs_and_modules_get_the_line_that_converts_them(tmp_path: Path) -> None:
    """TorchScript, torch.export, a pickled module, also inside a dictionary and in the old format."""
    module = resnet()
    torch.jit.trace(module, inputs(1)).save(tmp_path / "script.pt")
    torch.export.save(torch.export.export(module, (inputs(1),)), tmp_path / "program.pt2")
    torch.save(module, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    saved({"model": module}, tmp_path, "inside.pth")
    lines = {
        "script.pt": 'torch.save(torch.jit.load("script.pt").state_dict(), "state.pth")',
        "program.pt2": 'torch.save(torch.export.load("program.pt2").state_dict, "state.pth")',
        "old.pth": 'torch.save(torch.load("old.pth", weights_only=False).state_dict(), "state.pth")',
        "inside.pth": "torchvision.models.resnet.ResNet",
    }
    for name, line in lines.items():
        with pytest.raises(ModelError) as refused:
            load_network("resnet18", weights=tmp_path / name, device=CPU)
        assert line in str(refused.value)
