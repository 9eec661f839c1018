"""The SM3 optimizer: groups, state and introspection around the step that `sm3.kernels` carries out."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import torch
from torch.optim import Optimizer

from sm3 import kernels
from sm3.groups import named, narrowed, options_of, policy_of, require_real, require_valid
from sm3.kernels import KernelChoice, StepOptions, Work, sparse
from sm3.kernels.finite import first_nonfinite
from sm3.kernels.momentum import Momentum, MomentumDtype
from sm3.plan import Planned
from sm3.saved_state import cover_spec, require_same_cover, require_same_groups, require_shapes
from sm3.update import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor
    from torch.optim.optimizer import ParamsT

    from sm3.covers import Cover
    from sm3.covers.base import Accumulators
    from sm3.groups import CoverLike, RuleLike
    from sm3.kernels import Kernel


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
    parameter's shape. Both are allocated at a parameter's first step. Steps write parameters and state in place
    and never the gradients. Sparse gradients touch only their rows and take no momentum.

    Args:
        params: Parameters, `model.named_parameters()` (names then serve rules and errors), or parameter groups;
            a group may set any of the arguments below for itself.
        lr: Learning rate ≥ 0, a float or a 0-d tensor.
        momentum: β in [0, 1); 0 allocates nothing.
        cover: The cover of tensors of rank ≥ 2, as a cover, its spec or its kind; None means slices. Tensors of
            rank ≤ 1 keep singletons (plain AdaGrad, no more than their own size) unless a rule names them or
            their group sets its own cover.
        rules: Ordered `(glob on the name, cover)`, or `CoverRule`s; the first match wins.
        variant: "II" or "I", the paper's algorithms.
        beta2: None for sums as in the paper, or in [0, 1) for moving averages that forget.
        weight_decay: λ ≥ 0, decoupled: `w ← (1 − lr·λ)·w`.
        momentum_dtype: "fp32", "bf16" or "int8": 4, 2 or about 1 byte an entry.
        maximize: Ascend instead of descend.
        nonfinite: What a NaN or inf in any gradient does. "raise": NonFiniteGradientError names the tensor and
            nothing changes; "skip": the whole step is left out and counted in `skipped_steps`; "propagate":
            no check (it reads every gradient once), the maths takes its course and may poison accumulators.
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
        rules: Iterable[RuleLike] = (),
        variant: str = Variant.II,
        beta2: float | None = None,
        weight_decay: float = 0.0,
        momentum_dtype: str = MomentumDtype.FP32,
        maximize: bool = False,
        nonfinite: str = "raise",
        kernel: str = "auto",
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "variant": str(variant),
            "beta2": beta2,
            "weight_decay": weight_decay,
            "momentum_dtype": str(momentum_dtype),
            "maximize": maximize,
            "nonfinite": nonfinite,
            "kernel": kernel,
            "policy": policy_of(cover, rules),
        }
        require_valid(defaults)
        self.skipped_steps = 0
        self._plans: dict[int, tuple[object, list[Planned]]] = {}
        self._states: list[dict[str, Tensor]] = []
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own settings; an invalid group raises and changes nothing.

        Args:
            param_group: "params" and any of the constructor's arguments, "cover" and "rules" included.
        """
        group = dict(param_group)
        policy = group.get("policy", self.defaults["policy"])
        group["policy"] = narrowed(policy, group.pop("cover", None), group.pop("rules", None))
        require_valid(self.defaults | group)
        super().add_param_group(group)
        try:
            for name, param in named(group, len(self.param_groups) - 1):
                require_real(name, param)
            self._plan(len(self.param_groups) - 1)
        except (TypeError, ValueError):
            self._plans.pop(len(self.param_groups) - 1, None)
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
            self._forget_replaced_state()
            due = [self._due(index) for index in range(len(self.param_groups))]
            if self._gradients_allow_a_step(due):
                for group, (plan, grads) in zip(self.param_groups, due, strict=True):
                    self._step_group(options_of(group), plan, grads)
            self._states = list(self.state.values())
        return loss

    def _due(self, index: int) -> tuple[list[Planned], list[Tensor]]:
        """The non-empty tensors of a group that have a gradient, and their gradients."""
        plan, grads = [], []
        for planned in self._plan(index):
            grad = planned.param.grad
            if grad is not None and planned.address:
                plan.append(planned)
                grads.append(grad)
        return plan, grads

    def _gradients_allow_a_step(self, due: list[tuple[list[Planned], list[Tensor]]]) -> bool:
        """Whether to go on; looks at all gradients before anything is written."""
        for group, (plan, grads) in zip(self.param_groups, due, strict=True):
            if group["nonfinite"] == "propagate":
                continue
            found = first_nonfinite(grads)
            if found is None:
                continue
            if group["nonfinite"] == "skip":
                self.skipped_steps += 1
                return False
            raise NonFiniteGradientError(
                f"the gradient of {plan[found].name!r} (shape {tuple(grads[found].shape)}) holds NaN or inf; "
                "nothing was stepped. Lower the learning rate or clip gradients, or pass nonfinite='skip' to "
                "leave such steps out"
            )
        return True

    def _step_group(self, options: StepOptions, plan: list[Planned], grads: list[Tensor]) -> None:
        batches: dict[Kernel, tuple[list[Work], list[Tensor]]] = {}
        with_momentum = options.momentum > 0
        kernel = None
        works: list[Work] = []
        own_grads: list[Tensor] = []
        for planned, grad in zip(plan, grads, strict=True):
            if grad.is_sparse:
                sparse.step(self._work(planned, options, with_momentum=False), grad, options)
                planned.work = None
                continue
            work = planned.work
            if work is None or planned.is_stale(work, with_momentum):
                work = self._work(planned, options, with_momentum=with_momentum)
                if options.variant is Variant.II:
                    sparse.catch_up(work.cover, work.mu, tuple(work.param.shape))
            if planned.kernel is not kernel:
                kernel = planned.kernel
                works, own_grads = batches.setdefault(kernel, ([], []))
            works.append(work)
            own_grads.append(grad)
        for kernel, (works, own_grads) in batches.items():
            kernel.run(works, own_grads, options)

    def _forget_replaced_state(self) -> None:
        """Drop what is kept of the state of each tensor when any of it was replaced, added or removed."""
        states = list(self.state.values())
        if len(states) != len(self._states) or not all(map(operator.is_, states, self._states)):
            for _, plan in self._plans.values():
                for planned in plan:
                    planned.work = None

    def _plan(self, index: int) -> list[Planned]:
        """Names, covers and kernels of a group's tensors, decided anew when what they hang on has changed."""
        group = self.param_groups[index]
        key = (
            group["policy"],
            group["variant"],
            group["momentum"] > 0,
            group["momentum_dtype"],
            group["kernel"],
            *map(id, group["params"]),
        )
        plan_key, plan = self._plans.get(index, (None, []))
        if plan_key != key:
            plan = [
                self._planned(group, name, param, group["policy"].cover_for(name, tuple(param.shape)))
                for name, param in named(group, index)
            ]
            self._plans[index] = (key, plan)
        for k, planned in enumerate(plan):
            if planned.has_moved():
                plan[k] = self._planned(group, planned.name, planned.param, planned.cover)
        return plan

    def _planned(self, group: dict[str, Any], name: str, param: Tensor, cover: Cover) -> Planned:
        kernel, reason = kernels.choose(param, cover, options_of(group), asked=group["kernel"])
        return Planned(name, param, cover, kernel, reason, param.data_ptr(), param.is_contiguous())

    def _work(self, planned: Planned, options: StepOptions, *, with_momentum: bool) -> Work:
        """The tensor's state as a kernel takes it; allocated at the first call."""
        param, state = planned.param, self.state[planned.param]
        mu = planned.cover.init(tuple(param.shape), device=param.device)
        mu = tuple(state.setdefault(f"accumulator_{k}", zeros).contiguous() for k, zeros in enumerate(mu))
        state.update((f"accumulator_{k}", values) for k, values in enumerate(mu))
        momentum = None
        if with_momentum:
            if "momentum" not in state:
                momentum = Momentum.zeros(param, options.momentum_dtype)
                state["momentum"] = momentum.values
                if momentum.scale is not None:
                    state["momentum_scale"] = momentum.scale
            elif state["momentum"].stride() != param.stride():  # the layout has changed since
                state["momentum"] = torch.empty_like(param, dtype=state["momentum"].dtype).copy_(
                    state["momentum"]
                )
            momentum = Momentum(state["momentum"], state.get("momentum_scale"))
        planned.state = state
        planned.work = Work(param, planned.cover, mu, momentum)
        return planned.work

    def name(self, param: Tensor) -> str:
        """The parameter's name, from `named_parameters`, else "group.index"."""
        return self._find(param).name

    def cover(self, param: Tensor) -> Cover:
        """The cover that serves a parameter."""
        return self._find(param).cover

    def accumulators(self, param: Tensor) -> Accumulators:
        """The current `mu` of a parameter: the state itself, not copies; zeros before the first step."""
        return self._accumulators(self._find(param))

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
        return [
            KernelChoice(name=planned.name, kernel=planned.kernel.name, reason=planned.reason)
            for index in range(len(self.param_groups))
            for planned in self._plan(index)
        ]

    def watched(self) -> Iterator[tuple[Tensor, Cover, Accumulators]]:
        """Every parameter in the groups' order, with its cover and its current accumulators (see `accumulators`)."""
        for index in range(len(self.param_groups)):
            for planned in self._plan(index):
                yield planned.param, planned.cover, self._accumulators(planned)

    def _accumulators(self, planned: Planned) -> Accumulators:
        shape, state = tuple(planned.param.shape), self.state.get(planned.param, {})
        if "accumulator_0" not in state:
            return planned.cover.init(shape, device=planned.param.device)
        return tuple(state[f"accumulator_{k}"] for k in range(len(planned.cover.accumulator_shapes(shape))))

    def _find(self, param: Tensor) -> Planned:
        for index in range(len(self.param_groups)):
            for planned in self._plan(index):
                if planned.param is param:
                    return planned
        raise ValueError(f"a tensor of shape {tuple(param.shape)} is not a parameter of this optimizer")

    # Saving and loading

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plans, self._states = {}, []
        self.__dict__.setdefault("skipped_steps", 0)

    def state_dict(self) -> dict[str, Any]:
        """Torch's state dict with plain values only; a group's "covers" are its tensors' covers as JSON."""
        packed = super().state_dict()
        for index, group in enumerate(packed["param_groups"]):
            del group["policy"], group["kernel"]
            group["covers"] = [cover_spec(planned.cover) for planned in self._plan(index)]
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
            final.update(self._adapted(given))
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

    def _adapted(self, given: dict[str, Any]) -> dict[str, Any]:
        """The dict with this optimizer's policies and kernels, once its covers are seen to be the same."""
        require_same_groups(given["param_groups"], self.param_groups)
        adapted = []
        for index, (saved, group) in enumerate(zip(given["param_groups"], self.param_groups, strict=True)):
            for planned, spec, saved_id in zip(
                self._plan(index), saved["covers"], saved["params"], strict=True
            ):
                require_same_cover(planned.name, planned.param, spec, planned.cover)
                if given["state"].get(saved_id):
                    require_shapes(planned.name, planned.param, given["state"][saved_id], planned.cover)
            settings = {key: value for key, value in saved.items() if key != "covers"}
            adapted.append(settings | {key: group[key] for key in ("policy", "kernel")})
        return given | {"param_groups": adapted}

    def _restore_exactly(self, loaded: dict[str, Any]) -> None:
        """Put copies of the loaded state tensors in place of the loader's casts."""
        ids = [i for group in loaded["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for saved_id, param in zip(ids, params, strict=True):
            for key, value in loaded["state"].get(saved_id, {}).items():
                self.state[param][key] = value.detach().to(device=param.device, copy=True)
