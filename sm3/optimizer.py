"""The SM3 optimizer: groups, state and introspection around the step that `sm3.kernels` carries out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, overload

import torch
from torch.optim import Optimizer

from sm3 import kernels
from sm3.covers import Cover, CoverPolicy, Slices, from_spec
from sm3.kernels import KernelChoice, StepOptions, Work, sparse
from sm3.kernels.momentum import Momentum
from sm3.update import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor
    from torch.optim.optimizer import ParamsT

    from sm3.covers.base import Accumulators
    from sm3.remote.cover_specs import CoverSpec

    CoverLike = Cover | CoverSpec | Mapping[str, Any] | str

NONFINITE = ("raise", "skip", "propagate")


class NonFiniteGradientError(FloatingPointError):
    """A gradient held NaN or inf; nothing was stepped and no state changed."""


@dataclass(frozen=True)
class StateBytes:
    """Bytes of optimizer state held now, as measured on the tensors themselves."""

    accumulators_bytes: int
    momentum_bytes: int

    @property
    def total_bytes(self) -> int:
        """Accumulators and momentum together."""
        return self.accumulators_bytes + self.momentum_bytes


class SM3(Optimizer):
    """SM3 for any cover; with the default cover, slices, the algorithm of the paper.

    State: the cover's accumulators in float32 (4·Σ dᵢ bytes for slices) and, with momentum, one buffer of the
    parameter's shape. Both are allocated at a parameter's first step. Steps write parameters and state in
    place and never the gradients. Sparse gradients touch only their rows and take no momentum.

    Args:
        params: Parameters, `model.named_parameters()` (names then serve rules and errors), or parameter
            groups; a group may set any of the keyword arguments for itself.
        lr: Learning rate ≥ 0, a float or a 0-d tensor.
        momentum: β in [0, 1); 0 allocates nothing.
        cover: The cover of tensors of rank ≥ 2, as a cover, its spec or its kind; None means slices.
            Tensors of rank ≤ 1 keep singletons (plain AdaGrad, no more than their own size) unless a rule
            names them or their group sets its own cover.
        rules: Ordered `(glob on the name, cover)`, or `CoverRule`s; the first match wins.
        variant: "II" or "I", the paper's algorithms.
        beta2: None for sums as in the paper, or in [0, 1) for moving averages that forget.
        weight_decay: λ ≥ 0, decoupled: `w ← (1 − lr·λ)·w`.
        maximize: Ascend instead of descend.
        nonfinite: What a NaN or inf in any gradient does. "raise": NonFiniteGradientError names the tensor
            and nothing changes; "skip": the whole step is left out and counted in `skipped_steps`;
            "propagate": no check, the maths takes its course and may poison accumulators.
        kernel: "auto", or the name of one kernel that must serve every tensor.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: A parameter is complex or not floating point.

    >>> import torch
    >>> model = torch.nn.Linear(3, 2)
    >>> optimizer = SM3(model.named_parameters(), lr=0.1)
    >>> optimizer.cover(model.weight), [tuple(mu.shape) for mu in optimizer.accumulators(model.weight)]
    (Slices(), [(2,), (3,)])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        *,
        cover: CoverLike | None = None,
        rules: Iterable[Any] = (),
        variant: str | Variant = Variant.II,
        beta2: float | None = None,
        weight_decay: float = 0.0,
        maximize: bool = False,
        nonfinite: str = "raise",
        kernel: str = "auto",
    ) -> None:
        if nonfinite not in NONFINITE:
            raise ValueError(f"nonfinite={nonfinite!r}; allowed: {', '.join(map(repr, NONFINITE))}")
        if kernel != "auto" and kernel not in kernels.KERNELS:
            raise ValueError(f"kernel={kernel!r}; allowed: 'auto', {', '.join(map(repr, kernels.KERNELS))}")
        policy = CoverPolicy(default=Slices() if cover is None else _as_cover(cover), rules=_as_rules(rules))
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "variant": variant,
            "beta2": beta2,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "nonfinite": nonfinite,
            "kernel": kernel,
            "policy": policy,
        }
        self.skipped_steps = 0
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own settings; an invalid group raises and changes nothing.

        Args:
            param_group: "params" and any of the constructor's keyword arguments, "cover" and "rules"
            included.
        """
        group = dict(param_group)
        policy: CoverPolicy = group.get("policy", self.defaults["policy"])
        own_cover, own_rules = group.pop("cover", None), group.pop("rules", None)
        if own_cover is not None:
            cover = _as_cover(own_cover)
            policy = CoverPolicy(default=cover, rules=policy.rules, vectors=cover)
        if own_rules is not None:
            policy = CoverPolicy(default=policy.default, rules=_as_rules(own_rules), vectors=policy.vectors)
        group["policy"] = policy
        _validate(self.defaults | group)
        group["variant"] = str(Variant(group.get("variant", self.defaults["variant"])))
        super().add_param_group(group)
        try:
            added = self.param_groups[-1]
            for name, param in _named(added, len(self.param_groups) - 1):
                _require_real(name, param)
                added["policy"].cover_for(name, tuple(param.shape))
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    # Runs eagerly inside compiled training steps: the kernels are compiled already, and nothing is retraced
    # when the learning rate changes.
    @torch._disable_dynamo  # type: ignore[attr-defined]
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step every parameter that has a gradient.

        Args:
            closure: Evaluates the model anew and returns the loss.

        Returns:
            What the closure returned.

        Raises:
            NonFiniteGradientError: See `nonfinite`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            if self._gradients_allow_a_step():
                for index, group in enumerate(self.param_groups):
                    self._step_group(group, index)
        return loss

    def _gradients_allow_a_step(self) -> bool:
        """Whether to go on; looks at all gradients before anything is written."""
        for index, group in enumerate(self.param_groups):
            if group["nonfinite"] == "propagate":
                continue
            for name, param in _named(group, index):
                if param.grad is None or _is_finite(param.grad):
                    continue
                if group["nonfinite"] == "raise":
                    raise NonFiniteGradientError(
                        f"the gradient of {name!r} (shape {tuple(param.shape)}) holds NaN or inf; nothing "
                        "was stepped. Lower the learning rate or clip gradients, or pass nonfinite='skip' to "
                        "leave such steps out"
                    )
                self.skipped_steps += 1
                return False
        return True

    def _step_group(self, group: dict[str, Any], index: int) -> None:
        options = _options(group)
        batches: defaultdict[str, list[Work]] = defaultdict(list)
        for name, param in _named(group, index):
            grad = param.grad
            if grad is None or param.numel() == 0:
                continue
            cover = group["policy"].cover_for(name, tuple(param.shape))
            mu = self._accumulators_of(param, cover)
            if grad.is_sparse:
                sparse.step(Work(param, grad, cover, mu, None), options)
                continue
            kernel, _ = kernels.choose(param, cover, options, asked=group["kernel"])
            momentum = self._momentum_of(param) if options.momentum else None
            batches[kernel.name].append(Work(param, grad, cover, mu, momentum))
        for kernel_name, batch in batches.items():
            kernels.KERNELS[kernel_name].run(batch, options)

    def _accumulators_of(self, param: Tensor, cover: Cover) -> Accumulators:
        """The accumulators in `state`, made at the first call."""
        state = self.state[param]
        keys = [f"accumulator_{k}" for k in range(len(cover.accumulator_shapes(tuple(param.shape))))]
        if keys[0] not in state:
            state.update(zip(keys, cover.init(tuple(param.shape), device=param.device), strict=True))
        return tuple(state[key] for key in keys)

    def _momentum_of(self, param: Tensor) -> Momentum:
        """The momentum in `state`, made at the first call."""
        state = self.state[param]
        if "momentum" not in state:
            state["momentum"] = Momentum.zeros(param).values
        return Momentum(state["momentum"])

    def name(self, param: Tensor) -> str:
        """The parameter's name, from `named_parameters`, else "group.index"."""
        return self._find(param)[0]

    def cover(self, param: Tensor) -> Cover:
        """The cover that serves a parameter."""
        name, group = self._find(param)
        cover: Cover = group["policy"].cover_for(name, tuple(param.shape))
        return cover

    def accumulators(self, param: Tensor) -> Accumulators:
        """The current `mu` of a parameter: the state itself, not copies; zeros before the first step."""
        cover = self.cover(param)
        if param in self.state and "accumulator_0" in self.state[param]:
            return self._accumulators_of(param, cover)
        return cover.init(tuple(param.shape), device=param.device)

    def state_bytes(self) -> StateBytes:
        """Bytes of state held now; nothing is held for a parameter before its first step."""
        accumulators_bytes = momentum_bytes = 0
        for state in self.state.values():
            for key, value in state.items():
                if key.startswith("accumulator_"):
                    accumulators_bytes += value.nbytes
                else:
                    momentum_bytes += value.nbytes
        return StateBytes(accumulators_bytes, momentum_bytes)

    def kernels(self) -> list[KernelChoice]:
        """Which kernel serves each tensor, given a dense gradient, and why."""
        choices = []
        for index, group in enumerate(self.param_groups):
            options = _options(group)
            for name, param in _named(group, index):
                cover = group["policy"].cover_for(name, tuple(param.shape))
                kernel, reason = kernels.choose(param, cover, options, asked=group["kernel"])
                choices.append(KernelChoice(name=name, kernel=kernel.name, reason=reason))
        return choices

    def state_dict(self) -> dict[str, Any]:
        """Torch's state dict with plain values only; a group's "covers" are its tensors' covers as JSON."""
        packed = super().state_dict()
        for index, (packed_group, group) in enumerate(
            zip(packed["param_groups"], self.param_groups, strict=True)
        ):
            del packed_group["policy"]
            packed_group["covers"] = self._cover_specs(group, index)
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict; dtypes and bits of the state stay as saved, whatever the parameter's dtype.

        Args:
            state_dict: What `state_dict` returned, perhaps after a trip through `torch.save`; not written to.

        Raises:
            ValueError: Groups or covers differ from this optimizer's; nothing is changed then.
        """
        final: dict[str, Any] = {}

        def adapt(_: Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            final.update(self._with_own_policies(given))
            return final

        # Torch's loader casts state to the parameter's dtype: accumulators of an fp16 model would turn to 0
        # and inf. Adapt after all other pre-hooks, restore before all other post-hooks.
        last = self.register_load_state_dict_pre_hook(adapt)
        first = self.register_load_state_dict_post_hook(lambda _: self._restore_exactly(final), prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            last.remove()
            first.remove()

    def _with_own_policies(self, given: dict[str, Any]) -> dict[str, Any]:
        """The dict with this optimizer's policies in its groups, once its covers are seen to be the same."""
        saved_groups = given["param_groups"]
        if [len(g["params"]) for g in saved_groups] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError(
                f"the state dict has groups of {[len(g['params']) for g in saved_groups]} parameters, this "
                f"optimizer of {[len(g['params']) for g in self.param_groups]}; build it with the same groups"
            )
        adapted = []
        for index, (saved, group) in enumerate(zip(saved_groups, self.param_groups, strict=True)):
            covers = saved.get("covers")
            if covers is None:
                raise ValueError(f"group {index} of the state dict has no 'covers': SM3 did not write it")
            for (name, param), was, now in zip(
                _named(group, index), covers, self._cover_specs(group, index), strict=True
            ):
                if was != now:
                    raise ValueError(
                        f"the state dict holds {name!r} (shape {tuple(param.shape)}) under the cover {was}, "
                        f"this optimizer covers it by {now}; build it with the saved cover, or start its "
                        "state afresh"
                    )
            kept = {key: value for key, value in saved.items() if key != "covers"}
            adapted.append(kept | {"policy": group["policy"]})
        return given | {"param_groups": adapted}

    def _restore_exactly(self, loaded: dict[str, Any]) -> None:
        """Put copies of the loaded state tensors in place of the loader's casts."""
        ids = [i for group in loaded["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for saved_id, param in zip(ids, params, strict=True):
            for key, value in loaded["state"].get(saved_id, {}).items():
                self.state[param][key] = value.detach().to(device=param.device, copy=True)

    def _cover_specs(self, group: dict[str, Any], index: int) -> list[dict[str, Any]]:
        return [
            group["policy"].cover_for(name, tuple(param.shape)).spec().model_dump(mode="json")
            for name, param in _named(group, index)
        ]

    def _find(self, param: Tensor) -> tuple[str, dict[str, Any]]:
        for index, group in enumerate(self.param_groups):
            for name, candidate in _named(group, index):
                if candidate is param:
                    return name, group
        raise ValueError(f"a tensor of shape {tuple(param.shape)} is not a parameter of this optimizer")


def _named(group: dict[str, Any], index: int) -> Iterator[tuple[str, Tensor]]:
    """Names and parameters of the group numbered `index`."""
    names = group.get("param_names") or [f"{index}.{k}" for k in range(len(group["params"]))]
    return zip(names, group["params"], strict=True)


def _options(group: dict[str, Any]) -> StepOptions:
    return StepOptions(
        lr=group["lr"],
        momentum=group["momentum"],
        variant=Variant(group["variant"]),
        beta2=group["beta2"],
        weight_decay=group["weight_decay"],
        maximize=group["maximize"],
    )


def _as_cover(cover: CoverLike) -> Cover:
    return cover if isinstance(cover, Cover) else from_spec(cover)


def _as_rules(rules: Iterable[Any]) -> tuple[tuple[str, Cover], ...]:
    """Rules as `(glob, cover)`, from pairs or from `CoverRule`s."""
    pairs = [rule if isinstance(rule, tuple | list) else (rule.match, rule.cover) for rule in rules]
    return tuple((match, _as_cover(cover)) for match, cover in pairs)


def _is_finite(grad: Tensor) -> bool:
    values = grad._values() if grad.is_sparse else grad
    return bool(torch.isfinite(values).all())


def _require_real(name: str, param: Tensor) -> None:
    if not param.is_floating_point():
        remedy = "; step torch.view_as_real(p) instead" if param.is_complex() else ""
        raise TypeError(f"parameter {name!r} is {param.dtype}; SM3 steps real floating-point tensors{remedy}")


def _validate(group: dict[str, Any]) -> None:
    """Raise ValueError for a group whose numbers are out of range, saying what is allowed."""
    lr = group["lr"]
    if isinstance(lr, torch.Tensor) and lr.numel() != 1:
        raise ValueError(
            f"lr is a tensor of shape {tuple(lr.shape)}; allowed: a float or a tensor of one number"
        )
    lr = float(lr)
    if not (lr >= 0 and isfinite(lr)):
        raise ValueError(f"lr={lr}; allowed: finite and ≥ 0")
    if not 0 <= group["momentum"] < 1:
        raise ValueError(f"momentum={group['momentum']}; allowed: 0 ≤ momentum < 1")
    if group["beta2"] is not None and not 0 <= group["beta2"] < 1:
        raise ValueError(f"beta2={group['beta2']}; allowed: None for sums, or 0 ≤ beta2 < 1")
    if not (group["weight_decay"] >= 0 and isfinite(group["weight_decay"])):
        raise ValueError(f"weight_decay={group['weight_decay']}; allowed: finite and ≥ 0")
    if group["variant"] not in list(Variant):
        raise ValueError(f"variant={group['variant']!r}; allowed: 'I', 'II'")
    if group["nonfinite"] not in NONFINITE:
        raise ValueError(f"nonfinite={group['nonfinite']!r}; allowed: {', '.join(map(repr, NONFINITE))}")
