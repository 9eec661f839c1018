"""`sm3 ledger`, the Python API and the wire form give one answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sm3.ledger import answer, predict
from sm3.ledger.command import chosen, size_of
from sm3.ledger.report import TABLES, rewritten, written_in
from sm3.remote.ledger_specs import OPTIMIZER_NAMES, LedgerSpec
from sm3.remote.ledger_views import LedgerAnswer
from tests.test_cli import sm3

ROOT = Path(__file__).parents[2]


def test_the_table_needs_no_service_and_no_torch() -> None:
    shown = sm3(
        "ledger", "bert-large", "--optimizer", "sm3", "--momentum", "int8", "--vs", "adamw", SM3_URL="none"
    )
    assert shown.returncode == 0, shown.stderr
    assert "336,226,108 parameters in 398 tensors" in shown.stdout
    lines = {line.split("  ")[0].strip(): line.split()[-2:] for line in shown.stdout.splitlines()[2:]}
    assert lines["optimizer state"] == ["2.51", "GiB"]
    assert lines["SM3, momentum int8 saves"] == ["2.18", "GiB"]
    code = (
        "import sys; from typer.testing import CliRunner; from sm3.cli import app; "
        "result = CliRunner().invoke(app, ['ledger', 'gpt2-xl']); sys.exit(result.exit_code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_json_is_what_python_answers() -> None:
    shown = sm3("ledger", "bert-large", "--momentum", "int8", "--vs", "adamw", "--tensors", "--json")
    assert shown.returncode == 0, shown.stderr
    spec = LedgerSpec.model_validate({
        "model": "bert-large",
        "optimizers": [{"name": "sm3", "momentum_dtype": "int8"}, "adamw"],
        "per_tensor": True,
    })
    assert LedgerAnswer.model_validate_json(shown.stdout) == answer(spec)
    state = predict("bert-large", {"name": "sm3", "momentum_dtype": "int8"}).total.state
    assert json.loads(shown.stdout)["ledgers"][0]["total"]["state_bytes"] == state


def test_a_model_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(
        '[{"name": "w", "shape": [50, 20]}, {"name": "n", "shape": [3], "trainable": false}]'
    )
    shown = sm3("ledger", "--tensors-from", str(tmp_path / "mine.json"), "--momentum", "none", "--json")
    assert json.loads(shown.stdout)["ledgers"][0]["total"]["accumulators_bytes"] == 4 * 70
    (tmp_path / "mine.json").write_text("[")
    assert "is no JSON" in sm3("ledger", "--tensors-from", str(tmp_path / "mine.json")).stderr


def test_without_a_model_the_catalogue_is_listed() -> None:
    shown = sm3("ledger")
    assert "llama-3-70b" in shown.stdout
    assert "70,553,706,496" in shown.stdout
    assert all(name in " ".join(shown.stdout.split()) for name in OPTIMIZER_NAMES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bert-larg"], "did you mean 'bert-large'"),
        (["bert-large", "--vs", "adamv"], "did you mean 'adamw'"),
        (["bert-large", "-o", "lion", "--momentum", "int8"], "--momentum int8 is not for 'lion'"),
        (["bert-large", "-o", "adamw", "--cover", "whole"], "--cover is for sm3"),
        (["bert-large", "--cover", '{"kind":"blocks","tile":[2,2,2]}'], "cover tensors of rank 3"),
        (["bert-large", "--vs", "sgd:momentum"], "expected NAME:KEY=VALUE"),
        (["bert-large", "--vs", "sgd:momentum=2"], "optimizers.1.momentum"),
        (["resnet-50", "--memory", "8GiB"], "there is no estimate for 'resnet-50'"),
        (["bert-large", "--memory", "much"], "is no size"),
    ],
)
def test_what_does_not_fit_is_one_clear_error_and_no_table(arguments: list[str], told: str) -> None:
    refused = sm3("ledger", *arguments)
    assert refused.returncode == 2
    assert told in " ".join(refused.stderr.replace("│", " ").split())
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr


def test_settings_are_json_with_commas_inside_kept_together() -> None:
    assert chosen('sm3:cover={"kind":"slices","dims":[0,1]},momentum=0') == {
        "name": "sm3", "cover": {"kind": "slices", "dims": [0, 1]}, "momentum": 0,
    }  # fmt: skip
    assert chosen("sgd", momentum="none") == {"name": "sgd", "momentum": 0}
    assert chosen("sm3", cover="whole") == {"name": "sm3", "cover": {"kind": "whole"}}
    with pytest.raises(typer.BadParameter):
        size_of("-5 GiB")


def test_the_tables_in_the_docs_are_what_the_ledger_answers() -> None:
    page = (ROOT / "docs" / "ledger.md").read_text()
    assert {name for name, _ in written_in(page)} == set(TABLES)
    for name, text in written_in(page):
        assert text == TABLES[name](), f"{name} is out of date: `make ledger-table` writes it"
    assert rewritten(page) == page
    assert rewritten(page.replace("5.811", "5.812")) == page
