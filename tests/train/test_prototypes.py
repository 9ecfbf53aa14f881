"""The sample of good features, and the prototypes chosen from it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from edge_inspect.train.prototypes import Sample, k_centre


def unit_vectors(count: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_each_prototype_is_the_farthest_from_those_before_it() -> None:
    vectors = unit_vectors(60)
    chosen = k_centre(vectors, torch.ones(1, 60, dtype=torch.bool), 12, "test")[0]
    matrix = vectors.double().numpy()
    kept = [0]
    for _ in range(11):
        nearest = (1 - matrix @ matrix[kept].T).min(axis=1)
        kept.append(int(nearest.argmax()))
    np.testing.assert_array_equal(chosen.numpy(), vectors[kept].numpy())


def test_subsets_are_gone_through_together_as_each_by_itself() -> None:
    vectors = unit_vectors(80)
    place = torch.arange(80)
    members = torch.stack([place < 80, place < 30, place % 3 == 1, place >= 78])
    together = k_centre(vectors, members, 20, "test")
    for subset, chosen in zip(members, together, strict=True):
        alone = vectors[subset]
        one = k_centre(alone, torch.ones(1, len(alone), dtype=torch.bool), 20, "test")[0]
        assert {tuple(row) for row in chosen.tolist()} == {tuple(row) for row in one.tolist()}
    assert torch.equal(k_centre(vectors, members, 7, "test"), together[:, :7])


def test_fewer_vectors_than_prototypes_are_filled_up_with_the_first() -> None:
    vectors = unit_vectors(3)
    chosen = k_centre(vectors, torch.ones(1, 3, dtype=torch.bool), 5, "test")[0]
    assert {tuple(row.tolist()) for row in chosen} == {tuple(row.tolist()) for row in vectors}
    assert len(chosen) == 5


def test_a_sample_has_as_many_vectors_of_each_group_and_no_more_than_asked() -> None:
    sample = Sample(10, 50, seed=3)
    for group in range(10):
        sample.add(torch.full((30, 2), float(group)))
    kept = sample.vectors()
    assert sample.groups().tolist() == kept[:, 0].tolist()
    assert len(kept) == 50
    assert [int((kept[:, 0] == group).sum()) for group in range(10)] == [5] * 10


def test_a_sample_of_more_groups_than_vectors_stays_bounded() -> None:
    sample = Sample(5000, 100, seed=0)
    for group in range(5000):
        sample.add(torch.full((4, 2), float(group)))
    kept = sample.vectors()
    assert 60 < len(kept) < 140 and sample.groups().tolist() == kept[:, 0].tolist()
    assert len(kept[:, 0].unique()) == len(kept)
    assert float(kept[:, 0].mean()) > 1500  # of all groups, not of the first ones


def test_the_same_seed_gives_the_same_sample() -> None:
    def drawn(seed: int) -> torch.Tensor:
        sample = Sample(2, 10, seed)
        for group in range(2):
            sample.add(unit_vectors(40, group))
        return sample.vectors()

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
