"""Recurrent CNN: a 2D network over each frame, and a GRU or LSTM over its features.

Donahue et al. 2015, "Long-term recurrent convolutional networks for visual recognition and
description", arXiv:1411.4389 (LRCN), section 4: the LSTM says something after every frame, and what it
says is averaged. The GRU is Cho et al. 2014, arXiv:1406.1078.

    clip (B, 3, T, H, W) --trunk over each frame--> (B, T, F) --GRU or LSTM--> features (B, T, D)
    --mean, max, attention or the last--> (B, D) --linear--> logits (B, C)

Feature t knows the frames up to t and none after it.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from encoders.blocks.trunks import SMALLEST, make_trunk, over_frames
from encoders.models.base import POOLINGS, ModelInfo, VideoModel, check_clip, make_pool

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
RULE = f"any T of at least 1, and sizes of at least {SMALLEST} pixels"
PAPER = "Donahue et al. 2015, arXiv:1411.4389"


class LastPool(nn.Module):
    """(B, T', D) -> (B, D): the last moment, when all has been seen."""

    def forward(self, features: Tensor) -> Tensor:
        return features[:, -1]


class RecurrentCNN(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T that it is built for; it takes any other.
        size: Pixels that it is built for; it takes any other.
        cell: "gru" or "lstm".
        hidden: D, width of the recurrent layers.
        layers: Recurrent layers, one upon another.
        pooling: "mean" (of the class scores, since the classifier is linear: the paper's), "max",
            "attention" or "last".
        trunk: A 2D network of `encoders.blocks.trunks`.
        pretrained: ImageNet weights for it; see `make_trunk`.
        dropout: Share of features dropped before the classifier, in training.
        width, depth: Of the trunk "small".

    Raises:
        ValueError: An option or size is not as stated.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        cell: str = "lstm",
        hidden: int = 256,
        layers: int = 1,
        pooling: str = "mean",
        trunk: str = "resnet50",
        pretrained: str | None = None,
        dropout: float = 0.0,
        width: int = 16,
        depth: int = 3,
    ) -> None:
        super().__init__()
        _check(frames, size, size)
        if cell not in CELLS:
            raise ValueError(f"a recurrent network is of {' or '.join(CELLS)}, got {cell!r}")
        if pooling not in (*POOLINGS, "last"):
            raise ValueError(f"there is no pooling {pooling!r}; expected {', '.join(POOLINGS)} or last")
        self.trunk = make_trunk(trunk, pretrained=pretrained, width=width, depth=depth)
        self.norm = nn.LayerNorm(self.trunk.dim)
        self.recurrent = CELLS[cell](self.trunk.dim, hidden, num_layers=layers, batch_first=True)
        _spread_gates(self.recurrent)
        self.feature_dim = hidden
        self.pool = LastPool() if pooling == "last" else make_pool(pooling, hidden)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> hidden states (B, T, D), each of the frames so far."""
        _check(*clip.shape[2:])
        states, _ = self.recurrent(self.norm(over_frames(self.trunk, clip)))
        return states

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, T, D) -> (B, C)."""
        return self.classifier(self.dropout(self.pool(features)))


def _spread_gates(recurrent: nn.RNNBase) -> None:
    """Starts the gates where they differ from frame to frame.

    torch draws all weights from +-1 / sqrt(hidden), which keeps the gates of a narrow layer near a half
    whatever the frame shows, so that nothing is learned for long. Glorot's input weights do not, and
    orthogonal recurrent ones keep the memory's length (Saxe et al. 2014, arXiv:1312.6120). An LSTM begins
    by remembering: its forget gates' bias is 1 (Gers et al. 2000; Jozefowicz et al. 2015).
    """
    lstm_gates = ("input", "forget", "cell", "output")  # in torch's order

    for name, weight in recurrent.named_parameters():
        for gate in weight.chunk(weight.shape[0] // recurrent.hidden_size):
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(gate)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(gate)
        if name.startswith("bias_ih") and isinstance(recurrent, nn.LSTM):
            nn.init.ones_(weight.chunk(len(lstm_gates))[lstm_gates.index("forget")])


def _check(frames: int, height: int, width: int) -> None:
    check_clip(frames >= 1 and min(height, width) >= SMALLEST, frames, height, width, RULE)


MODELS = (
    ModelInfo("lstm_r18", partial(RecurrentCNN, trunk="resnet18"), PAPER, 16, 224, 4, RULE),
    ModelInfo("lstm_r50", RecurrentCNN, PAPER, 16, 224, 4, RULE),
    ModelInfo("gru_r18", partial(RecurrentCNN, cell="gru", trunk="resnet18"), PAPER, 16, 224, 4, RULE),
    ModelInfo("gru_r50", partial(RecurrentCNN, cell="gru"), PAPER, 16, 224, 4, RULE),
    ModelInfo("lstm_tiny", partial(RecurrentCNN, trunk="small", hidden=128), PAPER, 8, 32, 4, RULE),
    ModelInfo(
        "gru_tiny", partial(RecurrentCNN, cell="gru", trunk="small", hidden=128), PAPER, 8, 32, 4, RULE
    ),
)
