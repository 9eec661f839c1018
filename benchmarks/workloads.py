"""The parameter lists that steps are timed on."""

from __future__ import annotations

Shape = tuple[int, ...]


def gpt2_small() -> list[Shape]:
    """GPT-2-small: 124,439,808 parameters in 148 tensors, embeddings tied."""
    block: list[Shape] = [
        *[(768,), (768,), (768, 2304), (2304,), (768, 768), (768,)],
        *[(768,), (768,), (768, 3072), (3072,), (3072, 768), (768,)],
    ]
    return [(50257, 768), (1024, 768), *block * 12, (768,), (768,)]


def resnet50() -> list[Shape]:
    """ResNet-50: 25,557,032 parameters in 161 tensors."""
    shapes: list[Shape] = [(64, 3, 7, 7), (64,), (64,)]
    inner = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            shapes += [(width, inner, 1, 1), (width,), (width,)]
            shapes += [(width, width, 3, 3), (width,), (width,)]
            shapes += [(4 * width, width, 1, 1), (4 * width,), (4 * width,)]
            if block == 0:
                shapes += [(4 * width, inner, 1, 1), (4 * width,), (4 * width,)]
            inner = 4 * width
        assert stage < 4
    return [*shapes, (1000, 2048), (1000,)]


WORKLOADS: dict[str, list[Shape]] = {
    "GPT-2-small": gpt2_small(),
    "4096²": [(4096, 4096)],
    "ResNet-50": resnet50(),
    "400×64²": [(64, 64)] * 400,
}
