"""Tiny random pipelines of real classes, saved in diffusers' folder format."""

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

WORDS = (
    "<pad> </s> <unk> a an two small large red blue green cross ring square moving left right snow falls dog sits the"
)
TEXT = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 37, "num_layers": 1}


def tokenizer(limit=226):
    found = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS.split())}, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=found, model_max_length=limit, **names)


def cogvideox(**more):
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=2,
        text_embed_dim=32, num_layers=1, sample_width=4, sample_height=4, sample_frames=9, max_text_seq_length=226,
        **more,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
    )  # fmt: skip
    text = T5EncoderModel(T5Config(**TEXT)).eval()
    scheduler = diffusers.CogVideoXDPMScheduler()
    return diffusers.CogVideoXPipeline(tokenizer(), text, vae, transformer, scheduler)


def cogvideox15():
    return cogvideox(patch_size_t=2, use_rotary_positional_embeddings=True, patch_bias=False)


def wan():
    transformer = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=32, freq_dim=16, ffn_dim=32, num_layers=1
    )
    vae = diffusers.AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    text = UMT5EncoderModel(UMT5Config(**TEXT)).eval()
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
    )
    return diffusers.WanPipeline(tokenizer(512), text, vae, scheduler, transformer)


def wan22():
    """Two networks: one for the noisy steps, one for the last."""
    one, other = wan(), wan()
    parts = {name: getattr(one, name) for name in ("tokenizer", "text_encoder", "vae", "scheduler", "transformer")}
    return diffusers.WanPipeline(**parts, transformer_2=other.transformer, boundary_ratio=0.875)


def ltx():
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
        num_layers=1, caption_channels=32,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    text = T5EncoderModel(T5Config(**TEXT)).eval()
    return diffusers.LTXPipeline(diffusers.FlowMatchEulerDiscreteScheduler(), vae, text, tokenizer(128), transformer)


def ltx_from_image():
    return diffusers.LTXImageToVideoPipeline(**ltx().components)


def cogvideox_from_image():
    """The picture's latents stand beside the noise."""
    parts = cogvideox().components
    parts["transformer"] = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=2,
        text_embed_dim=32, num_layers=1, sample_width=4, sample_height=4, sample_frames=9, max_text_seq_length=226,
    )  # fmt: skip
    return diffusers.CogVideoXImageToVideoPipeline(**parts)


IMAGE = {"ltx": ltx_from_image, "cogvideox": cogvideox_from_image}  # image to video
MAKE = {"cogvideox": cogvideox, "cogvideox15": cogvideox15, "wan": wan, "wan22": wan22, "ltx": ltx}
SMALL = {"dtype": "float32", "height": 32, "width": 32, "frames": 9, "steps": 2}


def save(name, folder, made=MAKE):
    """The folder, with the pipeline in it; its weights are decided by its name."""
    torch.manual_seed(sum(name.encode()))
    made[name]().save_pretrained(folder)
    return folder
