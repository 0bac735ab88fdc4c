"""Tiny LLaVA-OneVision, SmolVLM2 and InternVL checkpoints in their official layouts, and their official prompts."""

import json
from types import SimpleNamespace

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = ["Yes No Yes No Yes\nNo User: Does this video entail the description: Assistant: assistant\n user\n"] * 9
HALF, OTHER = [0.5, 0.5, 0.5], [0.485, 0.456, 0.406]
TEXT = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
VISION = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)

ONEVISION_TEMPLATE = (  # as of llava-hf: an answer is written another way than the start of one to generate
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + content['text'] }}"
    "{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}"
    "{{ '\n' + content['text'] }}{% endgeneration %}{% endfor %}{% endif %}{{'<|im_end|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INTERNVL_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}"
    "{% for content in message['content'] %}{% if content['type'] == 'video' %}{{ '<video>\n' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{{'<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(folder, special, end, template=None):
    """A byte-level BPE of a few hundred tokens with a family's special ones; `<video>` is only in OneVision's."""
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token=end, bos_token="<|im_start|>")
    fast.add_special_tokens({"additional_special_tokens": special})
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def save_onevision(folder):
    """As the checkpoints of 2024: the template beside the tokenizer, two preprocessor files."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    words = tokenizer(folder, ["<|im_start|>", "<|im_end|>", "<image>", "<video>"], "<|im_end|>")
    stored = dict(size={"height": 30, "width": 30}, resample=3, image_mean=HALF, image_std=HALF, do_resize=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(stored | {"image_mean": OTHER}))
    (folder / "video_preprocessor_config.json").write_text(json.dumps(stored | {"do_sample_frames": False}))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": ONEVISION_TEMPLATE}))
    ids = words.convert_tokens_to_ids(["<image>", "<video>"])
    return LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config=SiglipVisionConfig(**VISION, image_size=30, patch_size=10, vision_use_head=False),
            text_config=Qwen2Config(**TEXT, vocab_size=len(words)),
            image_token_index=ids[0],
            video_token_index=ids[1],
        )
    )


def save_smolvlm(folder):
    """Settings of the videos inside those of the images, as in the official checkpoints; a template nobody reads."""
    from transformers import LlamaConfig, SmolVLMConfig, SmolVLMForConditionalGeneration

    special = ["<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>", "<image>"]
    words = tokenizer(folder, special, "<end_of_utterance>", "{{ 'not for videos' }}")
    stored = dict(
        size={"longest_edge": 60}, max_image_size={"longest_edge": 32}, resample=1, image_mean=HALF, image_std=HALF
    )
    stored["video_sampling"] = {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(stored))
    return SmolVLMForConditionalGeneration(
        SmolVLMConfig(
            vision_config=dict(**VISION, image_size=32, patch_size=8),
            text_config=LlamaConfig(**TEXT, vocab_size=len(words), pad_token_id=1),
            image_token_id=words.convert_tokens_to_ids("<image>"),
            scale_factor=2,
        )
    )


def save_internvl(folder):
    """As transformers 5 saves: one file for the settings of all processors."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Config

    special = ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"]
    words = tokenizer(folder, special, "<|im_end|>", INTERNVL_TEMPLATE)
    stored = dict(size={"height": 28, "width": 28}, resample=3, image_mean=OTHER, image_std=HALF, num_frames=None)
    stored["video_processor_type"] = "InternVLVideoProcessor"
    (folder / "processor_config.json").write_text(json.dumps({"video_processor": stored}))
    return InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=dict(**VISION, image_size=[28, 28], patch_size=[7, 7]),
            text_config=Qwen2Config(**TEXT, vocab_size=len(words)),
            image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        )
    )


def onevision_prompt(video, pixels, monkeypatch):
    """(the official template, the official processor's text for the video)."""
    from transformers import LlavaOnevisionProcessor

    me = SimpleNamespace(num_image_tokens=9, video_token="<video>")
    return ONEVISION_TEMPLATE, LlavaOnevisionProcessor.replace_video_token(me, pixels, 0)


def smolvlm_prompt(video, pixels, monkeypatch):
    from transformers.models.smolvlm import processing_smolvlm as official
    from transformers.video_utils import VideoMetadata

    monkeypatch.setattr(official, "num2words", {3: "three", 6: "six"}.__getitem__)
    seen = VideoMetadata(video.total, video.rate, duration=video.total / video.rate, frames_indices=video.indices)
    me = SimpleNamespace(
        image_seq_len=4,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
    )
    text = official.SmolVLMProcessor.replace_video_token(me, pixels | {"video_metadata": [seen]}, 0)
    return official.DEFAULT_CHAT_TEMPLATE, text


def internvl_prompt(video, pixels, monkeypatch):
    from transformers import InternVLProcessor

    me = SimpleNamespace(
        image_seq_length=4, image_token="<IMG_CONTEXT>", start_image_token="<img>", end_image_token="</img>"
    )
    return INTERNVL_TEMPLATE, InternVLProcessor.replace_video_token(me, pixels, 0)


SAVE = {"llava_onevision": save_onevision, "smolvlm": save_smolvlm, "internvl": save_internvl}
PROMPT = {"llava_onevision": onevision_prompt, "smolvlm": smolvlm_prompt, "internvl": internvl_prompt}
