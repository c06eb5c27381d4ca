"""Files beside the code: generated pages, links, hooks, the licence, the version."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from setuptools import Distribution
from setuptools.config.pyprojecttoml import apply_configuration
from typer.testing import CliRunner

from mailroom.cli import settings as settings_command
from mailroom.cli._app import app
from mailroom.cli._commit import commit_of, version
from mailroom.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deployments/*.md")])


def make_steps(target: str) -> list[str]:
    """Return the commands of a target of the Makefile, as a person would type them."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    return [line.strip().removeprefix("@").replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]


def test_the_hooks_run_the_steps_of_make_check() -> None:
    """A commit that passes the hooks must not fail in CI."""
    config: Any = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]

    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert [shlex.split(hook["entry"]) for hook in hooks] == [shlex.split(step) for step in make_steps("check")]
    assert all(
        (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("system", False, True) for hook in hooks
    )


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    """An operator configures by the page; after a change run `mailroom settings > docs/settings.md`."""
    assert (ROOT / "docs" / "settings.md").read_text() == settings_command.page()


def test_every_setting_says_what_it_is_and_what_follows_where_it_is_wrong() -> None:
    """Without it an operator has to search the code."""
    assert sorted(settings_command.CONSEQUENCES) == sorted(Settings.model_fields)
    for row in settings_command.rows():
        assert len(row.about) > 20, row.name
        assert "|" not in row.about + row.wrong, row.name


def test_settings_print_no_value_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command documents; it is run in production beside real secrets."""
    monkeypatch.setenv("MAILROOM_DATABASE_URL", "postgresql://planted-secret")
    monkeypatch.setenv("MAILROOM_UNSUBSCRIBE_KEY", "planted-secret")

    for options in ([], ["--json"]):
        printed = CliRunner().invoke(settings_command.app, options)
        assert printed.exit_code == 0
        assert "MAILROOM_DATABASE_URL" in printed.output
        assert "planted-secret" not in printed.output
    assert len(json.loads(printed.output)) == len(Settings.model_fields)


def test_every_variable_of_the_code_is_on_the_page() -> None:
    """An undocumented variable cannot be used; those of drills and of our own child processes are not for operators."""
    ours = {
        "MAILROOM_WORKER",
        "MAILROOM_HOME",
        "MAILROOM_STACK_RUN",
        "MAILROOM_CRASH_DRILL",
        "MAILROOM_PORT_",
        "MAILROOM_",
    }
    page = settings_command.page()
    files = [
        path for name in ("mailroom", "flows", "tasks", "blocks", "deployments") for path in (ROOT / name).rglob("*.py")
    ]
    found = {name for path in files for name in re.findall(r"MAILROOM_[A-Z_]*", path.read_text())}

    assert {name for name in found - ours if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    """A page that was renamed leaves its old name behind in other pages."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in set(anchors(file.read_text())), target


def anchors(text: str) -> Iterator[str]:
    """Yield the anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_glossary_has_each_term_once_and_in_order() -> None:
    """A reader looks a word up; two lines for one would come to disagree."""
    for table in (ROOT / "docs" / "glossary.md").read_text().split("\n## "):
        terms = re.findall(r"^\| (?!term |English |-)([^|]+) \|", table, re.MULTILINE)

        assert len(terms) > 20, table[:40]
        assert terms == sorted(set(terms), key=str.lower)


def test_the_licence_reserves_all_rights_and_is_in_the_wheel() -> None:
    """Without a licence, readers do not know what they may do with the code."""
    assert PROJECT["license"] == "LicenseRef-Proprietary"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert "All rights reserved" in (ROOT / "LICENSE").read_text()


def test_the_changelog_names_the_version_with_its_date() -> None:
    """What is printed by `--version` is looked up there."""
    heading = rf"^## {re.escape(PROJECT['version'])} \(\d{{4}}-\d{{2}}-\d{{2}}\)$"

    assert re.search(heading, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "commit.gpgsign=false")
    ran = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return ran.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of one file."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    return tmp_path


def test_a_checkout_says_its_commit_and_whether_it_was_changed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of a fault names the code that ran; tags, new files and the variables of a git hook change nothing."""
    head = git(checkout, "rev-parse", "HEAD")[:12]
    git(checkout, "tag", "v9", "--annotate", "--message", "nine")
    (checkout / "new").touch()
    monkeypatch.setenv("GIT_DIR", "/nowhere")

    assert commit_of(checkout) == head
    (checkout / "code.py").write_text("2\n")
    assert commit_of(checkout) == f"{head}+dirty"


def test_what_is_no_checkout_has_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel in an environment inside somebody's repository is not of that commit, and a machine may have no git."""
    (checkout / "site-packages").mkdir()
    assert commit_of(checkout / "site-packages") is None
    assert commit_of(checkout / "missing") is None

    monkeypatch.setenv("PATH", "")
    assert commit_of(checkout) is None
    assert version() == f"{PROJECT['version']} (commit unknown)"


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    """A new repository must not fail."""
    git(tmp_path, "init", "--quiet")

    assert commit_of(tmp_path) is None


def test_the_command_prints_version_and_commit() -> None:
    """One line that can be pasted into a report."""
    printed = CliRunner().invoke(app, ["--version"])

    assert printed.exit_code == 0
    assert re.fullmatch(
        rf"mailroom {re.escape(PROJECT['version'])} \(commit (unknown|[0-9a-f]{{12}}(\+dirty)?)\)\n", printed.output
    )


def test_a_wheel_gets_the_commit_that_it_is_built_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image has no git and no checkout."""
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    apply_configuration(distribution, ROOT / "pyproject.toml", ignore_option_errors=False)
    distribution.packages = ["mailroom.cli"]
    distribution.package_data = {}
    build: Any = distribution.get_command_obj("build_py")
    build.build_lib = str(tmp_path)
    build.ensure_finalized()

    build.run()

    assert (tmp_path / "mailroom" / "cli" / "commit.txt").read_text() == f"{commit_of(ROOT) or 'unknown'}\n"
