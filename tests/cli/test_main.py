import errno
import json
import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from charaforge.cli import main as module
from charaforge.cli.main import VERBS, load_verb, main
from charaforge.errors import DatasetError, NotMeasurableError


def use_verb(monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    """Put a verb with one option, --steps, in place of `generate`."""
    verb = types.SimpleNamespace(
        NAME="generate",
        HELP="",
        add_arguments=lambda parser: parser.add_argument("--steps", type=int),
        run=run,
    )
    monkeypatch.setattr(module, "load_verb", lambda name: verb)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_there_and_says_what_the_table_says(name: str) -> None:
    verb = load_verb(name)
    assert (name, VERBS[name]) == (verb.NAME, verb.HELP)


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["genrate", "--prompt", "x"]) == 2
    assert "did you mean 'generate'?" in capsys.readouterr().err


def test_unknown_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--knd=base"]) == 2
    assert "unknown argument '--knd'\n  did you mean '--kind'?" in capsys.readouterr().err


def test_no_verb_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert [name for name in VERBS if name not in shown] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatasetError("empty folder /x", "put pictures there"), 1),
        (NotMeasurableError("2 pictures"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise error

    use_verb(monkeypatch, run)
    assert main(["generate", "--steps", "3"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip() == ("stopped" if code == 130 else f"error: {error}")


def test_a_missing_library_is_told_with_the_install_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    use_verb(monkeypatch, run)
    assert main(["generate"]) == 2
    assert "'torch' is missing; run:  pip install -e '.[all]'" in capsys.readouterr().err


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    use_verb(monkeypatch, lambda args: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["generate"])


def test_models_list_as_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(os.environ["AI_CACHE_ROOT"]) / "models" / "sdxl" / "listed"
    model.mkdir(parents=True)
    (model / "model_index.json").write_text("{}")
    assert main(["models", "list", "--kind", "base"]) == 0
    table = capsys.readouterr().out
    assert re.search(rf"^listed +base +sdxl +{model}$", table, re.MULTILINE)
    assert main(["models", "list", "--kind", "base", "--json"]) == 0
    assert "listed" in [record["name"] for record in json.loads(capsys.readouterr().out)]


def test_models_list_of_an_unknown_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--kind", "bases"]) == 2
    assert "did you mean 'base'?" in capsys.readouterr().err


def test_unwritable_warehouse_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path / "file" / "x"))
    assert main(["models", "list"]) == 1
    assert "cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_command_as_ctrl_c_does(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned = []

    def run(args: object) -> int:
        try:
            signal.raise_signal(number)
            return 0
        finally:
            cleaned.append(True)

    before = signal.signal(number, signal.SIG_IGN)
    try:
        use_verb(monkeypatch, run)
        assert (main(["generate"]), cleaned) == (130, [True])
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.launch
def test_the_command_line_imports_nothing_heavy() -> None:
    verbs = "for name in module.VERBS: module.load_verb(name)"
    heavy = "{'torch', 'diffusers', 'transformers', 'onnxruntime', 'numpy', 'PIL', 'scipy', 'skia'}"
    code = (
        f"import sys\nfrom charaforge.cli import main as module\n{verbs}\nprint({heavy} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_a_full_or_forbidden_disk_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/0001.png")

    use_verb(monkeypatch, run)
    assert main(["generate"]) == 1
    assert capsys.readouterr().err.startswith("error: No space left on device: /full/0001.png\n  free some")
    assert main(["generate", "--steps", "1"]) == 1


def test_pictures_are_not_rendered_for_a_folder_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path))
    made = "charaforge.generation.generator.Generator.generate_many"
    monkeypatch.setattr(made, lambda *_: pytest.fail("rendered"))
    (tmp_path / "file").write_text("")
    assert main(["generate", "--prompt", "x", "--out", str(tmp_path / "file" / "pictures")]) == 1
    assert "error: Not a directory" in capsys.readouterr().err
