"""Which good pictures belong together: near duplicates, names, tables; blocks and runs that cut no group."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.train import groups as groups_module
from edge_inspect.train.groups import Groups, find_groups, near_duplicates
from edge_inspect.train.textures import render_textures

NUMBERS = st.lists(st.integers(0, 8), max_size=40).map(tuple)
GREY = np.full((4, 64, 64, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def scenes() -> NDArray[np.uint8]:
    """Eight pictures of other things each, (8, 64, 64, 3)."""
    return np.stack(list(render_textures(8, (64, 64), seed=3)))


def exposed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip(picture * 0.8 + 12, 0, 255).astype(np.uint8)


def compressed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1), np.uint8)


def noisy(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("again", [exposed, compressed, noisy])
def test_the_same_scene_again_is_a_near_duplicate(again: object, scenes: NDArray[np.uint8]) -> None:
    assert callable(again)
    both = np.concatenate([scenes, again(scenes[2])[None]])
    assert near_duplicates(both, len(both)).of == (0, 1, 2, 3, 4, 5, 6, 7, 2)
    assert near_duplicates(scenes, len(scenes)).of == tuple(range(8))


def test_pictures_that_hardly_differ_are_near_duplicates_whatever_the_others(scenes: NDArray[np.uint8]) -> None:
    still = np.stack([noisy(scenes[0])] * 3)
    still[1, :5] = cv2.add(still[1, :5], 1)
    assert near_duplicates(still, 3).of == (0, 0, 0)


def test_more_pictures_than_are_compared_at_once_find_their_like(
    scenes: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups_module, "AT_ONCE", 3)
    again = np.concatenate([scenes, [noisy(scene) for scene in scenes], [exposed(scene) for scene in scenes[:2]]])
    assert near_duplicates(again, len(again)).of == (*range(8), *range(8), 0, 1)


def test_parts_that_lie_alike_are_no_near_duplicates(scenes: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(1)
    spots = [cv2.GaussianBlur(rng.normal(0, 80, (64, 64, 3)), None, 3) for _ in range(10)]
    parts = np.stack([np.clip(scenes[0] + spot, 0, 255).astype(np.uint8) for spot in spots])
    assert near_duplicates(parts, len(parts)).of == tuple(range(10))


def test_a_picture_of_tiles_is_compared_as_a_whole(scenes: NDArray[np.uint8]) -> None:
    tiles = np.concatenate([scenes[:4], scenes[:3], scenes[7:]])
    assert near_duplicates(np.concatenate([tiles[:6], tiles[:2]]), 4).of == (0, 1, 0, 0)
    assert near_duplicates(tiles, 2).of == (0, 1)


@given(of=NUMBERS, count=st.integers(1, 8))
def test_blocks_are_whole_and_even(of: tuple[int, ...], count: int) -> None:
    blocks = Groups(of, (True,) * len(of)).blocks(count)
    assert sorted(place for block in blocks for place in block) == list(range(len(of)))
    if len(of) >= count:
        assert len(blocks) == count and all(blocks)
    if len(set(of)) >= count:
        places = [{of[place] for place in block} for block in blocks]
        assert sum(map(len, places)) == len(set(of))
    if len(set(of)) == len(of):
        assert [place for block in blocks for place in block] == list(range(len(of)))
        assert max(map(len, blocks), default=0) - min(map(len, blocks), default=0) <= 1 or len(of) < count


@pytest.mark.parametrize(
    ("of", "held"),
    [((0,) * 20 + (1,) * 20, 20), ((0,) * 5 + (1,) * 35, 5), ((0,) * 10 + (1,) * 30, 10), ((0,) * 40, 4)],
)
def test_large_groups_are_held_out_whole_up_to_half_of_all(of: tuple[int, ...], held: int) -> None:
    groups = Groups(of, (True,) * len(of))
    assert len(groups.hold_out(0.1, 0)[1]) == held


@given(of=NUMBERS, share=st.sampled_from([0, 0.1, 0.2, 0.5, 0.9]), seed=st.integers(0, 5))
def test_what_is_held_out_is_a_share_and_no_group_is_on_both_sides(
    of: tuple[int, ...], share: float, seed: int
) -> None:
    groups = Groups(of, (True,) * len(of))
    learn, held = groups.hold_out(share, seed)
    assert sorted(learn + held) == list(range(len(of))) and learn == sorted(learn) and held == sorted(held)
    assert (learn, held) == groups.hold_out(share, seed)
    assert learn or not of
    assert bool(held) == (share > 0 and len(of) > 2 or share >= 0.5 and len(of) == 2)
    if len(set(of)) == len(of) > 2 and share:
        assert len(held) == min(max(1, round(len(of) * share)), len(of) - 1)
    sizes = [of.count(number) for number in set(of)]
    if held and len(sizes) > 1 and min(sizes) <= 2 * max(1, round(len(of) * share)):
        assert not {of[place] for place in held} & {of[place] for place in learn}


def test_a_smaller_share_is_a_part_of_a_larger_one() -> None:
    groups = Groups(tuple(range(60)), (True,) * 60)
    for seed in range(5):
        small, large = (set(groups.hold_out(share, seed)[1]) for share in (0.1, 0.2))
        assert len(small) == 6 and len(large) == 12 and len(small - large) <= 1
    assert len({tuple(groups.hold_out(0.1, seed)[1]) for seed in range(5)}) > 2


def test_names_and_tables_group_pictures(tmp_path: Path) -> None:
    pictures = np.stack([*render_textures(4, (64, 64), seed=9)])
    paths = [Path(f"{day}_{number}.png") for day in ("mon", "tue") for number in (1, 2)]
    assert find_groups(paths, pictures).of == (0, 1, 2, 3)
    assert find_groups(paths, pictures, "name:^([a-z]+)_").of == (0, 0, 2, 2)
    assert find_groups(paths, pictures, r"name:_\d").of == (0, 1, 0, 1)
    table = tmp_path / "parts.csv"
    table.write_text("file,line,batch\n" + "".join(f"{path},1,{i // 3}\n" for i, path in enumerate(paths)))
    assert find_groups(paths, pictures, f"table:{table}:batch").of == (0, 0, 0, 3)
    same = pictures.copy()
    same[3] = exposed(pictures[0])
    assert find_groups(paths, same, "name:^([a-z]+)_").of == (0, 0, 0, 0)
    assert find_groups(paths, same).distinct == (True, True, True, False)
    assert "1 of 4 good images are nearly the same as an earlier one" in str(find_groups(paths, same))
    assert str(find_groups(paths, pictures)) == ""


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("batch", "give name:REGEX or table:FILE.csv:COLUMN"),
        ("name:", "give name:REGEX"),
        ("name:(", "is not a regular expression"),
        ("name:^x", "does not match the image a.png"),
        ("table:parts.csv", "give table:FILE.csv:COLUMN"),
        ("table:absent.csv:batch", r"absent.csv cannot be read"),
        ("table:parts.csv:day", r"has no column 'day' .* its columns are file, batch"),
        ("table:parts.csv:file", "has no column 'file'"),
        ("table:parts.csv:batch", "has no row of the image d.png"),
        ("table:latin.csv:batch", "cannot be read"),
    ],
)
def test_a_rule_that_tells_nothing_is_refused(
    rule: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("parts.csv").write_text("file,batch\na.png,1\nb.png,1\nc.png,2\n")
    Path("latin.csv").write_bytes(b"file,batch\nstra\xdfe,1\n")
    with pytest.raises(UsageError, match=reason):
        find_groups([Path(f"{name}.png") for name in "abcd"], GREY, rule)
