"""Writes folders of small random models, as transformers makes them: python random_models.py <folder>"""

import pathlib
import sys

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

COMMON = {
    "vocab_size": 264,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**COMMON, rope_parameters=LLAMA3), "5MB"),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**COMMON, tie_word_embeddings=True), "100KB"),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**COMMON, head_dim=32), "5MB"),
}

for seed, (name, (kind, config, shard)) in enumerate(MODELS.items()):
    torch.manual_seed(seed)
    model = kind(config)
    # As they are initialised, models hardly tell tokens apart; biases and norms would be zeros and ones.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(6)
    dtype = torch.bfloat16 if name == "llama" else torch.float32
    model.to(dtype).save_pretrained(pathlib.Path(sys.argv[1]) / name, max_shard_size=shard)
