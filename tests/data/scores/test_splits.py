import collections

from slapkit.data.scores import splits
from slapkit.data.scores.works import Work


def works(counts: dict[str, int]) -> list[Work]:
    return [Work(f"{s}/{i:04d}", s, s, "", f"{s}/{i}", "") for s, n in counts.items() for i in range(n)]


COUNTS = {"mass": 1300, "reel": 700, "classical": 50, "ragtime": 1}


def test_choice_is_balanced_seeded_and_of_the_size_asked_for():
    chosen = splits.choose_works(works(COUNTS), 400, seed=0)
    assert len(chosen) == 400 == len({work.id for work in chosen})
    styles = collections.Counter(work.kind for work in chosen)
    assert styles["ragtime"] == 1 and styles["classical"] >= 40 and styles["mass"] < 250
    assert chosen == splits.choose_works(list(reversed(works(COUNTS))), 400, seed=0)
    assert chosen != splits.choose_works(works(COUNTS), 400, seed=1)
    assert len(splits.choose_works(works(COUNTS), 10_000, seed=0)) == 2051


def test_groups_stay_whole_and_shares_are_kept_in_every_style():
    names = [work.id for work in works(COUNTS)]
    styles = {name: name.split("/")[0] for name in names}
    groups = {name: f"{styles[name]}/{int(name[-4:]) // 3}" for name in names}
    dealt = splits.deal_splits(groups, styles, seed=0)
    assert set(dealt) == set(names)
    by_group = collections.defaultdict(set)
    for name in names:
        by_group[groups[name]].add(dealt[name])
    assert all(len(found) == 1 for found in by_group.values())
    for style in ("mass", "reel", "classical"):
        shares = collections.Counter(dealt[name] for name in names if styles[name] == style)
        assert abs(shares["test"] / COUNTS[style] - 0.16) < 0.06
        assert abs(shares["train"] / COUNTS[style] - 0.76) < 0.09
    assert dealt == splits.deal_splits(dict(reversed(groups.items())), styles, seed=0)


def test_clips_take_works_of_their_own_split_in_turns():
    dealt = {f"w{i}": split for i, split in enumerate(["train"] * 76 + ["validation"] * 8 + ["test"] * 16)}
    clips = splits.deal_clips(dealt, 2500, seed=0)
    count = collections.Counter(split for split, _, _ in clips)
    assert count == {"train": 1900, "validation": 200, "test": 400}
    assert all(dealt[name] == split for split, names, _ in clips for name in names)
    uses = collections.Counter(names[0] for split, names, _ in clips if split == "test")
    assert set(uses.values()) == {25}
    assert collections.Counter(split for split, _, shifted in clips if shifted) == {"test": 200}
