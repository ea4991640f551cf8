"""Checkpoints that survive: written whole or not at all, read without running code.

A checkpoint is what torch.save writes, followed by its SHA-256: torch.load takes it as it is, and
`read` notices every flipped bit.
"""

import hashlib
import inspect
import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.core.saving import load_hparams_from_tags_csv, load_hparams_from_yaml
from torch import Tensor

from sinrnn.filesystem import local, write

MARK = b"sinrnn-sha256:"
TRAILER = len(MARK) + hashlib.sha256().digest_size

# Keys by which a file would name what is imported and called.
CODE_KEYS = ("_instantiator", "_class_path", "class_path")

Content = dict[str, Any]


class CorruptCheckpointError(ValueError):
    """A file is not a whole checkpoint."""


def pack(content: Content) -> bytes:
    """A checkpoint as the bytes of a file."""
    file = io.BytesIO()
    torch.save(content, file)
    file.write(MARK + hashlib.sha256(file.getvalue()).digest())
    return file.getvalue()


def read(path: Any, device: Any = "cpu", *, checked: bool = True) -> Content:
    """A checkpoint from a local file; runs no code and imports nothing.

    Args:
        path: The file, or an open binary one.
        device: Where its tensors go.
        checked: Whether a file without a checksum is refused; a Trainer without
            `AtomicCheckpointIO` writes such.

    Raises:
        ValueError: It is a URL.
        CorruptCheckpointError: The file is torn, was changed, or holds more than finite numbers
            and plain values.
        OSError: There is no such file, or it may not be read.
    """
    whole = path.read() if hasattr(path, "read") else local(path).read_bytes()
    content, trailer = whole[:-TRAILER], whole[-TRAILER:]
    if not trailer.startswith(MARK):
        if checked:
            raise CorruptCheckpointError(
                f"{path} is not a whole sinrnn checkpoint: its checksum is missing"
            )
        content = whole
    elif trailer[len(MARK) :] != hashlib.sha256(content).digest():
        raise CorruptCheckpointError(
            f"{path} is not a whole sinrnn checkpoint: its checksum does not fit"
        )
    try:
        files = zipfile.ZipFile(io.BytesIO(content)).infolist()
        if any(file.compress_type != zipfile.ZIP_STORED for file in files):
            raise ValueError("it is compressed, as torch.save writes none")
        if sum(file.file_size for file in files) > len(content):
            raise ValueError("its records overlap")
        found: Any = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
            raise ValueError("it has no state_dict")
        if name := _not_finite(found["state_dict"]):
            raise ValueError(f"its {name} is not finite")
        _plain(found.get("hyper_parameters", {}))
        _plain(found.get("datamodule_hyper_parameters", {}))
    except Exception as error:  # torch raises nine kinds
        reason = str(error).split(".")[0].split("\n")[0] or type(error).__name__
        raise CorruptCheckpointError(f"{path} is not a sinrnn checkpoint: {reason}") from error
    return found


def load_model(
    cls: Any, path: Any, device: Any, strict: bool | None, arguments: Content, hparams: Any = None
) -> Any:
    """A checkpoint's LightningModule, as Lightning makes it, but without code from the file.

    Args:
        cls: The module's class; a subclass may have fewer arguments than its bases have stored.
        path: The file, or an open binary one.
        device: Where its tensors, and the module, go.
        strict: Whether the state_dict must fit the module; None is as the module says.
        arguments: Take the place of the constructor's arguments that are stored.
        hparams: A .yaml or .csv file to read those from instead, or None.

    Raises:
        TypeError: The constructor has no such argument.
        ValueError: The file is torn, was changed, or is not this class's.
        OSError: There is no such file, or it may not be read.
    """
    found = read(path, device, checked=False)
    own = inspect.signature(cls).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in own.values())
    for name in arguments:
        if not (takes_all or name in own):
            raise TypeError(f"{cls.__name__} has no argument {name!r}")
    try:
        stored = found.get("hyper_parameters", {}) if hparams is None else _hparams(hparams)
        whole = found.get("hparams_name")
        if whole in own:
            stored = {whole: stored}
        inits = [base.__init__ for base in cls.__mro__]
        known = {name for init in inits for name in inspect.signature(init).parameters}
        if not takes_all and (unknown := set(stored) - known):
            raise ValueError(f"it has no argument {', '.join(sorted(map(str, unknown)))}")
        given = {name: stored[name] for name in stored if takes_all or name in own} | arguments
        model = cls(**given)
        model.configure_model()
        model.on_load_checkpoint(found)
        weights = found["state_dict"]
        model.load_state_dict(weights, strict=model.strict_loading if strict is None else strict)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CorruptCheckpointError(f"{path} is not a {cls.__name__}'s: {reason}") from error
    tensors = (weight for weight in weights.values() if isinstance(weight, Tensor))
    return model.to(next(tensors, torch.empty(0)).device)


def _hparams(path: Any) -> Content:
    """Hyper-parameters from a file that Lightning's loggers have written."""
    csv = local(path).suffix.lower() == ".csv"
    found: Content = (load_hparams_from_tags_csv if csv else load_hparams_from_yaml)(path)
    _plain(found)
    return dict(found)


def refuse_infinite(weights: Content) -> None:
    """Refuse to save weights that are not finite.

    Raises:
        FloatingPointError: One is not finite.
    """
    if name := _not_finite(weights):
        raise FloatingPointError(
            f"{name} is not finite, and not saved: lower the learning rate (model.optimizer.lr)"
        )


def _not_finite(weights: Content) -> str:
    """The name of the first that is not finite, or nothing."""
    tensors = ((name, weight) for name, weight in weights.items() if isinstance(weight, Tensor))
    bad = (name.rpartition(".")[2] for name, weight in tensors if not weight.isfinite().all())
    return next(bad, "")


def _plain(value: Any) -> None:
    """Let numbers and text pass, in lists and dicts, and nothing that names code."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in CODE_KEYS:
                raise ValueError(f"its hyper-parameters hold a {key}, which names code")
            _plain(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _plain(each)
    elif not (value is None or isinstance(value, int | float | str)):
        raise ValueError(f"its hyper-parameters hold a {type(value).__name__}")


class AtomicCheckpointIO(CheckpointIO):
    """How the Trainer writes, reads and removes checkpoints, its own callbacks' too.

    Callbacks take the paths of files to remove from checkpoints, which may name any file: only
    files that this object has written are removed.
    """

    def __init__(self) -> None:
        self.written: set[Path] = set()

    def save_checkpoint(
        self, checkpoint: Content, path: str | Path, storage_options: Any = None
    ) -> None:
        """Write, durably.

        Raises:
            FloatingPointError: A weight is not finite.
        """
        refuse_infinite(checkpoint["state_dict"])
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write(path, pack(checkpoint))
        self.written.add(Path(path).resolve())

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = None,
        weights_only: bool | None = None,
    ) -> Content:
        """Read; plain values alone, whatever `weights_only` says."""
        return read(path, map_location or "cpu")

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file that is no longer wanted, if it was written here."""
        path = Path(path).resolve()
        if path in self.written:
            self.written.remove(path)
            path.unlink(missing_ok=True)
