"""Adapters in peft's and VideoCon's formats give the recorded numbers and go only on the base they were trained on."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synvita.videollm.families.mplug_owl import MplugOwlVideo
from synvita.videollm.lora import ALL_LINEAR, Joined, Lora, add_lora, load_lora, read_lora, save_lora
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading

GOLDEN = Path(__file__).parent.parent / "data" / "mplug_owl_tiny"


@pytest.fixture(scope="module")
def recorded():
    return load_file(GOLDEN / "tensors.safetensors")


def peft_folder(folder: Path, alpha: int = 4) -> Path:
    """As peft writes it: names without the adapter's own name, settings beside."""
    folder.mkdir()
    tensors = {k.replace(".default.", "."): v for k, v in load_file(GOLDEN / "lora.safetensors").items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": alpha, "target_modules": targets, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def logits(model, recorded):
    with torch.no_grad():
        found = model(recorded["T4.video_pixel_values"].float()[:1], recorded["full_T4.input_ids"][:1])
    want = recorded["lora.logits_full_T4_first_sequence"]
    return found[:, : want.shape[1]], want


def difference(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


def test_an_adapter_in_pefts_format_gives_the_recorded_logits(tmp_path, recorded):
    model = MplugOwlVideo.from_pretrained(GOLDEN)
    assert difference(*logits(model, recorded)) > 1e-2  # without it they are others
    load_lora(model, peft_folder(tmp_path / "adapter"))
    assert difference(*logits(model, recorded)) <= 1e-5
    assert not any("lora" in name for name, _ in model.named_parameters())  # merged: scoring pays nothing for it


def test_an_adapter_beside_16_bit_weights_is_not_merged_into_them(tmp_path, recorded):
    model = MplugOwlVideo.from_pretrained(GOLDEN, Loading(dtype=torch.bfloat16))
    before = {n: p.clone() for n, p in model.language.named_parameters()}
    load_lora(model, peft_folder(tmp_path / "adapter"))
    names = [n for n, _ in model.language_model.named_parameters() if "lora_" in n]
    assert len(names) == 28
    after = {}
    for n, p in model.language.named_parameters():
        after[n.replace("base_model.model.", "").replace("base_layer.", "")] = p
    assert all(torch.equal(after[n], p) for n, p in before.items())
    got, want = logits(model, recorded)
    assert got.dtype == torch.float32 and difference(got, want) < 0.05


def test_videocons_checkpoint_with_the_bases_weights_beside_loads_to_the_same_adapter(tmp_path):
    """A trainer's whole `pytorch_model.bin`: no config, rank from the shapes, alpha 32 as in VideoCon's script."""
    folder = tmp_path / "videocon"
    folder.mkdir()
    tensors = load_file(GOLDEN / "lora.safetensors")
    other = {"base_model.model.vision_model.embeddings.cls_token": torch.zeros(1, 1, 32)}
    torch.save(tensors | other, folder / "pytorch_model.bin")
    lora, found = read_lora(folder)
    assert lora.r == 4 and lora.alpha == 32 and lora.targets[0] == "down_proj" and len(lora.targets) == 7
    from_peft = read_lora(peft_folder(tmp_path / "adapter"))[1]
    assert found.keys() == from_peft.keys() and all(torch.equal(found[k], from_peft[k]) for k in found)


def test_a_pickled_adapter_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    folder = tmp_path / "adapter"
    folder.mkdir()
    torch.save({"x": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: holds more than tensors"):
        read_lora(folder)
    assert not (tmp_path / "ran").exists()


def test_a_saved_adapter_comes_back_on_its_base_and_is_refused_on_another(tmp_path, mplug_owl_folder, recorded):
    model = load_model(mplug_owl_folder)
    wrapped = add_lora(model, Lora(r=2, alpha=6, dropout=0.0, targets=("q_proj", "v_proj")))
    generator = torch.Generator().manual_seed(0)
    for name, p in wrapped.named_parameters():
        if "lora_" in name:
            p.data = torch.randn(p.shape, generator=generator) * 0.1
    ids, pixels = recorded["full_T4.input_ids"], recorded["T4.video_pixel_values"].float()
    with torch.no_grad():
        want = model(pixels, ids)
    save_lora(wrapped, tmp_path / "adapter", model.revision)
    assert {p.name for p in (tmp_path / "adapter").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    again = load_model(mplug_owl_folder, adapter=tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(again(pixels, ids), want, atol=1e-4, rtol=1e-4)
    other = tmp_path / "other"
    shutil.copytree(mplug_owl_folder, other)
    tensors = load_file(other / "model.safetensors")
    tensors["abstractor.vit_eos"] += 1
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(ValueError, match=r"trained on base \w+, this model is \w+"):
        load_model(other, adapter=tmp_path / "adapter")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("base_model.model.language_model.model.layers.0.mlp.up_proj.lora_B.weight"), "no partner"),
        (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.zeros(4, 64)}), "is no LoRA weight of"),
        (
            lambda t: [t.update({k.replace("layers.1", "layers.7"): t.pop(k)}) for k in list(t) if "layers.1" in k],
            "the model has no such layer",
        ),
        (
            lambda t: t.update(
                {"base_model.model.language_model.model.layers.0.mlp.up_proj.lora_A.weight": torch.zeros(4, 32)}
            ),
            "is for width 32, the model has 64",
        ),
    ],
)
def test_a_wrong_adapter_is_refused_by_name(tmp_path, change, message):
    folder = peft_folder(tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=message):
        load_lora(MplugOwlVideo.from_pretrained(GOLDEN), folder)


def test_an_empty_folder_and_other_kinds_of_adapters_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no adapter; expected one of adapter_model\.safetensors"):
        read_lora(tmp_path)
    folder = peft_folder(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(ValueError, match="use_dora is set; plain LoRA only"):
        read_lora(folder)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "pytorch_model.bin"])
def test_a_cut_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=rf"{name}: not a whole|{name}: holds more than tensors"):
        read_lora(tmp_path)


# ---- adapters that are not what they claim


def refusal(folder):
    with pytest.raises(ValueError) as caught:
        load_lora(MplugOwlVideo.from_pretrained(GOLDEN), folder)
    line = str(caught.value)
    assert "\n" not in line and line.startswith("--adapter: ") and str(folder) in line
    return line


@pytest.mark.parametrize("name", ["adapter_config.json", "base.json"])
@pytest.mark.parametrize("text", ["[]", "{}", "{", "7", "null", '{"r": 4}', '{"a": 1, "a": 2}'])
def test_a_junk_json_beside_an_adapter_is_one_line(tmp_path, name, text):
    folder = peft_folder(tmp_path / "adapter")
    (folder / name).write_text(text)
    assert name in refusal(folder)


@pytest.mark.parametrize("key", ["r", "lora_alpha"])
@pytest.mark.parametrize("value", [-4, 0, 4.0, "4", None, True, [4]])
def test_a_rank_or_scale_that_is_no_positive_whole_number_is_refused_by_name(tmp_path, key, value):
    folder = peft_folder(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {key: value}))
    assert f"adapter_config.json: {key}: {value!r} is not a whole number from 1 on" in refusal(folder)


@pytest.mark.parametrize("r", [2, 8])
def test_a_config_of_another_rank_than_the_tensors_is_refused_with_both(tmp_path, r):
    folder = peft_folder(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"r": r}))
    assert f"has rank 4, adapter_config.json says r: {r}" in refusal(folder)


@pytest.mark.parametrize("end", ["A", "B"])
def test_one_tensor_of_another_rank_is_named(tmp_path, end):
    folder = peft_folder(tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    name = f"base_model.model.language_model.model.layers.0.mlp.up_proj.lora_{end}.weight"
    tensors[name] = (tensors[name][:3] if end == "A" else tensors[name][:, :3]).contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    assert f"layers.0.mlp.up_proj.lora_{end} has rank 3, adapter_config.json says r: 4" in refusal(folder)


def test_a_tensor_that_is_no_matrix_is_named(tmp_path):
    folder = peft_folder(tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    name = "base_model.model.language_model.model.layers.0.mlp.up_proj.lora_B.weight"
    save_file(tensors | {name: torch.zeros(4)}, folder / "adapter_model.safetensors")
    assert "layers.0.mlp.up_proj.lora_B has 1 dimensions" in refusal(folder)


def test_a_saved_adapters_config_has_one_order_in_every_process(tmp_path, mplug_owl_folder):
    model = load_model(mplug_owl_folder)
    save_lora(add_lora(model, Lora(r=2, targets=ALL_LINEAR)), tmp_path, model.revision)
    text = (tmp_path / "adapter_config.json").read_text()
    assert json.loads(text)["target_modules"] == sorted(ALL_LINEAR)
    assert list(json.loads(text)) == sorted(json.loads(text))


@pytest.mark.parametrize("small", [True, False])
def test_training_leaves_out_products_of_pefts_forward_and_gives_its_numbers(mplug_owl_folder, monkeypatch, small):
    """Where the scale is 1 and nothing is dropped. A small weight takes its update in; else no bit is another."""
    monkeypatch.setattr("synvita.videollm.lora.SMALL", 2**18 if small else 0)
    same = partial(torch.allclose, rtol=1e-4, atol=1e-5) if small else torch.equal
    plain = add_lora(load_model(mplug_owl_folder), Lora(4, 4))
    layers = [layer for layer in plain.modules() if hasattr(layer, "lora_A")]
    assert layers and all("forward" in vars(layer) for layer in layers)
    for layer in layers[:7]:
        torch.nn.init.normal_(layer.lora_B["default"].weight)
        x = torch.randn(2, 3, layer.base_layer.in_features, requires_grad=True)
        found = []
        for forward in (layer.forward, lambda x, layer=layer: type(layer).forward(layer, x)):
            out = forward(x)
            wanted = (x, layer.lora_A["default"].weight, layer.lora_B["default"].weight)
            found.append((out, *torch.autograd.grad((out * torch.arange(3)[:, None]).sum(), wanted)))
        assert all(same(a, b) for a, b in zip(*found, strict=True))
        assert (found[0][0].grad_fn.name() == "JoinedBackward") is small
        assert not torch.allclose(found[0][0], layer.base_layer(x))
    x = torch.randn(2, layers[0].base_layer.in_features)
    with plain.disable_adapter():
        assert torch.equal(layers[0](x), layers[0].base_layer(x))
    beside = layers[0](x)
    plain.merge_adapter()
    torch.testing.assert_close(layers[0](x), beside, rtol=1e-4, atol=1e-5)  # not twice
    for other in (Lora(4, 8), Lora(4, 4, 0.1)):  # a scale of 2; dropout
        wrapped = add_lora(load_model(mplug_owl_folder), other)
        assert not any("forward" in vars(layer) for layer in wrapped.modules() if hasattr(layer, "lora_A"))


def test_a_small_layers_single_product_keeps_its_bias_and_passes_no_gradient_to_frozen_weights():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 5, 6), torch.randn(4, 6), torch.randn(4)
    down, up = torch.randn(3, 6, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    found = []
    for ours in (True, False):
        for take_x in (True, False):
            given = x.clone().requires_grad_(take_x)
            out = (
                Joined.apply(given, weight, bias, down, up)
                if ours
                else torch.nn.functional.linear(given, weight, bias) + given @ down.T @ up.T
            )
            wanted = (given, down, up) if take_x else (down, up)
            found.append((out, *torch.autograd.grad(out.cos().sum(), wanted)))
    for mine, plain in zip(found[:2], found[2:], strict=True):
        for a, b in zip(mine, plain, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
