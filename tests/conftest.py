"""What all tests share: where real data lies, and repeatable hypothesis runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

REPO = Path(__file__).parents[1]
DATA = REPO.parent / "shared" / "data"

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of one folder in one worker: each environment is compiled once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.split("::")[0].rpartition("/")[0]

    return ByFolder(config, log)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data sets; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"public data are not at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Run a fresh interpreter in the repository, with more environment variables; return stdout."""

    def run(*args: str, **env: str) -> str:
        done = subprocess.run(
            [sys.executable, *args],
            capture_output=True,
            text=True,
            cwd=REPO,
            env=os.environ | env,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
