"""`tokenhud sessions`: the saved chats."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import Parser, count

FORMS = ("csv", "json", "md", "text", "png")


def add_sessions(commands: Any) -> None:
    sessions = commands.add_parser("sessions", help="list, show, search, rename, delete, export")
    verbs = sessions.add_subparsers(title="verbs", parser_class=Parser)
    sessions.set_defaults(run=_list, all=False, deleted=False, json=False)
    listed = _verb(verbs, "list", "the saved sessions, newest first (usual)", _list)
    listed.add_argument("--all", action="store_true", help="all of them, not the last 20")
    listed.add_argument("--deleted", action="store_true", help="those that can be restored")
    shown = _verb(verbs, "show", "one session: settings, turns and figures", _show)
    shown.add_argument("name", help="of the session, or a path")
    searched = _verb(verbs, "search", "words in messages and answers; 1 where none", _search)
    searched.add_argument("text", nargs="+")
    searched.add_argument("--limit", type=count, metavar="N", help="hits at most")
    renamed = verbs.add_parser("rename", help="give a session another name")
    renamed.add_argument("name")
    renamed.add_argument("new")
    renamed.set_defaults(run=_rename)
    deleted = verbs.add_parser("delete", help="delete a session; restore takes it back")
    deleted.add_argument("name")
    deleted.add_argument("--forever", action="store_true", help="it cannot be restored")
    deleted.set_defaults(run=_delete)
    restored = verbs.add_parser("restore", help="take a deleted session back")
    restored.add_argument("name")
    restored.set_defaults(run=_restore)
    exported = verbs.add_parser("export", help="write a session for other programs")
    exported.add_argument("name", help="of the session, or a path")
    exported.add_argument("form", nargs="?", choices=FORMS, default="md", help="md where none is")
    exported.add_argument(
        "to", nargs="?", default="", metavar="PATH", help="a file or folder, or -"
    )
    exported.add_argument("--steps", action="store_true", help="csv with a row a step")
    exported.set_defaults(run=_export)


def _verb(verbs: Any, name: str, about: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=about)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)
    return parser


def _list(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import LISTED, list_report

    return list_report(None if given.all else LISTED, given.deleted, given.json)


def _show(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import show_report

    return show_report(given.name, given.json)


def _search(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import search_report

    return search_report(" ".join(given.text), given.limit, given.json)


def _rename(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import rename_report

    return rename_report(given.name, given.new)


def _delete(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import delete_report

    return delete_report(given.name, given.forever)


def _restore(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import restore_report

    return restore_report(given.name)


def _export(given: argparse.Namespace) -> int:
    from .tui.headless.sessions_report import export_report

    return export_report(given.name, given.form, given.to, given.steps)
