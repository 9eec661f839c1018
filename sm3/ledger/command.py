"""``sm3 ledger``: the ledger in the terminal. Needs no service and no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sm3.ledger.answers import answer, model_view
from sm3.ledger.catalogue import catalogue
from sm3.ledger.shapes import LedgerError
from sm3.ledger.words import size
from sm3.remote.ledger_specs import OPTIMIZER_NAMES, Dtype, LedgerSpec
from sm3.remote.ledger_views import LedgerAnswer, OptimizerLedger, PartBytes

Momentum = Literal["none", "fp32", "bf16", "int8"]
_PARTS = (
    ("weights", "weights_bytes"),
    ("gradients", "gradients_bytes"),
    ("master weights", "master_bytes"),
    ("momentum", "momentum_bytes"),
    ("accumulators", "accumulators_bytes"),
    ("other state", "other_bytes"),
)
_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 10**3, "mb": 10**6}
_UNITS |= {"gb": 10**9, "tb": 10**12}


def ledger(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="a model by name; none: list what there is")
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer", "-o", help="by name, with settings as in adamw:amsgrad=true or sgd:momentum=0"
        ),
    ] = "sm3",
    momentum: Annotated[
        Momentum | None, typer.Option(help="how --optimizer keeps momentum: sm3 any, sgd none or fp32")
    ] = None,
    cover: Annotated[
        str | None,
        typer.Option(help='a cover for sm3: its kind, or JSON such as {"kind":"blocks","tile":64}'),
    ] = None,
    versus: Annotated[
        list[str] | None, typer.Option("--vs", help="another optimizer beside it; may be repeated")
    ] = None,
    tensors_from: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="JSON list of {name, shape, dtype, trainable}, not MODEL"
        ),
    ] = None,
    weights: Annotated[Dtype | None, typer.Option(help="store weights so")] = None,
    gradients: Annotated[Dtype | None, typer.Option(help="store gradients so; else as the weights")] = None,
    master_weights: Annotated[
        bool, typer.Option("--master-weights", help="float32 copies of 16-bit weights")
    ] = False,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="which code takes the step")] = "cuda",
    foreach: Annotated[
        bool | None, typer.Option(help="torch's step for all tensors at once; else its default")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="a device's memory, such as 16GiB: what batch and model fit")
    ] = None,
    activations: Annotated[
        str | None, typer.Option(help="of one sample, such as 140MB; else an estimate, where there is one")
    ] = None,
    sequence: Annotated[int | None, typer.Option(min=1, help="tokens of a sample in the estimate")] = None,
    batch: Annotated[int, typer.Option(min=1, help="samples that a larger model must hold too")] = 1,
    per_tensor: Annotated[bool, typer.Option("--tensors", help="every tensor's bytes too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the answer of POST /v1/ledger")] = False,
) -> None:
    """Show where every byte of a model and its optimizer goes, predicted from shapes."""
    out = Console()
    if model is None and tensors_from is None:
        _print_catalogue(out)
        return
    fit = None
    if memory is not None:
        fit = {
            "device_memory_bytes": size_of(memory),
            "activation_bytes_per_sample": None if activations is None else size_of(activations),
            "sequence_length": sequence,
            "batch": batch,
        }
    try:
        found = answer(
            LedgerSpec.model_validate({
                "model": model,
                "tensors": None if tensors_from is None else _read(tensors_from),
                "optimizers": [
                    chosen(optimizer, momentum=momentum, cover=cover),
                    *(chosen(text) for text in versus or []),
                ],
                "weights": weights,
                "gradients": gradients,
                "master_weights": master_weights,
                "device": device,
                "foreach": foreach,
                "fit": fit,
                "per_tensor": per_tensor,
            })
        )
    except ValidationError as error:
        raise typer.BadParameter("; ".join(map(_told, error.errors()))) from error
    except LedgerError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        print(found.model_dump_json(indent=1))  # noqa: T201 - for pipes, unwrapped
        return
    _print(found, out)


def chosen(text: str, *, momentum: Momentum | None = None, cover: str | None = None) -> dict[str, Any]:
    """Returns an optimizer's JSON object from ``name`` or ``name:key=value,…``; values are JSON or else plain text.

    Raises:
        typer.BadParameter: A setting has no ``=``, or momentum or cover is asked of an optimizer without.

    >>> chosen("sgd:momentum=0"), chosen("sm3", momentum="int8")
    ({'name': 'sgd', 'momentum': 0}, {'name': 'sm3', 'momentum_dtype': 'int8'})
    """
    name, _, settings = text.partition(":")
    found: dict[str, Any] = {"name": name}
    for setting in _split(settings):
        key, equals, value = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r}: expected NAME:KEY=VALUE,…, such as sgd:momentum=0")
        found[key] = _value(value)
    if momentum is not None:
        if name not in {"sm3", "sgd"} or (name == "sgd" and momentum in {"bf16", "int8"}):
            raise typer.BadParameter(
                f"--momentum {momentum} is not for {name!r}; allowed: sm3 with any, sgd with none or fp32"
            )
        if momentum == "none":
            found["momentum"] = 0
        elif name == "sm3":
            found["momentum_dtype"] = momentum
    if cover is not None:
        if name != "sm3":
            raise typer.BadParameter(f"--cover is for sm3; {name!r} has none")
        shape = _value(cover)
        found["cover"] = {"kind": shape} if isinstance(shape, str) else shape
    return found


def _split(settings: str) -> Iterator[str]:
    """Yields what stands between commas, those inside brackets left alone."""
    setting, depth = "", 0
    for character in settings:
        depth += (character in "[{") - (character in "]}")
        if character == "," and not depth:
            yield setting
            setting = ""
        else:
            setting += character
    if setting:
        yield setting


def size_of(text: str) -> int:
    """Returns bytes from a size with a unit, binary or decimal.

    Raises:
        typer.BadParameter: It is none.

    >>> size_of("16GiB"), size_of("1.5 GB"), size_of("512")
    (17179869184, 1500000000, 512)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].lower() not in _UNITS:
        raise typer.BadParameter(
            f"{text!r} is no size; allowed: a number with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB"
        )
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _told(fault: Mapping[str, Any]) -> str:
    """A fault by its place in the request, without the tags of the union of optimizers."""
    place = ".".join(str(part) for part in fault["loc"] if part not in OPTIMIZER_NAMES)
    return f"{place or 'request'}: {fault['msg'].removeprefix('Value error, ')}"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is no JSON: {error}") from error


def _print_catalogue(out: Console) -> None:
    table = Table("model", "parameters", "tensors", "what it is", box=None)
    for known in catalogue().values():
        shown = model_view(known)
        table.add_row(shown.name, f"{shown.num_parameters:,}", str(shown.num_tensors), escape(shown.title))
    for column in table.columns[1:3]:
        column.justify = "right"
    out.print(table)
    out.print(f"optimizers: {', '.join(OPTIMIZER_NAMES)}", highlight=False)


def _print(found: LedgerAnswer, out: Console) -> None:
    of = found.model
    out.print(
        f"{of.title}: {of.num_parameters:,} parameters in {of.num_tensors} tensors",
        highlight=False,
        markup=False,
    )
    table = Table("", *(escape(one.title) for one in found.ledgers), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, field in _PARTS:
        values = [getattr(one.total, field) for one in found.ledgers]
        if any(values):
            table.add_row(label, *map(size, values))
    table.add_section()
    _add(table, "optimizer state", "state_bytes", found.ledgers, style="bold")
    _add(table, "held in all", "held_bytes", found.ledgers)
    _add(table, "a step's own", "transient_bytes", found.ledgers)
    table.add_row("peak", *(size(one.peak_bytes) for one in found.ledgers))
    if len(found.ledgers) > 1:
        first = found.ledgers[0].total.state_bytes
        table.add_row(
            f"{escape(found.ledgers[0].title)} saves",
            "",
            *(size(one.total.state_bytes - first) for one in found.ledgers[1:]),
            style="green",
        )
    if any(one.fit for one in found.ledgers):
        table.add_row(
            "largest batch", *(f"{one.fit.largest_batch:,}" if one.fit else "" for one in found.ledgers)
        )
        if any(one.fit and one.fit.largest_model for one in found.ledgers):
            table.add_row(
                "largest model", *((one.fit and one.fit.largest_model) or "–" for one in found.ledgers)
            )
    table.add_row("verified against", *(escape(one.verified) for one in found.ledgers), style="dim")
    out.print(table)
    if (fit := found.ledgers[0].fit) is not None:
        per_sample = size(fit.activation_bytes_per_sample)
        out.print(
            f"activations of a sample: {per_sample}, {fit.activation_source}", style="dim", highlight=False
        )
    for one in found.ledgers:
        for note in one.notes:
            out.print(f"{one.title}: {note}", style="dim", highlight=False, markup=False)
    for one in found.ledgers:
        if one.tensors:
            _print_tensors(one, out)


def _print_tensors(one: OptimizerLedger, out: Console) -> None:
    table = Table("tensor", "shape", "cover", "weights", "momentum", "accumulators", "state", box=None)
    table.title = escape(one.title)
    for tensor in one.tensors:
        parts = (tensor.weights_bytes, tensor.momentum_bytes, tensor.accumulators_bytes, tensor.state_bytes)
        shape = "×".join(map(str, tensor.shape)) or "0-d"
        table.add_row(escape(tensor.name), shape, tensor.cover, *map(size, parts))
    for column in table.columns[3:]:
        column.justify = "right"
    out.print(table)


def _add(
    table: Table, label: str, field: str, ledgers: tuple[OptimizerLedger, ...], style: str | None = None
) -> None:
    totals: list[PartBytes] = [one.total for one in ledgers]
    table.add_row(label, *(size(getattr(total, field)) for total in totals), style=style)
