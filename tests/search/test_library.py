"""A library is searched: what comes back, in which order, and what is said when nothing can."""

import io

import numpy as np
import pytest
import soundfile

from slapkit.errors import AudioError, ConfigError, LibraryError
from slapkit.models.weights import save_model
from slapkit.search import Library, by_model
from slapkit.search.precision import precision_by_label
from slapkit.search.query import MINUS
from tests.search.library_parts import RATE, make_model


@pytest.fixture(scope="module")
def library(table, model, tmp_path_factory):
    return Library.build(table, model, out=tmp_path_factory.mktemp("out"), progress=False)


@pytest.mark.parametrize("pooling", ["best", "mean"])
def test_search_is_what_a_slow_look_finds(library, pooling):
    vector, store, truth = library.embed_text("slow flute").astype(np.float64), library._store, {}
    for id, entry in store.entries.items():
        windows = store.vectors_of(entry.first, entry.windows).astype(np.float64)
        mean = sum(windows) / np.linalg.norm(sum(windows))
        truth[id] = max(float(window @ vector) for window in (windows if pooling == "best" else [mean]))
    found = library.search("slow flute", k=10, pooling=pooling)
    scores, values = found.attrs["scores"], np.array(list(truth.values()))
    assert found["rank"].tolist() == list(range(1, 11)) and found.attrs["search_s"] >= 0
    np.testing.assert_allclose(scores, np.sort(values)[:-11:-1], atol=2e-6)
    np.testing.assert_allclose([truth[id] for id in found["id"]], scores, atol=2e-6)
    np.testing.assert_allclose(found["score_percentile"], [(values >= score - 2e-6).mean() for score in scores])
    assert len(library.search("slow flute", k=99)) == len(library) == 24


def test_columns_and_facts(library):
    found = library.search("slow flute", k=3)
    first = ["rank", "id", "title", "score_percentile", "window_start_s", "window_s", "duration_s", "captions", "file"]
    assert found.columns[:9].tolist() == first
    number = int(found["file"][0].split("/")[1][:2])
    expected = {"title": f"Title {number}", "captions": [f"caption {number}", f"another {number}"]}
    expected |= {"window_s": 1.0, "tempo_bpm": 60 + number, "rank (table)": number}
    assert expected.items() <= found.loc[0].to_dict().items() and abs(found["duration_s"][0] - 2.5) < 0.01
    assert set(library.tracks) >= {"id", "title", "duration_s", "captions", "file", "style"}


def test_the_window_shown_is_the_best_one_and_the_mean_is_the_whole_track(library, model):
    vector = library.embed_text("slow flute")
    starts = np.array([0.0, 1.0, 1.5])  # windows of 1 s over 2.5 s, the last moved back
    for row in library.search("slow flute", k=4).itertuples():
        wave = soundfile.read(library.path(row.id), dtype="float32")[0]
        waves = [wave[round(s * RATE) : round((s + 1) * RATE)] for s in starts]
        scores = model.embed_audio(waves, sample_rate=RATE) @ vector
        chosen = np.abs(starts - row.window_start_s).argmin()
        assert abs(starts[chosen] - row.window_start_s) < 0.03
        assert scores[chosen] > scores.max() - 2e-2  # a window's edge is not the same within its track
        whole = model.embed_audio([wave], sample_rate=RATE)[0]
        np.testing.assert_allclose(library.like(row.id).vector, whole, atol=2e-2)  # features are float16


def test_where_and_facets(library):
    tracks, all_percentiles = library.tracks, library.search("flute", k=99).set_index("id")["score_percentile"]
    found = library.search("flute", k=99, where={"style": ["jig", "air"], "instruments": "flute"})
    fits = tracks["style"].isin(["jig", "air"]) & tracks["instruments"].map(lambda x: "flute" in x)
    assert set(found["id"]) == set(tracks["id"][fits])
    np.testing.assert_array_equal(found["score_percentile"], all_percentiles[found["id"]])
    drums = library.search("flute", k=99, where={"drums": True})
    same = library.search("flute", k=99, where={"drums": "TRUE", "style": None, "split": []})
    assert same["id"].tolist() == drums["id"].tolist() and len(drums) == tracks["drums"].sum()
    assert library.search("flute", where={"tempo_bpm": "60"})["tempo_bpm"].tolist() == [60]
    assert library.search("flute", where={"style": "polka"}).empty
    facets = library.facets(max_values=10)
    assert facets["style"] == [("air", 8), ("jig", 8), ("reel", 8)] and facets["instruments"][0] == ("flute", 12)
    assert dict(facets["instruments"]) == tracks["instruments"].explode().value_counts().to_dict()
    assert facets["drums"] == [(False, 19), (True, 5)]
    assert facets.keys() == {"split", "style", "drums", "instruments"} and "tempo_bpm" in library.facets()


def test_precision_takes_filters_as_a_search_does(library):
    wanted = precision_by_label(library, "style", k=2, where={"split": "test"})
    assert wanted["chance"].tolist() == [1 / 3] * 3
    for split in ("TEST", ["test", "validation"]):
        assert precision_by_label(library, "style", k=2, where={"split": split}).equals(wanted)
    for column, where in (("stile", None), ("style", {"spilt": "test"})):
        with pytest.raises(LibraryError, match="'stile'|'spilt'"):
            precision_by_label(library, column, where=where)


def test_arithmetic_lists_tracks_sounds_and_vectors(library, model):
    a, b, c = (library.embed_text(text) for text in ("slow flute", "strings", "drums"))
    id = library.tracks["id"][3]
    path = library.path(id)
    for query, options, vector in (
        ("slow flute + strings - drums", {}, a + b - MINUS * c),
        ("slow flute", {"plus": ["strings"], "minus": ["drums"]}, a + b - MINUS * c),
        ("", {"plus": ["slow flute"]}, a),
        (["slow flute", "strings"], {}, a + b),
        ("- drums", {"plus": "strings"}, b - MINUS * c),
        ("x - y", {"literal": True}, library.embed_text("x - y")),
        (path, {}, model.embed_audio([path])[0]),
    ):
        scores = library.search(query, k=99, **options).attrs["scores"]
        expected = library.search(vector / np.linalg.norm(vector), k=99).attrs["scores"]
        np.testing.assert_allclose(scores, expected, atol=2e-6)
    assert library.search(path, k=1, pooling="mean")["id"].tolist() == [id]
    like = library.search(library.like(id), k=99, pooling="mean")
    assert id not in set(like["id"]) and like["rank"].tolist() == list(range(1, 24))
    assert id not in set(library.search("flute", k=99, minus=[library.like(id)])["id"])


def test_bad_queries_are_refused(library, build, music, tmp_path):
    for query, options, words in (
        ("   ", {}, "empty"), ("+ -", {}, "empty"), (None, {}, "None"), ("- drums", {}, "subtract"), ([], {}, "list"),
        ("", {"plus": ["flute", -library.embed_text("flute")]}, "cancel"), ("flute", {"k": 0}, "k=0"),
        ("flute", {"pooling": "beste"}, "'best'"), (np.zeros(32), {}, "zero"), (np.full(32, np.nan), {}, "finite"),
        (np.ones(3, dtype=np.float32), {}, r"\[3\]"), ("flute", {"where": {"stile": "jig"}}, "'style'"),
        ("flute", {"where": "style=jig"}, "'style=jig'"),
    ):  # fmt: skip
        with pytest.raises(LibraryError, match=words):
            library.search(query, **options)
    with pytest.raises(LibraryError, match="nobody"):
        library.like("nobody")
    with pytest.raises(AudioError, match="absent.wav"):
        library.search(tmp_path / "absent.wav")
    empty = build(music({}))
    assert len(empty) == 0 and empty.tracks.empty and empty.facets() == {}
    with pytest.raises(LibraryError, match="music"):
        empty.search("flute")


def test_long_queries_are_cut(library):
    assert library.warn("slow flute + strings") is None and library.warn("") is None
    assert "102" in library.warn("flute + " + "flute " * 100) and "20,000" in library.warn("ab" * 10_000)
    assert len(library.search("ab" * 1_000_000)) == 10


def test_another_model_is_refused(library, model, table, build):
    known, other_model = model.fingerprint(), make_model(1)
    assert Library.open(library.out, model).search("flute")["id"].equals(library.search("flute")["id"])
    for call, error, words in (
        (lambda: Library.open(library.out, other_model), LibraryError, known),
        (lambda: Library.open(library.out).search("flute"), LibraryError, "where the model"),
        (lambda: Library.open(table), LibraryError, "no library"),
        (lambda: build(table, library.out, other_model), LibraryError, known),
        (lambda: build(table, library.out, embedding="z"), LibraryError, "q, not z"),
        (lambda: build(table, embedding="p"), ConfigError, "embedding='p'"),
        (lambda: build(table, "other", other_model).search(library.like("audio/00.ogg")), LibraryError, "audio/00"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_a_run_folder_is_a_model(music, build, tmp_path):
    run, moved, out = tmp_path / "run", tmp_path / "moved", tmp_path / "out"
    save_model(make_model(3, "clap").joint, run / "checkpoint", train={}, step=1)
    root = music({"a.wav": 1.0, "b.wav": 3.0})
    library = build(root, by=run)
    assert library.model_name == "CLAP" and library.name == "music"
    run.rename(moved)
    build(root, by=moved)
    assert Library.open(out).search("flute").equals(library.search("flute"))
    save_model(make_model(4, "clap").joint, moved / "checkpoint", train={}, step=1)
    with pytest.raises(LibraryError, match="moved"):
        Library.open(out).search("flute")


def test_files_are_reached_by_known_ids_only(library):
    for id in ("../x", "/etc/passwd", "audio/../audio/00.ogg", "..\\x", "", "\x00", None, 3):
        for call in (library.path, library.sound, library.log_mel, library.span):
            with pytest.raises(LibraryError, match="no track"):
                call(id)


def test_sounds_short_long_and_deleted(music, build, library):
    root = music({"short.wav": 2.0, "long.wav": 65.0, "gone.wav": 1.0})
    wave, rate = soundfile.read(root / "long.wav", dtype="float32")
    small = build(root)
    assert small.sound("short.wav") == ((root / "short.wav").read_bytes(), "audio/wav")
    assert small.span("short.wav", 1.0) == (0.0, 2.0)
    for start_s, start in ((None, 0), (40.0, 25.5), (64.0, 35)):
        assert small.span("long.wav", start_s) == pytest.approx((start, 30))
        data, mime = small.sound("long.wav", start_s)
        played, played_rate = soundfile.read(io.BytesIO(data))
        assert mime == "audio/ogg" and played_rate == rate and abs(len(played) / rate - 30) < 0.01
        part = wave[round(start * rate) :][: len(played)]
        assert np.corrcoef(part, played[: len(part)])[0, 1] > 0.98
    with pytest.raises(LibraryError, match="start_s=-1"):
        small.sound("long.wav", -1.0)
    held = small.like("gone.wav")
    (root / "gone.wav").unlink()
    assert "gone.wav" in set(small.search("flute")["id"])
    for call in (small.path, small.sound, small.log_mel):
        with pytest.raises(LibraryError, match="gone.wav"):
            call("gone.wav")
    assert small.update(progress=False)["removed"] == 1
    assert len(small.search(held)) == 2, "a track that is gone is still something to search by"
    assert len(library.search(held, k=99)) == 24, "and so is one of another folder by the same model"


def test_pictures_show_what_is_played(music, build):
    root, t = music({"short.wav": 0.5}), np.arange(70 * RATE) / RATE
    soundfile.write(root / "two.wav", 0.3 * np.sin(2 * np.pi * np.where(t < 35, 200, 8000) * t), RATE)
    library = build(root)
    pixels, *span = library.log_mel("two.wav", 34.5)
    assert pixels.shape == (64, 160) and pixels.dtype == np.uint8 and span == [20.0, 30.0]
    loudest = pixels.argmax(axis=0)
    assert (loudest[:75] < 15).all() and (loudest[85:] > 40).all() and pixels.max() == 255
    pixels, *span = library.log_mel("short.wav")
    assert len(pixels) == 64 and 1 < len(pixels.T) <= 160 and span == [0, 0.5]


def test_runs_of_one_objective_both_have_a_name(music, build, tmp_path):
    root = music({"a.wav": 1.0})
    one, two = build(root), build(root, out=tmp_path / "other")
    assert by_model([one]) == {one.model_name: one}
    found = by_model([one, two])
    assert list(found.values()) == [one, two] and len(found) == 2
