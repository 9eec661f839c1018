"""What a state dict must agree on with the optimizer that loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sm3.covers import Cover


def require_same_groups(
    saved_groups: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]
) -> None:
    """Check that SM3 wrote the groups, and that they are as large as the optimizer's.

    Raises:
        ValueError: They are not.
    """
    saved_sizes, sizes = ([len(group["params"]) for group in gs] for gs in (saved_groups, groups))
    if saved_sizes != sizes:
        raise ValueError(
            f"the state dict has groups of {saved_sizes} parameters, this optimizer of {sizes}; build it with "
            "the same groups"
        )
    for index, saved in enumerate(saved_groups):
        if "covers" not in saved:
            raise ValueError(f"group {index} of the state dict has no 'covers': SM3 did not write it")


def require_same_cover(name: str, param: Tensor, saved_spec: Mapping[str, Any], cover: Cover) -> None:
    """Check that a tensor's state was kept under the cover it has now.

    Raises:
        ValueError: It was not.
    """
    spec = cover_spec(cover)
    if saved_spec != spec:
        raise ValueError(
            f"the state dict holds {name!r} (shape {tuple(param.shape)}) under the cover {saved_spec}, this "
            f"optimizer covers it by {spec}; build it with the saved cover, or start its state afresh"
        )


def require_shapes(name: str, param: Tensor, saved: Mapping[str, Any], cover: Cover) -> None:
    """Check that a tensor's saved state has the shapes and dtypes its cover wants.

    Raises:
        ValueError: It has not; a kernel would read beyond it.
    """
    wanted = {f"accumulator_{k}": s for k, s in enumerate(cover.accumulator_shapes(tuple(param.shape)))}
    if "momentum" in saved:
        wanted["momentum"] = tuple(param.shape)
    for key, shape in wanted.items():
        if key not in saved:
            raise ValueError(f"the state dict has no {key} of {name!r}; it must have one of shape {shape}")
        value = saved[key]
        if tuple(value.shape) != shape:
            raise ValueError(
                f"the state dict's {key} of {name!r} has shape {tuple(value.shape)}, not {shape}"
            )
        if key != "momentum" and value.dtype != torch.float32:
            raise ValueError(f"the state dict's {key} of {name!r} is {value.dtype}, not torch.float32")


def cover_spec(cover: Cover) -> dict[str, Any]:
    """A cover as the JSON object kept in state dicts."""
    return cover.spec().model_dump(mode="json")
