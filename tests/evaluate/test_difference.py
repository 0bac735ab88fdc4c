"""Differences of two lists of scores: against loops that draw the same videos, closed forms, and chance itself."""

import numpy as np
import pytest
from pair_files import entailment_rows, middle, naive_ap, naive_auc, resampled, retrieval_rows

from synvita.core.holm import holm
from synvita.evaluate.difference import entailment, join, questions, retrieval
from synvita.evaluate.significance import two_sided_p, verdict

DRAWS = 80


def pairs(mine, theirs):
    return list(zip(mine, theirs, strict=True))


def naive_p(differences):
    """Twice the share of draws on the rarer side of 0, with the figure itself as one more draw on either side."""
    rarer = min(sum(d <= 0 for d in differences), sum(d >= 0 for d in differences))
    return min(1.0, 2 * (1 + rarer) / (1 + len(differences)))


def test_holm_multiplies_the_smallest_by_their_number_and_never_goes_back():
    """Worked by hand: 3 x 0.01, 2 x 0.03, then 1 x 0.04 would be less than 0.06."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([0.02]) == [0.02] and holm([]) == []


def test_p_counts_the_draws_on_the_rarer_side_twice_and_is_never_zero():
    assert two_sided_p(np.array([1.0] * 99)) == 2 / 100
    assert two_sided_p(np.array([1.0] * 90 + [-1.0] * 9)) == 2 * 10 / 100
    assert two_sided_p(np.zeros(50)) == 1.0


@pytest.mark.parametrize(("difference", "p", "text"), [(0.1, 0.04, "better"), (-0.1, 0.04, "worse"), (0.1, 0.06, "")])
def test_a_verdict_needs_p_below_the_level_and_takes_the_sign_of_the_difference(difference, p, text):
    assert verdict(difference, p, 0.95) == (text or "cannot tell")


def test_an_auc_difference_draws_whole_videos_and_the_same_ones_for_both():
    mine, theirs = entailment_rows(40, 3, 1.5), entailment_rows(40, 4, 0.5)
    scores = [[row["log_odds"] for row in rows] for rows in (mine, theirs)]
    apart = []
    for draw in resampled([row["video"] for row in mine], DRAWS):
        rows = [mine[i] for i in draw]
        apart.append(naive_auc(rows, [scores[0][i] for i in draw]) - naive_auc(rows, [scores[1][i] for i in draw]))
    found = entailment(pairs(mine, theirs), DRAWS, 0.95)
    assert found["difference"] == pytest.approx(naive_auc(mine) - naive_auc(theirs), abs=1e-12)
    assert (found["low"], found["high"]) == pytest.approx(middle(apart), abs=1e-12)
    assert found["p"] == pytest.approx(naive_p(apart))


def precisions(rows, taken=None):
    """Query -> average precision, each row as often as its video was taken; queries without a right one are absent."""
    found = {}
    for query in dict.fromkeys(row["query"] for row in rows):
        own = [row for row in rows if row["query"] == query]
        own = own if taken is None else [row for row in own for _ in range(taken.get(row["video"], 0))]
        if any(row["label"] for row in own):
            found[query] = naive_ap([row["label"] for row in own], [row["log_odds"] for row in own])
    return found


def test_a_map_difference_is_looked_at_by_video_and_by_query_and_takes_the_larger_p():
    mine, theirs = retrieval_rows(1, 1.2, queries=4, each=3), retrieval_rows(2, 0.8, queries=4, each=3)
    names = list(dict.fromkeys(row["video"] for row in mine))
    by_video = []
    for draw in resampled(names, 30):
        taken = {name: draw.count(i) for i, name in enumerate(names)}
        by_video.append(
            np.mean(list(precisions(mine, taken).values())) - np.mean(list(precisions(theirs, taken).values()))
        )
    ap = [precisions(rows) for rows in (mine, theirs)]
    apart = [ap[0][query] - ap[1][query] for query in ap[0]]
    figure = float(np.mean(apart))
    moved = [value - np.mean(by_video) + figure for value in by_video]
    by_query = [np.mean([apart[i] for i in draw]) for draw in resampled(list(ap[0]), 30)]
    found = retrieval(pairs(mine, theirs), 30, 0.95)
    assert found["difference"] == pytest.approx(figure, abs=1e-12)
    assert (found["low"], found["high"]) == pytest.approx(middle(moved), abs=1e-12)
    each = found["by_query"]
    assert (each["low"], each["high"]) == pytest.approx(middle(by_query), abs=1e-12)
    assert found["p_by_video"] == pytest.approx(naive_p(moved)) and each["p"] == pytest.approx(naive_p(by_query))
    assert found["p"] == max(found["p_by_video"], each["p"])
    assert (each["better"], each["worse"]) == (sum(a > 0 for a in apart), sum(a < 0 for a in apart))
    assert [row["difference"] for row in each["each"]] == pytest.approx(apart, abs=1e-12)


def test_a_gain_on_one_class_of_six_is_no_gain_for_retrieval():
    """By video it looks sure, because all videos of that class gain; other classes would not."""
    theirs = retrieval_rows(5, 0.5, queries=6, each=12)
    mine = [row | {"log_odds": row["log_odds"] + 9 * row["label"] * (row["query"] == "0")} for row in theirs]
    found = retrieval(pairs(mine, theirs), 400, 0.95)
    assert found["low"] > 0 and found["p_by_video"] < 0.01
    assert found["p"] > 0.3 and (found["by_query"]["better"], found["by_query"]["worse"]) == (1, 0)


def option_rows(best, count=6):
    """Two questions per video, option 0 right; `best[q]` scores highest."""
    return [
        {"query": f"q{q}", "caption": f"option {o}", "video": f"{q // 2}.mp4", "label": int(o == 0)}
        | {"log_odds": float(o == best[q])}
        for q in range(count)
        for o in range(3)
    ]


def test_an_accuracy_difference_draws_videos_with_all_their_questions():
    mine, theirs = option_rows([0, 0, 0, 1, 0, 1]), option_rows([0, 1, 2, 2, 0, 0])
    credit = [1 - 1, 1 - 0, 1 - 0, 0, 0, 0 - 1]
    videos = [f"{q // 2}" for q in range(6)]
    drawn = [np.mean([credit[i] for i in draw]) for draw in resampled(videos, DRAWS)]
    found = questions(pairs(mine, theirs), DRAWS, 0.95)
    assert (found["of"], found["minus"], found["questions"]) == (pytest.approx(4 / 6), pytest.approx(3 / 6), 6)
    assert (found["low"], found["high"]) == pytest.approx(middle(drawn), abs=1e-12)


def test_two_models_that_differ_by_chance_alone_are_rarely_called_different():
    """40 pairs of models with one and the same signal: about two may have p < 0.05."""
    found = [
        entailment(pairs(entailment_rows(60, 2 * s), entailment_rows(60, 2 * s + 1)), 200, 0.95) for s in range(40)
    ]
    assert sum(one["p"] < 0.2 for one in found) > 0 and sum(one["p"] < 0.05 for one in found) <= 6


# ---- which pairs are the same


def test_only_pairs_that_both_have_scored_are_compared_and_the_others_counted():
    rows = entailment_rows(4, 0)
    mine = rows[:6]
    theirs = [row | {"log_odds": None} if row["query"] == "t1" else row for row in rows[2:]]
    both, told = join(mine, theirs, "entailment")
    assert [one["caption"] for one, _ in both] == ["caption 2 1", "caption 2 0"]
    assert told == {"pairs": 2, "only_of": 2, "only_minus": 2, "without_score": 2}


def test_a_pair_of_entailment_is_a_video_and_a_caption_whatever_the_triplet_is_called():
    rows = entailment_rows(3, 0)
    renamed = [row | {"query": f"other {row['query']}"} for row in rows]
    assert join(rows, renamed, "entailment")[1]["pairs"] == 6
    assert join(rows, renamed, "retrieval")[1] == {"pairs": 0, "only_of": 6, "only_minus": 6, "without_score": 0}


def test_a_pair_that_stands_there_twice_counts_twice():
    rows = [row | {"caption": "same", "video": "v.mp4"} for row in entailment_rows(2, 0) if row["label"]]
    assert join(rows, rows, "entailment")[1]["pairs"] == 2
    assert join(rows, rows[:1], "entailment")[1] | {"pairs": 1, "only_of": 1} == join(rows, rows[:1], "entailment")[1]


def test_a_question_that_lacks_an_option_is_left_out_whole():
    rows = option_rows([0] * 6)
    both, told = join(rows, rows[:-1], "questions")
    assert {one["query"] for one, _ in both} == {f"q{i}" for i in range(5)}
    assert (told["pairs"], told["only_of"], told["of_cut_questions"]) == (15, 1, 2)


def test_two_files_that_disagree_about_what_is_right_are_refused():
    rows = entailment_rows(2, 0)
    with pytest.raises(ValueError, match=r"caption 'caption 0 1' of video v0\.mp4: labels 1 and 0"):
        join(rows, [rows[0] | {"label": 0}, *rows[1:]], "entailment")
