"""Parameters, and steps with seeded gradients."""

import torch


def parameter(*shape, dtype=torch.float32):
    return torch.nn.Parameter(torch.randn(shape).to(dtype))


def stepped(optimizer, *params, steps=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        optimizer.step()
    return optimizer
