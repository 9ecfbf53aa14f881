"""The memory's mathematics: distances to the nearest prototype, in the plane of stride 8."""

from __future__ import annotations

import numpy as np
import torch
from small_teacher import SMALL

from edge_inspect.models.memory import Bank, Memory, Usual, local_features
from edge_inspect.models.teacher import Teacher


def test_distances_are_cosines_to_the_nearest_prototype_in_units_of_the_spread() -> None:
    rng = np.random.default_rng(0)
    bank = Bank(5, 7)
    prototypes = rng.normal(size=(7, 5))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    mean, scale = rng.normal(size=5), rng.uniform(0.5, 2, 5)
    for name, value in (("prototypes", prototypes), ("mean", mean), ("scale", scale), ("spread", np.array(0.25))):
        getattr(bank, name).copy_(torch.from_numpy(value))
    features = rng.normal(size=(2, 5, 3, 4))
    given = bank(torch.from_numpy(features).float())
    assert given.shape == (2, 1, 3, 4)
    for n in range(2):
        for y in range(3):
            for x in range(4):
                vector = (features[n, :, y, x] - mean) * scale
                cosines = prototypes @ vector / np.linalg.norm(vector)
                np.testing.assert_allclose(float(given[n, 0, y, x]), (1 - cosines.max()) / 0.25, atol=1e-5)


def test_a_prototype_is_at_distance_zero_and_an_empty_bank_at_one() -> None:
    features = torch.randn(1, 6, 2, 2, generator=torch.Generator().manual_seed(0))
    bank = Bank(6, 4)
    assert torch.allclose(bank(features), torch.ones(1, 1, 2, 2))
    bank.prototypes.copy_(bank.directions(features)[0].flatten(1).T)
    assert torch.allclose(bank(features), torch.zeros(1, 1, 2, 2), atol=1e-6)


def test_a_feature_of_zeros_is_a_number() -> None:
    bank = Bank(3, 2)
    bank.prototypes.copy_(torch.eye(2, 3))
    assert torch.isfinite(bank(torch.zeros(1, 3, 2, 2))).all()


def test_local_features_average_over_neighbours_and_borders_alike() -> None:
    fine = torch.zeros(1, 1, 4, 4)
    fine[0, 0, 0, 0] = 9.0
    constant = torch.full((1, 2, 2, 2), 3.0)
    given = local_features([torch.zeros(1, 1, 8, 8), fine, constant])
    assert given.shape == (1, 3, 4, 4)
    assert float(given[0, 0, 0, 0]) == 9 / 4  # four positions of the window lie inside
    assert float(given[0, 0, 1, 1]) == 1.0
    assert torch.allclose(given[0, 1:], torch.full((2, 4, 4), 3.0))


def test_the_map_is_the_sum_of_both_banks_at_stride_8() -> None:
    model = Memory(Teacher(SMALL), 3).eval()
    banks = (model.banks.plain, model.banks.standardised)
    for bank in banks:
        bank.prototypes.copy_(torch.nn.functional.normalize(torch.randn_like(bank.prototypes)))
    image = torch.randn(2, 3, 64, 96)
    given = model(image)
    assert given.shape == (2, 1, 8, 12)
    features = local_features(model.teacher(image))
    assert torch.allclose(given, sum(bank(features) for bank in banks))
    assert model.anomaly_map(image).shape == (2, 1, 64, 96)


def test_what_is_usual_changes_nothing_before_it_is_set_and_is_taken_off_afterwards() -> None:
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = Memory(Teacher(SMALL), 3, grid=[8, 12]).eval()
    plain = Memory(model.teacher, 3).eval()
    plain.banks.load_state_dict(model.banks.state_dict())
    with torch.inference_mode():
        assert torch.equal(model(image), plain(image))
    assert isinstance(model.usual, Usual)
    model.usual.mean.copy_(torch.arange(96.0).view(1, 1, 8, 12))
    model.usual.scale.fill_(0.5)
    with torch.inference_mode():
        assert torch.allclose(model(image), (plain(image) - model.usual.mean) / 2)
