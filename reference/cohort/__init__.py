"""Data on disk, for whoever brings or reads a cohort of paired ECG and CMR.

    format      names, shapes, units and splits: the constants that everything else takes from here
    reading     a finished cohort, opened lazily         writing     empty arrays, rows, manifest
    checking    every fault of a cohort in words         importing   a cohort from others' files
    record      one 12-lead record of any source         files       large arrays on disk

May be changed with care: a cohort written once must stay readable. Imports NumPy and the standard
library, never the method, and torch only to read its files (the generator's workers load this).
"""

from reference.cohort.checking import check
from reference.cohort.format import (
    DRAFT,
    IMAGE_SHAPE,
    LABELS,
    LAYOUTS,
    LEADS,
    MANIFEST,
    MAX_MILLIVOLT,
    PHENOTYPES,
    PIXEL_MM,
    SAMPLES,
    SAMPLING_RATE,
    SCHEMA_VERSION,
    SPLITS,
    Phenotype,
    require_new,
    sha256,
    split_of,
    split_rows,
    store,
)
from reference.cohort.importing import import_arrays, import_files, read_tensor_file
from reference.cohort.reading import Cohort, load
from reference.cohort.writing import create, finish, open_for_writing

__all__ = ["DRAFT", "IMAGE_SHAPE", "LABELS", "LAYOUTS", "LEADS", "MANIFEST", "MAX_MILLIVOLT",
           "PHENOTYPES", "PIXEL_MM", "SAMPLES", "SAMPLING_RATE", "SCHEMA_VERSION", "SPLITS",
           "Cohort", "Phenotype", "check", "create", "finish", "import_arrays", "import_files",
           "load", "open_for_writing", "read_tensor_file", "require_new", "sha256", "split_of",
           "split_rows", "store"]
