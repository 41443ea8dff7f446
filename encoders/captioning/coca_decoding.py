"""CoCa's words one by one, each computed once: open_clip's forward pass begins anew for every word.

The text side of CoCa (Yu et al. 2022, arXiv:2205.01917) is causal, so that what was computed for earlier
words stays right: their keys and values are kept, and those of the picture are made once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


class CocaDecoder:
    """The state of captions that are being written, for one batch of pictures.

    Args:
        model: open_clip's CoCa, of plain attention blocks (see `is_plain`).
        image_tokens: What its visual side gives for each picture: float (N, P, D).
    """

    def __init__(self, model: Any, image_tokens: torch.Tensor) -> None:
        self._text, self._decoder = model.text, model.text_decoder
        self._kept: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        # bool (N, 1, 1, L): which words are looked back at, the one to come included.
        self._seen_words = torch.ones(
            (len(image_tokens), 1, 1, 1), dtype=torch.bool, device=image_tokens.device
        )
        self._pictures = []
        for block in self._decoder.cross_attn:
            picture = block.ln_1_kv(image_tokens)
            self._pictures.append((_projected(block.attn, picture, 1), _projected(block.attn, picture, 2)))

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the next word: token ids int64 (N,) of the last one -> float (N, V)."""
        words = self._written(tokens)
        for block, cross, (keys, values) in zip(
            self._decoder.resblocks, self._decoder.cross_attn, self._pictures, strict=True
        ):
            words = self._attended(block, words, None)
            query = _projected(cross.attn, cross.ln_1(words), 0)
            words = _block_end(cross, words, functional.scaled_dot_product_attention(query, keys, values))
        logits = self._decoder.ln_final(words)[:, 0]
        if self._decoder.text_projection is not None:
            logits = logits @ self._decoder.text_projection
        return logits

    def _written(self, tokens: torch.Tensor) -> torch.Tensor:
        """The words as the text tower tells them: (N, 1, D)."""
        position = self._seen_words.shape[-1] - 1
        words = self._text.token_embedding(tokens)[:, None] + self._text.positional_embedding[position]
        for block in self._text.transformer.resblocks:
            words = self._attended(block, words, self._seen_words)
        # What is padding does not hide itself, but the word after it: by mistake, and the weights know it so.
        following = (tokens != self._text.pad_id)[:, None, None, None]
        self._seen_words = torch.cat([self._seen_words, following], dim=-1)
        return words

    def _attended(self, block: Any, words: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        """One block over the last word, with a look back; `seen` bool (N, 1, 1, L) where not all is."""
        normed = block.ln_1(words)
        keys, values = _projected(block.attn, normed, 1), _projected(block.attn, normed, 2)
        if block in self._kept:
            keys = torch.cat([self._kept[block][0], keys], dim=2)
            values = torch.cat([self._kept[block][1], values], dim=2)
        self._kept[block] = (keys, values)
        query = _projected(block.attn, normed, 0)
        attended = functional.scaled_dot_product_attention(query, keys, values, attn_mask=seen)
        return _block_end(block, words, attended)


def is_plain(model: Any) -> bool:
    """Checks that a CoCa is built of the blocks that `CocaDecoder` knows, as all of open_clip's are."""
    text = model.text
    if getattr(text, "attn_mask", None) is None or text.cls_emb is None or text.correct_cls_mask:
        return False
    blocks = [*text.transformer.resblocks, *model.text_decoder.resblocks, *model.text_decoder.cross_attn]
    return all(isinstance(getattr(block, "attn", None), torch.nn.MultiheadAttention) for block in blocks)


def _projected(attention: Any, x: torch.Tensor, which: int) -> torch.Tensor:
    """Queries (0), keys (1) or values (2) of an attention: (N, L, D) -> (N, heads, L, D / heads)."""
    weight = attention.in_proj_weight.chunk(3)[which]
    bias = attention.in_proj_bias.chunk(3)[which]
    made = functional.linear(x, weight, bias)
    return made.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def _block_end(block: Any, words: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """The rest of a transformer block, after its attention (N, heads, 1, d)."""
    words = words + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    return words + block.ls_2(block.mlp(block.ln_2(words)))
