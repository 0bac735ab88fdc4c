"""The last layer is computed only where its output is read, and gives there what the whole layer gives."""

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaModel

from synvita.core.packing import Segment, pack
from synvita.videollm.last_layer import can_read, read_last_layer
from synvita.videollm.packed import hidden_states
from synvita.videollm.tree_attention import use_tree_attention

READ = [[9, 12], [7]]  # the second row's list is shorter


def decoder(able: bool, **more: int) -> LlamaModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    language = LlamaModel(LlamaConfig(**sizes, num_attention_heads=4, **more)).eval()
    use_tree_attention(language)
    if able:
        read_last_layer(language)
    assert can_read(language) is able
    return language


def packed():
    """Two rows of unequal length: a root of six tokens and questions behind it, one with a hidden token."""
    rows = [
        [Segment([3, 4, 5, 6, 7, 8]), Segment([11, 12, 13, 14], 0), Segment([21, 22, 23], 0, [1])],
        [Segment([8, 7, 6, 5, 4, 3]), Segment([31, 32], 0)],
    ]
    return pack(rows)


@pytest.mark.parametrize("heads", [4, 2])  # as many keys as queries, and half
def test_where_it_is_read_the_last_layer_gives_the_whole_layers_states_and_gradients(heads):
    found = []
    for able in (True, False):
        language = decoder(able, num_key_value_heads=heads)
        states = hidden_states(language, packed(), -200, read=READ)
        assert states.shape == (2, 2, 32)
        (states[0].square().sum() + states[1, 0].sum() * 3).backward()
        found.append((states[0], states[1, 0], *(p.grad for p in language.parameters() if p.grad is not None)))
    whole = hidden_states(decoder(False, num_key_value_heads=heads), packed(), -200)
    torch.testing.assert_close(found[0][0], whole[0, READ[0]])
    torch.testing.assert_close(found[0][1], whole[1, 7])
    assert len(found[0]) == len(found[1]) > 10
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_behind_a_prefix_that_nobody_reads_questions_get_the_states_that_they_get_behind_one_that_was_computed():
    rows = packed().ids[:, :6].tolist()
    questions = [[Segment([11, 12, 13]), Segment([21, 22])], [Segment([31, 32])]]
    found = []
    for able in (True, False):
        language, cache = decoder(able), DynamicCache()
        with torch.no_grad():
            prefix = pack([[Segment(ids)] for ids in rows])
            nothing = hidden_states(language, prefix, -200, cache=cache, causal=True, read=[[], []])
            assert nothing.shape == (2, 0, 32) and cache.get_seq_length() == 6
            found.append(hidden_states(language, pack(questions, 0, 6, [6, 6]), -200, cache=cache, read=[[2, 4], [1]]))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1, :1], found[1][1, :1])


def test_a_shorter_list_of_columns_is_filled_up_behind_a_root_of_any_length():
    """With columns that have a row of the mask: a root has none, however long it is."""
    rows = [
        [Segment(list(range(3, 30))), Segment([31, 32], 0), Segment([33], 0)],
        [Segment(list(range(3, 30))), Segment([34], 0)],
    ]
    found = [hidden_states(decoder(able), pack(rows), -200, read=[[28, 29], [27]]) for able in (True, False)]
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1, 0], found[1][1, 0])


def test_only_what_is_read_goes_through_the_last_layers_queries_and_feed_forward_part():
    language, rows = decoder(True), []
    last = language.layers[-1]
    for part in (last.self_attn.q_proj, last.self_attn.o_proj, last.mlp.up_proj, last.self_attn.k_proj):
        part.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[:-1].numel()))
    hidden_states(language, packed(), -200, read=READ)
    assert sorted(rows) == [4, 4, 4, 26]  # 2 rows x 2 columns; keys of all 2 x 13
    rows.clear()
    hidden_states(language, packed(), -200)
    assert rows == [26] * 4


def test_a_layer_that_somebody_else_has_wrapped_stays_as_it_is():
    language = decoder(False)
    last = language.layers[-1]
    last.forward = plain = last.forward
    read_last_layer(language)
    assert last.forward is plain and not can_read(language)
