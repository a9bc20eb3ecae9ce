"""Checkpoints that Lightning's own Trainer writes: read, and the answers are the trained network's."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.numeric.by_hand import created, loaded
from tests.numeric.checkpoints import check
from tests.numeric.networks import random_module

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
    from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

NAMES = ["cat", "dog", "rabbit"]


class Classifier(lightning.LightningModule):
    """As people write it: a network, a loss with class weights, metrics, hyper-parameters."""

    def __init__(self, model: nn.Module, class_names: list[str], root: Path) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model"])
        self.model = model
        self.criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
        self.train_acc = MulticlassAccuracy(len(class_names))
        self.confusion = MulticlassConfusionMatrix(len(class_names))

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """One step, with what people note of it."""
        logits = self.model(batch[0])
        self.train_acc(logits, batch[1])
        self.confusion(logits, batch[1])
        self.log("train_acc", self.train_acc)
        return self.criterion(logits, batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """With a state of its own in the file."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def trained(model: nn.Module, folder: Path, *callbacks: lightning.Callback) -> tuple[Path, Classifier]:
    """Two steps of training; the checkpoint, and what was trained."""
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0]))
    module = Classifier(model, NAMES, folder)
    kept = ModelCheckpoint(dirpath=folder, filename="{epoch}-{step}", save_last=True)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[kept, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(data, batch_size=2))
    return folder / "last.ckpt", module


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_a_trainers_checkpoint_is_the_trained_network(tmp_path: Path) -> None:
    """Prefix, optimiser, metrics and callbacks around it; the names of the classes among its hyper-parameters."""
    model = random_module("resnet18", 3)
    model.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 3))
    path, module = trained(model, tmp_path)
    net = check(path, module.model.eval())
    assert net.labels == tuple(NAMES)
    assert net.labels_from == "checkpoint, hyper_parameters.class_names"
    assert "cam" in net.methods


@pytest.mark.slow
def test_averaged_weights_of_a_trainer(tmp_path: Path) -> None:
    """Lightning stores the averaged ones in the place of the raw: what it would validate with is what is explained."""
    model = random_module("resnet18", 3)
    averaging = WeightAveraging(avg_fn=lambda averaged, current, _: 0.5 * averaged + 0.5 * current)
    path, _ = trained(model, tmp_path, averaging)
    expected = Classifier.load_from_checkpoint(path, model=random_module("resnet18", 3), weights_only=False)
    check(path, expected.model.eval())


def test_timms_network_in_lightning(tmp_path: Path) -> None:
    """The trunk of one library, the file of another."""
    model = created("test_resnet", num_classes=3)
    path, module = trained(model, tmp_path)
    (tmp_path / "plain").mkdir()
    plain = loaded(module.model.eval(), "test_resnet", tmp_path / "plain")
    from worker.core.model.network import load_network

    net = load_network("timm:test_resnet", weights=path, device=torch.device("cpu"))
    x = torch.randn(1, 3, 160, 160)
    torch.testing.assert_close(net.forward(x), plain.forward(x))
    assert net.labels == tuple(NAMES)
