"""Classes, ranks, ties."""

import torch

from worker.core.maps.explain import ranks, top_k


def test_the_best_classes_come_first():
    """By logit, each image for itself."""
    logits = torch.tensor([[0.1, 3.0, -1.0, 2.0], [5.0, 1.0, 2.0, 4.0]])
    assert top_k(logits, 3).tolist() == [[1, 3, 0], [0, 3, 2]]


def test_equal_logits_are_ordered_by_index():
    """On any device and in any batch, unlike torch.topk; a thousand equal ones are the hardest case."""
    assert top_k(torch.zeros(2, 1000), 5).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert top_k(torch.tensor([[1.0, 2.0, 2.0, 0.0, 2.0]]), 4).tolist() == [[1, 2, 4, 0]]


def test_an_asked_for_class_gets_its_true_rank():
    """Whatever the order asked in, with ties as in `top_k`."""
    logits = torch.tensor([[1.0, 2.0, 2.0, 0.0, 2.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    classes = torch.tensor([[3, 4, 1, 2], [3, 4, 1, 2]])
    assert ranks(logits, classes).tolist() == [[5, 3, 1, 2], [4, 5, 2, 3]]


def test_ranks_undo_top_k():
    """The rank of the k-th best class is k, with many ties."""
    logits = torch.randint(0, 20, (8, 200), generator=torch.Generator().manual_seed(0)).float()
    assert ranks(logits, top_k(logits, 200)).tolist() == [list(range(1, 201))] * 8
