"""``python -m server.backup create DEST | restore SRC``: what `sm3 backup` and `sm3 restore` run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from server.backup import folder
from server.backup.contents import BackupError, Contents
from server.startup import CannotStart, read_settings
from sm3.progress import show_bytes


def main(argv: list[str] | None = None) -> int:
    """Does what is asked; returns 0, or 1 with the reason on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        settings = read_settings()
        if arguments.what == "create":
            contents = folder.create(settings, arguments.place, with_token=arguments.with_token)
            _say(f"{arguments.place}: {_summary(contents)}.")
            _say("The admin token is in it: keep it secret." if contents.has_token else _LEFT_OUT)
        else:
            contents = folder.restore(settings, arguments.place)
            _say(
                f"{settings.data_dir}: {_summary(contents)}, as of {contents.created_at:%Y-%m-%d %H:%M:%S} UTC."
            )
            _say(
                "The admin token is the backup's."
                if contents.has_token
                else "A new admin token is made when the service starts; `sm3 token` prints it."
            )
            _say("Start the service; jobs that ran when the backup was made are settled then.")
    except (BackupError, CannotStart) as error:
        print(f"sm3: {error}", file=sys.stderr)  # noqa: T201 - a command speaks on the terminal
        return 1
    return 0


_LEFT_OUT = "The admin token is not in it (--with-token puts it in); a restored service makes a new one."


def _summary(contents: Contents) -> str:
    rows = ", ".join(
        f"{contents.counts[table]:,} {table}" for table in ("jobs", "frames") if table in contents.counts
    )
    files = f"{len(contents.files):,} files, {show_bytes(contents.size_bytes)}"
    return f"{rows}; {files}, verified" if rows else files


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command speaks on the terminal


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server.backup", description="Backs up, or starts anew.")
    commands = parser.add_subparsers(dest="what", required=True)
    create = commands.add_parser("create", help="back the data folder up while the service runs")
    create.add_argument("place", type=Path, metavar="DEST", help="a folder that does not exist yet")
    create.add_argument("--with-token", action="store_true", help="put the admin token in too")
    restore = commands.add_parser("restore", help="fill an empty data folder from a backup")
    restore.add_argument("place", type=Path, metavar="SRC", help="a folder that `create` made")
    return parser


if __name__ == "__main__":
    sys.exit(main())
