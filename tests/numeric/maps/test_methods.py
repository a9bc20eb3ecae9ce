"""Every method's closed form against its paper's formula, computed by autograd in float64."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from shared.contract import METHODS as CONTRACT_METHODS
from tests.numeric.evidences import CLASSES, HEADS, SIDE, TARGETS, C, K, N, seen
from tests.numeric.networks import evidence, inputs, network
from worker.core.maps.evidence import Evidence, Target, target_scores
from worker.core.maps.methods import METHODS
from worker.core.maps.methods.eigencam import first_component
from worker.core.maps.methods.scorecam import stretched
from worker.core.model.head import Head, LinearHead


def autograd(e: Evidence) -> Tensor:
    """∂ target / ∂ A by backpropagation through the head: (N, k, K, h, w)."""
    leaf = e.activations.clone().requires_grad_()
    scores = target_scores(e.head.logits(leaf), e.classes, e.target)
    columns = [torch.autograd.grad(scores[:, j].sum(), leaf, retain_graph=True)[0] for j in range(scores.shape[1])]
    return torch.stack(columns, dim=1)


def paper_gradcam(g: Tensor, a: Tensor) -> Tensor:
    return F.relu((g.mean((3, 4), keepdim=True) * a[:, None]).sum(2))


def paper_hirescam(g: Tensor, a: Tensor) -> Tensor:
    return F.relu((g * a[:, None]).sum(2))


def paper_xgradcam(g: Tensor, a: Tensor) -> Tensor:
    a = a[:, None]
    return F.relu(((g * a / a.sum((3, 4), keepdim=True)).sum((3, 4), keepdim=True) * a).sum(2))


def paper_layercam(g: Tensor, a: Tensor) -> Tensor:
    return F.relu((F.relu(g) * a[:, None]).sum(2))


def paper_gradcam_plus_plus(g: Tensor, a: Tensor) -> Tensor:
    a = a[:, None]
    denominator = 2 * g**2 + a.sum((3, 4), keepdim=True) * g**3
    alpha = torch.where(g == 0, 0, g**2 / torch.where(g == 0, 1, denominator))
    return F.relu(((alpha * F.relu(g)).sum((3, 4), keepdim=True) * a).sum(2))


PAPERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradcam": paper_gradcam,
    "hirescam": paper_hirescam,
    "xgradcam": paper_xgradcam,
    "layercam": paper_layercam,
    "gradcam++": paper_gradcam_plus_plus,
}


def test_the_methods_are_those_of_the_contract():
    """In its order, which the documentation follows."""
    assert tuple(METHODS) == CONTRACT_METHODS


@HEADS
@TARGETS
@pytest.mark.parametrize("method", PAPERS)
def test_a_closed_form_is_the_papers_formula_by_autograd(method: str, kind: type[Head], target: Target):
    """On both heads, for both targets, many seeds, to rounding in float64."""
    for seed in range(10):
        e = seen(kind, target, seed)
        expected = PAPERS[method](autograd(e), e.activations)
        torch.testing.assert_close(METHODS[method](e), expected, rtol=1e-9, atol=1e-12)


@HEADS
@TARGETS
def test_the_gradient_of_the_closed_form_is_autograds(kind: type[Head], target: Target):
    """Constant over the map on a linear head, gated by the ReLU on SqueezeNet's."""
    e = seen(kind, target)
    torch.testing.assert_close(e.gradient().expand(N, 2, K, SIDE, SIDE), autograd(e), rtol=1e-9, atol=1e-14)


@HEADS
def test_cam_is_signed_and_its_mean_is_the_logit(kind: type[Head]):
    """Mean plus what stands outside the map; on a linear head some values are negative and stay so."""
    e = seen(kind, "logit")
    maps = METHODS["cam"](e)
    means = maps.mean((2, 3)) + e.head.outside[e.classes]
    torch.testing.assert_close(means, e.scores)
    assert (maps.min() < 0) == (kind is LinearHead)


@HEADS
def test_cam_of_the_softmax_is_its_first_order_share(kind: type[Head]):
    """p_c (M_c - Σ p_j M_j): its mean over the map is d p_c when all maps grow by their own size."""
    e = seen(kind, "softmax")
    logits, means = e.logits, e.logits - e.head.outside
    _, change = torch.autograd.functional.jvp(lambda y: y.softmax(1), logits, means)
    torch.testing.assert_close(METHODS["cam"](e).mean((2, 3)), change.gather(1, e.classes))


@HEADS
@TARGETS
def test_ablationcam_weighs_a_channel_by_what_the_score_loses_without_it(kind: type[Head], target: Target):
    """Each channel zeroed in turn, and the head run again."""
    e = seen(kind, target)
    weights = torch.empty(N, 2, K, dtype=torch.float64)
    for channel in range(K):
        without = e.activations.clone()
        without[:, channel] = 0
        rest = target_scores(e.head.logits(without), e.classes, target)
        weights[:, :, channel] = (e.scores - rest) / e.scores
    expected = F.relu(torch.einsum("nkc,nchw->nkhw", weights, e.activations))
    torch.testing.assert_close(METHODS["ablationcam"](e), expected, rtol=1e-9, atol=1e-12)


def test_ablationcam_of_a_score_of_zero_is_empty():
    """The paper divides by the score; no evidence is to be had from 0/0."""
    e = seen(LinearHead, "logit")
    nothing = Evidence(e.head, e.activations * 0, e.logits * 0, e.classes, "logit", e.inputs, e.classify, 1)
    assert METHODS["ablationcam"](nothing).abs().max() == 0


def test_eigencam_is_the_first_principal_component():
    """Against NumPy's SVD of the centred (h·w, K) matrix; the sign is the only freedom."""
    e = seen(LinearHead, "logit")
    maps = METHODS["eigencam"](e).numpy()
    for image in range(N):
        rows = e.activations[image].numpy().reshape(K, -1).T
        rows = rows - rows.mean(axis=0)
        _, _, directions = np.linalg.svd(rows)
        expected = rows @ directions[0]
        for found in maps[image]:
            sign = np.sign(found.ravel() @ expected)
            np.testing.assert_allclose(sign * found.ravel(), expected, atol=1e-5 * np.abs(expected).max())


def test_eigencam_agrees_with_the_class_whatever_sign_the_solver_found():
    """It correlates positively with each class's CAM, so classes that disagree get opposite maps."""
    for seed in range(10):
        e = seen(LinearHead, "logit", seed)
        eigen, cams = METHODS["eigencam"](e).flatten(2), METHODS["cam"](e).float().flatten(2)
        products = ((eigen - eigen.mean(2, keepdim=True)) * (cams - cams.mean(2, keepdim=True))).sum(2)
        assert (products > 0).all()


@pytest.mark.parametrize(("channels", "side"), [(6, 2), (6, 3), (4, 4), (5, 12)])
def test_eigencam_is_the_same_from_either_gram_matrix(channels: int, side: int):
    """Of positions or of channels: whichever is smaller is taken, and neither side's answer depends on it."""
    rows = torch.rand(3, side * side, channels, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
    rows = rows - rows.mean(dim=1, keepdim=True)
    component = first_component(rows)
    for found, each in zip(component, rows, strict=True):
        _, _, directions = torch.linalg.svd(each)
        expected = each @ directions[0]
        torch.testing.assert_close(found * (found @ expected).sign(), expected, rtol=1e-9, atol=1e-9)


def test_eigencam_of_a_large_map_costs_what_its_channels_cost(monkeypatch: pytest.MonkeyPatch):
    """A larger input multiplies the positions, and eigenvectors grow with the cube."""
    sides = []
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda gram: sides.append(gram.shape[-1]) or eigh(gram))
    for positions in (4, 9, 900):
        first_component(torch.rand(2, positions, 8, dtype=torch.float64))
    assert sides == [4, 8, 8]


def test_eigencam_of_a_class_without_a_map_follows_the_mean_activation():
    """SqueezeNet's classes can have a map of zeros, and a flat one says as little; the solver must not decide."""
    for seed in range(10):
        e = seen(LinearHead, "logit", seed)
        rows = e.activations.mean(1).flatten(1)
        for flat in (0.0, 3.0):
            silent = torch.zeros_like(e.head.weight)
            maps = SilentHead(silent, e.head.bias, flat)
            eigen = METHODS["eigencam"](replace(e, head=maps)).flatten(2)
            products = (eigen * (rows - rows.mean(1, keepdim=True)).unsqueeze(1)).sum(2)
            assert (products > 0).all()


class SilentHead(LinearHead):
    """Its maps are the same everywhere, but for rounding."""

    def __init__(self, weight: Tensor, bias: Tensor, flat: float) -> None:
        super().__init__(weight, bias)
        object.__setattr__(self, "flat", flat)

    def maps(self, activations: Tensor, classes: Tensor) -> Tensor:
        noise = torch.rand(*classes.shape, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return self.flat * (1 + 1e-15 * noise)  # type: ignore[attr-defined, no-any-return]


@TARGETS
def test_scorecam_equals_its_definition_in_a_plain_loop(target: Target):
    """One masked picture at a time, each class for itself; batches of 4 must not matter.

    The classifier here looks at the corners of the picture, strongly, so that every mask has its own score.
    """
    e = seen(LinearHead, "logit")
    x = inputs(N, 16)
    corners = torch.stack([x.new_zeros(3, 16, 16) for _ in range(C)])
    for index in range(C):
        corners[index, index % 3, 5 * (index % 4) : 5 * (index % 4) + 5, index : index + 6] = 1.0

    def classify(pictures: Tensor) -> Tensor:
        assert len(pictures) <= 4
        return torch.einsum("ndij,cdij->nc", pictures, corners)

    few = Evidence(e.head, e.activations, classify(x).double(), CLASSES, target, x, classify, 4)
    found = METHODS["scorecam"](few)
    for image in range(N):
        for place, index in enumerate(CLASSES[image].tolist()):
            scores = []
            for channel in e.activations[image].float():
                mask = F.interpolate(channel[None, None], (16, 16), mode="bilinear", align_corners=False)
                mask = (mask - mask.min()) / (mask.max() - mask.min())
                logits = classify(x[image][None] * mask)
                scores.append((logits if target == "logit" else logits.softmax(1))[0, index])
            weights = torch.stack(scores).double().softmax(0)
            assert target == "softmax" or weights.max() > 3 * weights.min()
            expected = F.relu((weights[:, None, None] * e.activations[image]).sum(0))
            torch.testing.assert_close(found[image, place], expected, rtol=1e-5, atol=1e-7)


def test_a_flat_channel_masks_everything():
    """Its range is zero, and nothing is divided by it."""
    masks = stretched(torch.stack([torch.full((1, 4, 4), 3.0), torch.arange(16.0).view(1, 4, 4)]))
    assert masks[0].abs().max() == 0
    assert (float(masks[1].min()), float(masks[1].max())) == (0, 1)


@HEADS
@TARGETS
@pytest.mark.parametrize("method", [name for name in METHODS if name != "scorecam"])
def test_permuting_images_or_classes_permutes_the_maps(method: str, kind: type[Head], target: Target):
    """No image or class leaks into another."""
    e = seen(kind, target)
    maps = METHODS[method](e)
    order = torch.tensor([2, 0, 1])
    turned = Evidence(
        e.head, e.activations[order], e.logits[order], e.classes[order].flip(1), target, e.inputs, e.classify, 1
    )
    torch.testing.assert_close(METHODS[method](turned), maps[order].flip(1), rtol=1e-6, atol=1e-9)


def test_which_methods_coincide_on_a_linear_head():
    """Grad-CAM = HiResCAM = XGrad-CAM = relu(CAM)/HW; LayerCAM, Grad-CAM++ and Ablation-CAM differ from them."""
    e = evidence(network(), inputs(2, 96), [283, 332, 7])
    maps = {name: METHODS[name](e) for name in METHODS if name != "scorecam"}
    expected = maps["cam"].relu() / 9
    scale = float(expected.max())
    for name in ("gradcam", "hirescam", "xgradcam"):
        torch.testing.assert_close(maps[name], expected, rtol=0, atol=2e-6 * scale)
    for name in ("layercam", "gradcam++", "eigencam"):
        difference = maps[name] / maps[name].max() - expected / expected.max()
        assert difference.abs().max() > 0.02, name
