"""Cards and reports name the code that made them, wherever it runs."""

import subprocess
from pathlib import Path

import pytest

from rfq import code_version as module
from rfq.code_version import code_version


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one file, which no checkout holds."""
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "one.py").write_text("first = 1\n")
    monkeypatch.delenv("SOTTO_CODE_VERSION", raising=False)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_what_the_environment_says_stands(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOTTO_CODE_VERSION", "v7")
    assert code_version() == "v7"


def test_without_a_checkout_it_is_a_digest_of_the_sources(sources: Path) -> None:
    before = code_version()
    assert before.startswith("sources ") and before == code_version()
    (sources / "ml" / "one.py").write_text("first = 2\n")
    assert code_version() != before


def test_a_checkout_is_described_by_git_and_somebody_elses_is_not(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ("git", "-C", str(sources), *author, *words), capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert code_version() == git("rev-parse", "--short", "HEAD")
    (sources / "ml" / "one.py").write_text("first = 2\n")
    assert code_version().endswith("-dirty")
    # Installed below a checkout that is not its own.
    monkeypatch.setattr(module, "ROOT", sources / "ml")
    assert code_version().startswith("sources ")
