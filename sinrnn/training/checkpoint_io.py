"""Checkpoints: atomic writes with a checksum, and reads that run no code.

A checkpoint is the output of torch.save followed by its SHA-256. torch.load reads it as usual;
`read` also detects every flipped bit.
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

# Keys with which Lightning's hyperparameters name code to import and call.
CODE_KEYS = ("_instantiator", "_class_path", "class_path")

Content = dict[str, Any]


class CorruptCheckpointError(ValueError):
    """A file is not a complete, unchanged checkpoint."""


def pack(content: Content) -> bytes:
    """Return the bytes of a checkpoint file."""
    file = io.BytesIO()
    torch.save(content, file)
    file.write(MARK + hashlib.sha256(file.getvalue()).digest())
    return file.getvalue()


def read(path: Any, device: Any = "cpu", *, checked: bool = True) -> Content:
    """Read a checkpoint from a local file, without running code or importing anything.

    Args:
        path: The path, or a binary file object.
        device: The device of the tensors.
        checked: Require a checksum. Files of a Trainer without `AtomicCheckpointIO` have none.

    Raises:
        ValueError: The path is a URL.
        CorruptCheckpointError: The file is incomplete, was changed, or holds anything but finite
            weights and plain values.
        OSError: The file does not exist or cannot be read.
    """
    data = path.read() if hasattr(path, "read") else local(path).read_bytes()
    content, trailer = data[:-TRAILER], data[-TRAILER:]
    if not trailer.startswith(MARK):
        if checked:
            raise CorruptCheckpointError(
                f"{path} is not a complete sinrnn checkpoint: its checksum is missing"
            )
        content = data
    elif trailer[len(MARK) :] != hashlib.sha256(content).digest():
        raise CorruptCheckpointError(
            f"{path} is not a complete sinrnn checkpoint: its checksum does not match"
        )
    try:
        files = zipfile.ZipFile(io.BytesIO(content)).infolist()
        if any(file.compress_type != zipfile.ZIP_STORED for file in files):
            raise ValueError("it is compressed, which torch.save never does")
        if sum(file.file_size for file in files) > len(content):
            raise ValueError("its records overlap")
        checkpoint: Any = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
            raise ValueError("it has no state_dict")
        if name := _not_finite(checkpoint["state_dict"]):
            raise ValueError(f"its {name} is not finite")
        _check_plain(checkpoint.get("hyper_parameters", {}))
        _check_plain(checkpoint.get("datamodule_hyper_parameters", {}))
    except Exception as error:  # torch raises nine types for corrupt files
        reason = str(error).split(".")[0].split("\n")[0] or type(error).__name__
        raise CorruptCheckpointError(f"{path} is not a sinrnn checkpoint: {reason}") from error
    return checkpoint


def load_model(
    cls: Any, path: Any, device: Any, strict: bool | None, arguments: Content, hparams: Any = None
) -> Any:
    """Load a LightningModule from a checkpoint as Lightning does, but without code from the file.

    Args:
        cls: The class of the module. A subclass may have fewer arguments than its bases stored.
        path: The path, or a binary file object.
        device: The device of the module.
        strict: Require that the state_dict matches the module. None uses its `strict_loading`.
        arguments: Constructor arguments that replace the stored ones.
        hparams: A .yaml or .csv file that replaces the stored hyperparameters, or None.

    Raises:
        TypeError: The constructor has no such argument.
        CorruptCheckpointError: The file is incomplete, was changed, or is of another class.
        OSError: The file does not exist or cannot be read.
    """
    checkpoint = read(path, device, checked=False)
    own = inspect.signature(cls).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in own.values())
    for name in arguments:
        if not (takes_all or name in own):
            raise TypeError(f"{cls.__name__} has no argument {name!r}")
    try:
        stored = checkpoint.get("hyper_parameters", {}) if hparams is None else _hparams(hparams)
        single = checkpoint.get("hparams_name")  # the argument that takes all hyperparameters
        if single in own:
            stored = {single: stored}
        inits = [base.__init__ for base in cls.__mro__]
        known = {name for init in inits for name in inspect.signature(init).parameters}
        if not takes_all and (unknown := set(stored) - known):
            raise ValueError(f"it has no argument {', '.join(sorted(map(str, unknown)))}")
        given = {name: stored[name] for name in stored if takes_all or name in own} | arguments
        model = cls(**given)
        model.configure_model()
        model.on_load_checkpoint(checkpoint)
        weights = checkpoint["state_dict"]
        model.load_state_dict(weights, strict=model.strict_loading if strict is None else strict)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CorruptCheckpointError(
            f"{path} is not a checkpoint of {cls.__name__}: {reason}"
        ) from error
    tensors = (weight for weight in weights.values() if isinstance(weight, Tensor))
    return model.to(next(tensors, torch.empty(0)).device)


def _hparams(path: Any) -> Content:
    """Read hyperparameters from a file written by one of Lightning's loggers."""
    csv = local(path).suffix.lower() == ".csv"
    hparams: Content = (load_hparams_from_tags_csv if csv else load_hparams_from_yaml)(path)
    _check_plain(hparams)
    return dict(hparams)


def refuse_infinite(weights: Content) -> None:
    """Check weights before they are saved.

    Raises:
        FloatingPointError: A weight is infinite or NaN.
    """
    if name := _not_finite(weights):
        raise FloatingPointError(
            f"{name} is not finite and is not saved: lower the learning rate (model.optimizer.lr)"
        )


def _not_finite(weights: Content) -> str:
    """Return the name of the first weight that is not finite, or ""."""
    tensors = ((name, weight) for name, weight in weights.items() if isinstance(weight, Tensor))
    bad = (name.rpartition(".")[2] for name, weight in tensors if not weight.isfinite().all())
    return next(bad, "")


def _check_plain(value: Any) -> None:
    """Check that hyperparameters are numbers, text, lists and dicts, and name no code."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in CODE_KEYS:
                raise ValueError(f"its hyperparameters hold a {key}, which names code")
            _check_plain(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_plain(each)
    elif not (value is None or isinstance(value, int | float | str)):
        raise ValueError(f"its hyperparameters hold a {type(value).__name__}")


class AtomicCheckpointIO(CheckpointIO):
    """The Trainer's plugin that writes, reads and removes all checkpoints.

    A callback may take the path of a file to remove from a checkpoint, which can name any file.
    Therefore only files that this object has written are removed.
    """

    def __init__(self) -> None:
        self.written: set[Path] = set()

    def save_checkpoint(
        self, checkpoint: Content, path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint atomically and durably.

        Raises:
            FloatingPointError: A weight is infinite or NaN.
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
        """Read a checkpoint. `weights_only` is ignored: no code is ever run."""
        return read(path, map_location or "cpu")

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint if this object has written it."""
        path = Path(path).resolve()
        if path in self.written:
            self.written.remove(path)
            path.unlink(missing_ok=True)
