"""Build a cohort from files or arrays that others made, all of it checked before any is written.

    ecg         [N, 12, 5000], [N, 1, 12, 5000] or a list of such records    mV, floating
    cmr         [N, 3, 210, 210] or a list of such images                    [0, 1], or uint8 0..255
    labels      [N, 3], or name -> [N] for some of LABELS                    0 | 1 | NaN
    phenotypes  [N, 61]                                                      units of PHENOTYPES
    label mask  [N, 3] for the labels or [N, 61] for the phenotypes          1 = observed, else NaN
    subjects    [N]                                                          default 0 .. N - 1

Glossary: N subjects, source = an array, a tensor or a list of them.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from reference.cohort.checking import chunks, content_faults
from reference.cohort.format import IMAGE_SHAPE, LABELS, LAYOUTS, PHENOTYPES, require_new, store
from reference.cohort.writing import create, finish, open_for_writing


class Rows:
    """A source seen as [N, *shape]: sliced, it gives a NumPy array, and only then reads memory.

    Args:
        name: what to call it in errors.
        source: an array, a tensor or a list of them, one a subject.
        shape: of one subject.
    Raises:
        ValueError: another kind of source, no subject, rows of another shape or of several dtypes.
    """

    def __init__(self, name: str, source: Any, shape: tuple[int, ...]):
        self.source, self.shape = source, shape
        if not (isinstance(source, (np.ndarray, list, tuple)) or _is_tensor(source)):
            raise ValueError(f"{name} must be an array, a tensor or a list of them, got "
                             f"{type(source).__name__}")
        is_list = isinstance(source, (list, tuple))
        if not is_list and source.ndim < 1:
            raise ValueError(f"{name} must be [N, {', '.join(map(str, shape))}], got one number")
        records = source if is_list else source[:1]
        if len(records) == 0:
            raise ValueError(f"{name} must hold at least one subject, got none")
        for row, record in enumerate(records):
            _check_record(f"{name} of row {row}", record, shape)
        kinds = {str(_numpy(record[..., :0]).dtype) for record in records}
        if len(kinds) > 1:
            raise ValueError(f"{name} must have one dtype, got {', '.join(sorted(kinds))}")
        self.dtype = np.dtype(kinds.pop())

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: slice) -> np.ndarray:
        part = self.source[rows]
        if isinstance(part, (list, tuple)):
            return np.stack([_numpy(record).reshape(self.shape) for record in part])
        return _numpy(part).reshape(len(part), *self.shape)


def read_tensor_file(path: str | os.PathLike) -> Any:
    """Contents of a .pt, .pth, .npy or .npz file, without ever executing what it holds.

    Args:
        path: the file.
    Returns:
        What the file holds (tensor, array, list, mapping); an .npz gives a dict. Tensors and .npy
        arrays stay on disk until they are read.
    Raises:
        ValueError: no such file, unknown suffix, unreadable, or a file that would execute code.
    """
    path = Path(path)
    if path.suffix not in (".pt", ".pth", ".npy", ".npz"):
        raise ValueError(f"{path}: suffix must be .pt, .pth, .npy or .npz, got {path.suffix!r}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix in (".pt", ".pth"):
            return _torch_load(path)
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: refused, it holds more than tensors, lists and numbers and "
                         "would execute code to load; save it again as plain tensors") from error
    except (ValueError, OSError, EOFError, RuntimeError, BadZipFile, AttributeError,
            TypeError) as error:
        raise ValueError(f"{path}: not readable ({_first_line(error)})") from error


def import_files(directory: str | os.PathLike, *, ecg: str | os.PathLike, cmr: str | os.PathLike,
                 labels: str | os.PathLike | Mapping[str, str | os.PathLike] | None = None,
                 phenotypes: str | os.PathLike | None = None,
                 label_mask: str | os.PathLike | None = None,
                 subjects: str | os.PathLike | None = None, ecg_dtype: str = "float32",
                 cmr_dtype: str | None = None) -> dict:
    """Build a cohort from .pt, .npy or .npz files.

    Args:
        directory: new or empty directory.
        ecg, cmr, phenotypes, label_mask, subjects: paths; an .npz (or a mapping in a .pt) holds the
            array under that very name or alone.
        labels: a path, whose mapping may also name the columns (CAD, AF, DM); or name -> path of
            one column each.
        ecg_dtype, cmr_dtype: as `import_arrays`.
    Returns:
        The manifest.
    Raises:
        ValueError: a file that cannot be read, or anything `import_arrays` refuses.
    Source: authors' code (lists of tensors saved with torch.save).
    """
    require_new(directory)
    paths = {"ecg": ecg, "cmr": cmr, "phenotypes": phenotypes, "label_mask": label_mask,
             "subjects": subjects}
    arrays = {name: None if path is None else _pick(name, path) for name, path in paths.items()}
    if isinstance(labels, Mapping):
        arrays["labels"] = {name: _pick(name, path) for name, path in labels.items()}
    elif labels is not None:
        arrays["labels"] = _pick("labels", labels)
    return import_arrays(directory, **arrays, ecg_dtype=ecg_dtype, cmr_dtype=cmr_dtype)


def import_arrays(directory: str | os.PathLike, *, ecg: Any, cmr: Any, phenotypes: Any = None,
                  labels: Any = None, label_mask: Any = None, subjects: Any = None,
                  segmentation: Any = None, ecg_dtype: str = "float32",
                  cmr_dtype: str | None = None) -> dict:
    """Build a cohort from arrays, tensors or lists of them.

    Args:
        directory: new or empty directory.
        ecg, cmr, phenotypes, labels, label_mask, subjects: as in the table above.
        segmentation: [N, 3, 210, 210] uint8, or None.
        ecg_dtype: "float32" or "float16".
        cmr_dtype: "float32", "float16" or "uint8"; None keeps uint8 images and stores float32 else.
    Returns:
        The manifest.
    Raises:
        ValueError: counts, shapes, dtypes, ranges or units that do not fit, every such fault in the
            contents at once; nothing has been written then.
    """
    require_new(directory)
    arrays: dict[str, Any] = {"ecg": Rows("ecg", ecg, LAYOUTS["ecg"].shape),
                              "cmr": Rows("cmr", cmr, IMAGE_SHAPE)}
    count = len(arrays["ecg"])
    if segmentation is not None:
        arrays["segmentation"] = Rows("segmentation", segmentation, IMAGE_SHAPE)
    arrays["phenotypes"] = _table("phenotypes", phenotypes, count, len(PHENOTYPES))
    arrays["labels"] = _table("labels", _joined(labels, count), count, len(LABELS))
    arrays["subjects"] = _subject_numbers(subjects, count)
    _apply_mask(label_mask, arrays, {"labels": labels, "phenotypes": phenotypes}, count)
    _check_arrays(arrays, count)
    if cmr_dtype is None:
        cmr_dtype = "uint8" if arrays["cmr"].dtype == np.uint8 else "float32"
    create(directory, count, ecg_dtype=ecg_dtype, cmr_dtype=cmr_dtype,
           segmentation=segmentation is not None)
    _write(open_for_writing(directory), arrays)
    return finish(directory)


def _write(files: Mapping[str, np.ndarray], arrays: dict[str, Any]) -> None:
    """Copy chunk by chunk, converting to the storage dtype."""
    for name, file in files.items():
        for start, part in chunks(arrays[name]):
            if name == "cmr" and part.dtype == np.uint8 and file.dtype != np.uint8:
                part = part / np.float32(255)
            if name in ("ecg", "cmr") and part.dtype != file.dtype:
                part = store(part, str(file.dtype))
            file[start:start + len(part)] = part


def _check_arrays(arrays: dict[str, Any], count: int) -> None:
    """Counts and dtypes first, then every value."""
    for name, array in arrays.items():
        if len(array) != count:
            raise ValueError(f"{name} has {len(array)} subjects, but ecg has {count}")
    ecg, cmr = arrays["ecg"].dtype, arrays["cmr"].dtype
    if ecg.kind != "f":
        raise ValueError(f"ecg must be floating, in mV, got {ecg} (perhaps raw counts)")
    if cmr.kind != "f" and cmr != np.uint8:
        raise ValueError(f"cmr must be floating in [0, 1] or uint8, got {cmr}")
    if "segmentation" in arrays and arrays["segmentation"].dtype != np.uint8:
        raise ValueError(f"segmentation must be uint8, got {arrays['segmentation'].dtype}")
    faults = [fault for name, array in arrays.items()
              for fault in content_faults(name, array, name)]
    if faults:
        raise ValueError("nothing was written: " + "; ".join(faults))


def _check_record(title: str, record: Any, shape: tuple[int, ...]) -> None:
    """One row has the shape, a leading channel of 1 allowed for ECGs."""
    if not (isinstance(record, np.ndarray) or _is_tensor(record)):
        raise ValueError(f"{title} must be an array or a tensor, got {type(record).__name__}")
    got = tuple(record.shape)
    if got != shape and not (len(shape) == 2 and got == (1, *shape)):
        raise ValueError(f"{title} has shape {list(got)}, but should have {list(shape)}")


def _table(name: str, value: Any, count: int, columns: int) -> np.ndarray:
    """[N, columns] float64; all NaN where there is nothing."""
    if value is None:
        return np.full((count, columns), np.nan)
    table = _plain(name, value)
    if table.shape != (count, columns):
        raise ValueError(f"{name} has shape {list(table.shape)}, but should have "
                         f"{[count, columns]}")
    return table.astype(np.float64)


def _joined(labels: Any, count: int) -> Any:
    """Columns given by name as one table; those not given are missing."""
    if not isinstance(labels, Mapping):
        return labels
    unknown = sorted(set(labels) - set(LABELS))
    if unknown:
        raise ValueError(f"labels must be among {', '.join(LABELS)}, got {', '.join(unknown)}")
    table = np.full((count, len(LABELS)), np.nan)
    for name, value in labels.items():
        column = _plain(f"labels {name}", value)
        if column.size != count:
            raise ValueError(f"labels {name} has shape {list(column.shape)}, but should have "
                             f"{[count]}")
        table[:, LABELS.index(name)] = column.reshape(count)
    return table


def _subject_numbers(subjects: Any, count: int) -> np.ndarray:
    if subjects is None:
        return np.arange(count, dtype=np.int64)
    numbers = _plain("subjects", subjects)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"subjects must be one-dimensional whole numbers, got {numbers.dtype} "
                         f"of shape {list(numbers.shape)}")
    return numbers.astype(np.int64)


def _apply_mask(mask: Any, arrays: dict[str, Any], given: dict[str, Any], count: int) -> None:
    """Set to NaN what the mask calls not observed; its width says which table it belongs to."""
    if mask is None:
        return
    mask = _plain("label_mask", mask)
    widths = {(count, arrays[name].shape[1]): name for name in ("labels", "phenotypes")}
    if mask.shape not in widths:
        raise ValueError(f"label_mask has shape {list(mask.shape)}, but should have "
                         + " or ".join(str(list(shape)) for shape in widths))
    if not np.isin(mask, (0, 1)).all():
        raise ValueError("label_mask must hold 0 (missing) and 1 (observed) only")
    name = widths[mask.shape]
    if given[name] is None:
        raise ValueError(f"label_mask of shape {list(mask.shape)} belongs to {name}, which were "
                         "not given")
    arrays[name][mask == 0] = np.nan


def _pick(name: str, path: str | os.PathLike) -> Any:
    """The one array meant in a file that may hold several."""
    contents = read_tensor_file(path)
    if not isinstance(contents, Mapping) or (name == "labels" and set(contents) <= set(LABELS)):
        return contents
    if name in contents:
        return contents[name]
    if len(contents) == 1:
        return next(iter(contents.values()))
    raise ValueError(f"{path}: must hold one array or one named {name!r}, got "
                     + ", ".join(map(str, contents)))


def _plain(name: str, value: Any) -> np.ndarray:
    """A small table as a NumPy array, from an array, a tensor or (nested) lists."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = [_numpy(row) for row in value]
    try:
        array = np.array(_numpy(value))
    except ValueError as error:
        raise ValueError(f"{name} must be a table of numbers with rows of one length") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    return array


def _is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor; there is none while torch is not loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _numpy(value: Any) -> Any:
    if not _is_tensor(value):
        return value
    value = value.detach().cpu()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()


def _torch_load(path: Path) -> Any:
    import torch  # not at the top: the generator's workers import this file

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # written before the zip format, which alone can be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
