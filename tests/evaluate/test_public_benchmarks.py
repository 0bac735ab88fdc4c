"""Benchmarks in their published form and size are read whole; what is wrong with a copy is said by file:line."""

import benchmark_files as files
import pytest

from synvita.core.vocabulary import BENCHMARKS as TASKS
from synvita.evaluate.benchmarks.registry import BENCHMARKS, benchmark_of, load

MAKERS = {
    "videocon_llm": lambda d: files.videocon_llm(d / "videocon_llm_entailment.csv"),
    "videocon_human": lambda d: files.videocon_human(d / "videocon_human.csv", 285, 145),
    "videocon_human_hard": lambda d: files.videocon_human(d / "videocon_human.csv", 285, 145),
    "ssv2_temporal": lambda d: files.ssv2(d / "eval_ssv2_temporal.csv"),
    "ssv2_events": lambda d: files.ssv2(d / "eval_ssv2_events.csv", 49, 12),
    "atp_hard": files.atp_hard,
    "vinoground": lambda d: files.vinoground(d / "vinoground.csv"),
    "timeblind": lambda d: files.timeblind(d / "data.jsonl"),
    "velociti": lambda d: files.velociti(d / "velociti.jsonl"),
    "vitatecs": files.vitatecs,
}
WHOLE = {  # name -> units, pairs
    "videocon_llm": (27_000, 27_000),
    "videocon_human": (570, 570),
    "videocon_human_hard": (290, 290),
    "ssv2_temporal": (3_888, 3_888),
    "ssv2_events": (28_812, 28_812),
    "atp_hard": (1_846, 9_220),
    "vinoground": (500, 2_000),
    "timeblind": (600, 2_400),
    "velociti": (8_792, 17_584),
    "vitatecs": (13_838, 27_676),
}


def copy_of(name, folder, allow_missing=False):
    return load(benchmark_of(name), folder, allow_missing)


def test_every_task_of_a_benchmark_has_its_entry_and_the_other_way_round():
    assert [b.name for b in BENCHMARKS] == [task.name for task in TASKS] == list(WHOLE)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_copy_has_the_published_size(name, tmp_path):
    MAKERS[name](tmp_path)
    copy = copy_of(name, tmp_path)
    units, pairs = WHOLE[name]
    assert (copy.count, copy.expected, len(copy.loaded.entries)) == (units, units, pairs)
    captions = {entry.row["caption"] for entry in copy.loaded.entries}
    assert not any("entail the description" in caption for caption in captions)


def test_captions_come_out_of_their_prompt_with_their_quotes(tmp_path):
    files.ssv2(tmp_path / "eval_ssv2_temporal.csv")
    assert (
        copy_of("ssv2_temporal", tmp_path).loaded.entries[0].row["caption"]
        == 'Putting "[something 0]" behind [something]'
    )


def test_atp_hard_leaves_out_what_the_authors_leave_out_and_keeps_equal_options_apart(tmp_path):
    told = files.atp_hard(tmp_path)
    loaded = copy_of("atp_hard", tmp_path).loaded
    assert len(loaded.excluded) == 2 and len(loaded.beside) == 10 and "what happened" in loaded.excluded[0]
    keys = {(*e.pair, e.row["query"], e.row["option"]) for e in loaded.entries}
    assert len(keys) == 9_220 > len({(*e.pair, e.row["query"]) for e in loaded.entries})
    assert {e.row["part"] for e in loaded.entries} == {"causal", "temporal"} and len(told) == 9_230


def test_atp_hard_is_the_same_from_its_statements(tmp_path):
    files.atp_hard(tmp_path / "prepared")
    files.atp_hard(tmp_path / "bare", prepared=False)
    strip = [
        {k: v for k, v in e.row.items() if k != "video"} for e in copy_of("atp_hard", tmp_path / "bare").loaded.entries
    ]
    prepared = copy_of("atp_hard", tmp_path / "prepared").loaded.entries
    assert strip == [{k: v for k, v in e.row.items() if k != "video"} for e in prepared]


@pytest.mark.parametrize(("rows", "hard", "sizes"), [(285, 145, (570, 290)), (570, 290, (1140, 580))])
def test_videocon_human_is_taken_with_285_and_with_570_rows_and_says_which(tmp_path, rows, hard, sizes):
    files.videocon_human(tmp_path / "videocon_human.csv", rows, hard)
    for name, size, number in zip(("videocon_human", "videocon_human_hard"), sizes, (rows, hard), strict=True):
        copy = copy_of(name, tmp_path)
        assert (copy.count, copy.loaded.form) == (size, f"{number} rows of two pairs")


def test_videocon_human_is_also_read_with_a_row_per_pair(tmp_path):
    rows = [{"videopath": f"v{i}.mp4", "caption": f"c{i}", "label": i % 2, "hard": i < 290} for i in range(570)]
    files.write(tmp_path / "videocon_human.csv", rows)
    assert copy_of("videocon_human_hard", tmp_path).loaded.form == "290 rows of one pair"


def test_a_size_that_the_paper_does_not_state_is_a_note(tmp_path):
    files.videocon_llm(tmp_path / "videocon_llm_entailment.csv", test=100)
    copy = copy_of("videocon_llm", tmp_path)
    assert copy.count == copy.expected == 200 and copy.loaded.notes == ["200 pairs; the paper says about 27,000"]


def test_repeated_pairs_of_videocon_count_once(tmp_path):
    row = {"videopath": "v.mp4", "caption": "a dog", "split": "test"}
    rows = [row | {"neg_caption": "a cat"}, row | {"neg_caption": "a hen"}]
    files.write(tmp_path / "videocon_llm_entailment.csv", rows)
    loaded = copy_of("videocon_llm", tmp_path).loaded
    assert [e.row["caption"] for e in loaded.entries] == ["a dog", "a cat", "a hen"]
    assert "1 pairs are there several times and count once" in loaded.notes


# ---- what is wrong with a copy


def drop_last_row(path, rows=1):
    told = files.read(path)
    return files.write(path, told[: len(told) - rows])


def test_fewer_than_expected_is_an_error_unless_allowed(tmp_path):
    path = drop_last_row(files.vinoground(tmp_path / "vinoground.csv"))
    with pytest.raises(ValueError, match=r"vinoground.csv has 499 of 500 counterfactual pairs; .*--allow-missing"):
        copy_of("vinoground", path.parent)
    copy = copy_of("vinoground", path.parent, allow_missing=True)
    assert (copy.count, copy.expected) == (499, 500)


def test_a_caption_short_of_videos_is_named(tmp_path):
    path = drop_last_row(files.ssv2(tmp_path / "eval_ssv2_temporal.csv"))
    with pytest.raises(
        ValueError, match=r"eval_ssv2_temporal.csv:\d+: caption .* has 215 videos, 11 .* expected 216 and 12"
    ):
        copy_of("ssv2_temporal", tmp_path)
    assert copy_of("ssv2_temporal", path.parent, allow_missing=True).count == 3_887


def test_another_benchmarks_file_is_recognised_by_its_size(tmp_path):
    files.ssv2(tmp_path / "eval_ssv2_temporal.csv", 49, 12)
    with pytest.raises(ValueError, match=r"has 28,812 pairs, 3,888 are expected; that is ssv2_events's size"):
        copy_of("ssv2_temporal", tmp_path)


def change(path, place, **values):
    rows = files.read(path)
    rows[place].update(values)
    return files.write(path, rows)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: files.write(p, [{"videopath": "v", "caption": "c"}]),
         r"needs the columns videopath and .*match, has"),
        (lambda p: change(files.ssv2(p), 0, match="maybe"), r"temporal.csv:2: match: 'maybe' is neither 1 nor 0"),
        (lambda p: change(files.ssv2(p), 1, videopath=" "), r"temporal.csv:6: videopath: empty"),
        (lambda p: change(files.ssv2(p), 0, caption=files.PROMPT.format(" ")),
         r":2: caption: a prompt without a caption"),
        (lambda p: change(files.ssv2(p, each=1), 0, match="0"), r":2: caption .* has no positive among its 18 videos"),
        (lambda p: files.write(p, [*files.read(files.ssv2(p)), files.read(p)[0] | {"match": "0"}]),
         r"temporal.csv:15554: the same video and caption have label 0 here, 1 in .*temporal.csv:2; keep one"),
    ],
)  # fmt: skip
def test_a_bad_row_of_a_retrieval_file_is_named(tmp_path, make, message):
    make(tmp_path / "eval_ssv2_temporal.csv")
    with pytest.raises(ValueError, match="--data: .*" + message):
        copy_of("ssv2_temporal", tmp_path, allow_missing=True)


def test_labels_of_one_class_are_refused(tmp_path):
    files.write(
        tmp_path / "videocon_human.csv", [{"video_url": "v.mp4", "caption": f"{i}", "label": 1} for i in range(9)]
    )
    with pytest.raises(ValueError, match=r"videocon_human.csv: every caption is right; ROC-AUC needs both classes"):
        copy_of("videocon_human", tmp_path)


def test_a_split_that_no_row_has_is_another_benchmarks_file(tmp_path):
    files.videocon_llm(tmp_path / "videocon_llm_entailment.csv", test=0)
    with pytest.raises(ValueError, match="no row is chosen by its column 'split'"):
        copy_of("videocon_llm", tmp_path)


def test_a_question_without_a_type_is_named(tmp_path):
    files.atp_hard(tmp_path)
    change(tmp_path / "nextqa-atphard.csv", 0, type="D")
    with pytest.raises(ValueError, match=r"eval-nextqa-atphard.csv:2: nextqa-atphard.csv gives '4000: why 0' no type"):
        copy_of("atp_hard", tmp_path)


@pytest.mark.parametrize(
    ("place", "values", "message"),
    [
        (2, {"answer": "A"}, r"data.jsonl:3: answer: 'A', but its place among the four asks for no or B"),
        (5, {"question": "another?"}, r"data.jsonl:5: the four rows from here are not question 0 about video 0 and 1"),
    ],
)
def test_timeblind_rows_in_another_order_are_refused(tmp_path, place, values, message):
    rows = [*files.read_lines(files.timeblind(tmp_path / "data.jsonl", 3))]
    rows[place].update(values)
    files.write_lines(tmp_path / "data.jsonl", rows)
    with pytest.raises(ValueError, match=message):
        copy_of("timeblind", tmp_path, allow_missing=True)


def test_a_folder_without_the_file_says_what_it_lacks_and_a_file_below_it_is_found(tmp_path):
    with pytest.raises(ValueError, match=r"--data: .* holds no vinoground.csv; see: synvita benchmarks"):
        copy_of("vinoground", tmp_path)
    files.vinoground(tmp_path / "a" / "vinoground.csv")
    assert copy_of("vinoground", tmp_path).count == 500
    files.vinoground(tmp_path / "b" / "vinoground.csv")
    with pytest.raises(ValueError, match=r"holds several \(.*a/vinoground.csv, .*b/vinoground.csv\)"):
        copy_of("vinoground", tmp_path)


def test_a_name_that_nobody_knows_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"--benchmark: unknown 'ssv2_temporel'; did you mean 'ssv2_temporal'"):
        benchmark_of("ssv2_temporel")
