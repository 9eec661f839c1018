"""A GPT of our own: pre-norm blocks, learned positions, exact attention, nothing else.

Shapes in the comments: B sequences, T tokens in each, W width, H heads, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

INIT_STD = 0.02
"""Standard deviation of every initial weight matrix; 0.09 instead costs 0.3 nats at the smallest size."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a GPT.

    Attributes:
        layers: blocks.
        width: length of the residual stream, a multiple of `heads`.
        heads: attention heads.
        context: the most tokens in a sequence.
        vocab: rows of the token embedding.
        tied: whether the token embedding is the output layer too.
    """

    layers: int
    width: int
    heads: int
    context: int
    vocab: int
    tied: bool


class Attention(nn.Module):
    """Causal self-attention over all heads at once."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix each position with those before it; (B, T, W) to (B, T, W)."""
        batch, time, width = x.shape
        qkv: torch.Tensor = self.qkv(x)
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)  # (B, H, T, W/H)
            for part in qkv.chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        return out


class MLP(nn.Module):
    """Two layers with a GELU between, four times as wide inside."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, 4 * config.width)
        self.down = nn.Linear(4 * config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Work on each position by itself; (B, T, W) to (B, T, W)."""
        out: torch.Tensor = self.down(functional.gelu(self.up(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention, then the MLP, each on a normalised copy and added back."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to the residual stream what the two halves say; (B, T, W) to (B, T, W)."""
        x = x + self.attention(self.attention_norm(x))
        out: torch.Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class GPT(nn.Module):
    """Predicts each next token of a sequence; `create_gpt` makes one with its initial weights set."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.width % config.heads:
            raise ValueError(f"width must be a multiple of heads, got {config.width} and {config.heads}")
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab, config.width)
        self.position_embedding = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Score every token as the next one, at every position.

        Args:
            tokens: (B, T) int64, T at most the context.

        Returns:
            Logits, (B, T, V).
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x: torch.Tensor = self.token_embedding(tokens) + self.position_embedding(positions)
        for block in self.blocks:
            x = block(x)
        output_weight = self.token_embedding.weight if self.head is None else self.head.weight
        return functional.linear(self.norm(x), output_weight)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Set every parameter in place: matrices normal with `INIT_STD`, biases 0, norm scales 1."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, INIT_STD, generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith(".bias") else 1.0)


def create_gpt(config: GPTConfig, *, seed: int, device: torch.device) -> GPT:
    """Make a GPT whose weights depend on the seed alone: not on the device, nor on torch's global generator.

    Args:
        config: its shape.
        seed: of the initial weights.
        device: where it ends up.

    Returns:
        The model, in float32.
    """
    with torch.device("meta"):  # without drawing torch's own initial weights, 1.5 s at the largest size
        model = GPT(config)
    model.to_empty(device="cpu")  # drawn on the CPU, as each device's generator has numbers of its own
    model.initialise(torch.Generator().manual_seed(seed))
    return model.to(device)
