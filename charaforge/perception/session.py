"""Opens ONNX models: one place for providers, threads and the error a broken file gives."""

from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.errors import ModelFileError

if TYPE_CHECKING:
    import onnxruntime as ort


def only_model(folder: Path) -> Path:
    """Return the ONNX file of a model: ``model.onnx``, or the only one in its folder, or the path itself.

    Raises:
        ModelFileError: there are several, or none.
    """
    if folder.is_file() or (folder / "model.onnx").is_file():
        return folder if folder.is_file() else folder / "model.onnx"
    files = sorted(folder.glob("*.onnx"))
    if len(files) != 1:
        raise ModelFileError(
            f"{folder} holds {len(files)} ONNX files", "call the one that is meant model.onnx"
        )
    return files[0]


def open_session(path: Path) -> "ort.InferenceSession":
    """Open an ONNX model on CUDA where onnxruntime offers it, else on the CPU.

    Threads wait without spinning, so that a training on the same cores is not slowed down.

    Args:
        path: The ``.onnx`` file.

    Raises:
        ModelFileError: the file is missing or is no ONNX model.
    """
    import onnxruntime as ort

    if not path.is_file():
        raise ModelFileError(f"{path} does not exist", f"put the model's {path.name} into {path.parent}")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    offered = ort.get_available_providers()
    providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in offered]
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own classes, one per kind of damage
        raise ModelFileError(f"{path} cannot be opened: {error}", "fetch it again") from error
