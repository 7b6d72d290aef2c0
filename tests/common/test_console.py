"""A mistake that the user can fix is one line on standard error; progress in a log is plain lines."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from common.console import Progress, positive
from tests.conftest import ROOT


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("raise UserError('the key x is wrong; write y')", 1, "error: the key x is wrong; write y\n"),
        ("open('/dev/null/file')", 1, "error: Not a directory: /dev/null/file\n"),
        ("raise OSError(28, 'No space left on device')", 1, "error: No space left on device\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_a_command_ends_with_one_line(fault: str, code: int, said: str) -> None:
    done = python(f"from common.console import UserError, run\ndef main():\n    {fault}\nrun(main)")
    assert (done.returncode, done.stderr) == (code, said)


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "from common.console import run\nrun(lambda: print('x' * 10**6))"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | head -c 1', shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("x", "")


def test_a_bug_keeps_its_traceback() -> None:
    assert "Traceback" in python("from common.console import run\nrun(lambda: 1 / 0)").stderr


def test_a_script_writes_all_it_says_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    code = (
        "import os\nfrom common.console import UserError, say, script\n"
        f"with script({str(log)!r}):\n    print('printed', flush=True); say('said'); os.system('echo child')\n"
        "    raise UserError('wrong')"
    )
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert log.read_text().splitlines() == ["printed", "said", "child", "error: wrong"]


@pytest.mark.parametrize("text", ["0", "-5", "1.5", "many", ""])
def test_a_number_below_one_is_refused(text: str) -> None:
    assert positive("12") == 12
    with pytest.raises(ArgumentTypeError, match="is not a whole number of at least 1"):
        positive(text)


def test_progress_in_a_log_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=3, label="train", every=3600) as progress:
        for _ in range(3):
            progress.advance(note="loss 0.31")
    assert capsys.readouterr().err == "train 3/3, 0:00:00 left, loss 0.31\n"


def test_progress_goes_on_when_its_terminal_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        gone = False

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if self.gone:
                raise OSError(errno.EIO, "Input/output error")
            return super().write(text)

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(total=2, label="train") as progress:
        progress.bar.mininterval = 0.0
        terminal.gone = True
        progress.advance()
    assert progress.done == 1
