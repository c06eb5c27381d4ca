"""The commands of `mailroom`, one module each."""

from mailroom.cli._app import main as main
