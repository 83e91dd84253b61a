"""The format of the golden vectors, and the program that writes them."""

import json
import math

import numpy as np
import pytest
import torch

from reference.conformance.vectors import (
    GIVEN,
    Case,
    compare,
    formula_tensor,
    level_of,
    read_case,
    read_cases,
    representable,
    write_case,
)
from tests.oracle import drafts


def small_case(name="small", **tensors) -> Case:
    """A case with one tensor of every kind, or with those given on top."""
    tensors = {"in/x": np.arange(6.0).reshape(2, 3), "in/index": np.array([2, 0]),
               "noise/u": np.array([0.25, 0.5]), "param/w": np.array([[1.5]]),
               "mid/h": np.array([True, False]), "out/y": np.array([0.1, 1e-300]),
               "loss/total": np.array(0.3), "grad/x": np.full((2, 3), 0.7),
               "step/w": np.array([[1.4]]), **tensors}
    return Case(name, "component", {"size": [2, 3], "rate": 0.1}, tensors,
                {key: {} for key in tensors})


def stored(directory, case: Case) -> Case:
    write_case(directory, case, seed=5, command="make it")
    return read_case(directory / case.name)


# ---- writing and reading ----

def test_a_case_comes_back_as_it_went(tmp_path):
    case = small_case()
    back = stored(tmp_path, case)
    assert back[:3] == case[:3]
    assert list(back.tensors) == list(case.tensors)
    for name, value in case.tensors.items():
        assert back.tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(back.tensors[name], value)
        assert back.entries[name] == {"shape": list(value.shape), "dtype": str(value.dtype)}


def test_directories_are_made(tmp_path):
    assert stored(tmp_path / "new" / "golden", small_case()).name == "small"


def test_the_manifest_says_how_to_make_it_again(tmp_path):
    stored(tmp_path, small_case())
    manifest = json.loads((tmp_path / "small" / "manifest.json").read_text())
    assert list(manifest) == ["case", "component", "version", "seed", "command", "config",
                              "tensors"]
    assert (manifest["version"], manifest["seed"], manifest["command"]) == ("1.0", 5, "make it")
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == [
        "manifest.json", "vectors.npz"]


def test_float32_results_are_stored_as_float64(tmp_path):
    back = stored(tmp_path, small_case(**{"out/y": np.array([0.5], dtype=np.float32)}))
    assert back.entries["out/y"]["dtype"] == "float64"
    assert back.tensors["out/y"].dtype == np.float64


def test_writing_again_replaces(tmp_path):
    stored(tmp_path, small_case())
    assert stored(tmp_path, small_case(**{"out/y": np.array([7.0])})).tensors["out/y"] == 7.0


@pytest.mark.parametrize("name, value, message", [
    ("out/y", [np.nan], "small out/y holds a NaN or an infinity"),
    ("in/x", [np.inf], "small in/x holds a NaN or an infinity"),
    ("grad/x", [-np.inf], "small grad/x holds a NaN or an infinity"),
    ("in/x", [0.1], "small in/x holds values that float32 cannot"),
    ("noise/u", [1e-60], "small noise/u holds values that float32 cannot"),
    ("param/w", [1 + 2.0**-30], "small param/w holds values that float32 cannot"),
    ("output/y", [1.0], "name must begin with one of .* got 'output/y'")])
def test_what_no_port_could_meet_is_refused(tmp_path, name, value, message):
    with pytest.raises(ValueError, match=message):
        stored(tmp_path, small_case(**{name: np.array(value)}))
    assert not (tmp_path / "small").exists()


def test_formulas_and_samples(tmp_path):
    whole = np.arange(20.0).reshape(4, 5)
    formula = drafts.Formula((2, 3), seed=9, scale=0.5, shift=1.0)
    case = drafts.finished("made", drafts.Draft("c", {}, {"in/x": formula}, {"out/y": whole},
                                                every={"out/y": 7}))
    back = stored(tmp_path, case)
    assert "in/x" not in back.tensors
    np.testing.assert_array_equal(back.given("in")["x"], formula_tensor((2, 3), 9, 0.5, 1.0))
    assert back.entries["out/y"] == {"shape": [4, 5], "dtype": "float64", "every": 7}
    assert back.tensors["out/y"].tolist() == [0.0, 7.0, 14.0]


def put_object(folder):
    """Replace an array by one that only a pickle holds."""
    kept = read_case(folder).tensors
    np.savez(folder / "vectors.npz", **{**kept, "in/x": np.array([{}], dtype=object)})


def break_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "manifest.json").unlink(),
    lambda folder: (folder / "vectors.npz").unlink(),
    lambda folder: (folder / "manifest.json").write_text("{"),
    lambda folder: (folder / "manifest.json").write_text("[]"),
    lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"),
    lambda folder: (folder / "vectors.npz").write_bytes(b""),
    lambda folder: (folder / "vectors.npz").write_bytes(b"PK\3\4 no archive"),
    lambda folder: (folder / "vectors.npz").write_bytes(
        (folder / "vectors.npz").read_bytes()[:-40]),
    lambda folder: np.savez(folder / "vectors.npz", other=np.zeros(1)),
    put_object,
    lambda folder: break_manifest(folder, version="2.0"),
    lambda folder: break_manifest(folder, version=1),
    lambda folder: break_manifest(folder, tensors=None),
    lambda folder: break_manifest(folder, tensors={"in/absent": {"shape": [], "dtype": "int64"}}),
], ids=str)
def test_damaged_files_are_refused(tmp_path, damage):
    stored(tmp_path, small_case())
    damage(tmp_path / "small")
    with pytest.raises(ValueError, match="small is not a readable case"):
        read_case(tmp_path / "small")


def test_a_later_minor_version_is_read(tmp_path):
    stored(tmp_path, small_case())
    break_manifest(tmp_path / "small", version="1.9")
    assert read_case(tmp_path / "small").name == "small"


def test_cases_are_read_by_name_and_other_folders_left_alone(tmp_path):
    for name in ("b", "a10", "a2"):
        stored(tmp_path, small_case(name))
    (tmp_path / "other").mkdir()
    assert [case.name for case in read_cases(tmp_path)] == ["a10", "a2", "b"]
    with pytest.raises(ValueError, match="no golden vectors"):
        read_cases(tmp_path / "other")


# ---- views of a case ----

def test_given_arrays_by_kind_and_dtype():
    case = small_case()
    assert [list(case.given(kind)) for kind in GIVEN] == [["x", "index"], ["u"], ["w"]]
    assert case.given("in", "float32")["x"].dtype == np.float32
    assert case.given("in", "float32")["index"].dtype == np.int64
    with pytest.raises(ValueError, match=r"kind must be one of .* got 'out'"):
        case.given("out")


def test_names_may_hold_further_slashes(tmp_path):
    back = stored(tmp_path, small_case(**{"param/a/b": np.array([2.0]), "mid/a/b": np.ones(1)}))
    assert list(back.given("param")) == ["w", "a/b"]
    assert "mid/a/b" in back.expected("forward")


@pytest.mark.parametrize("level, names", [
    ("forward", ["mid/h", "out/y"]), ("loss", ["mid/h", "out/y", "loss/total"]),
    ("gradient", ["mid/h", "out/y", "loss/total", "grad/x"]),
    ("steps", ["mid/h", "out/y", "loss/total", "grad/x", "step/w"])])
def test_expected_results_by_level(level, names):
    assert list(small_case().expected(level)) == names
    assert level_of(names[-1]) == level


def test_unknown_levels_and_names_are_refused():
    with pytest.raises(ValueError, match=r"level must be one of .* got 'backward'"):
        small_case().expected("backward")
    with pytest.raises(ValueError, match="got 'in/x'"):
        level_of("in/x")


# ---- formulas ----

def splitmix64(count: int) -> int:
    """Output `count` of the generator that starts at 0, as published, in whole numbers."""
    z = (count + 1) * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def test_splitmix64_has_its_published_first_outputs():
    assert [splitmix64(i) for i in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4,
                                                 0x06C45D188009454F]


@pytest.mark.parametrize("seed, scale, shift", [(0, 1.0, 0.0), (7, 0.02, 0.0),
                                                (2**32 - 1, 3.0, -5.0)])
def test_formula_by_whole_numbers(seed, scale, shift):
    got = formula_tensor((2, 3, 5), seed, scale, shift)
    u = [(splitmix64(seed * 2**32 + i) >> 11) / 2**53 for i in range(30)]
    want = [np.float32(shift + scale * math.sqrt(12) * (x - 0.5)) for x in u]
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got.reshape(-1), np.array(want, dtype=np.float64))


def test_formula_has_its_mean_and_deviation():
    assert abs(formula_tensor((10_000,), 3, 2.0).mean()) < 0.06
    got = formula_tensor((10_000,), 3, 2.0, 1.0)
    assert abs(got.mean() - 1) < 0.06 and abs(got.std() - 2) < 0.04
    assert np.abs(got - 1).max() <= 2 * 3**0.5 * (1 + 1e-6)
    assert (representable(got) == got).all()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_formula_refuses_a_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=f"got {seed}"):
        formula_tensor((1,), seed, 1.0)


# ---- comparison ----

def check(got, want, dtype="float64", **entry):
    want = np.asarray(want)
    entry = {"shape": list(want.shape), "dtype": str(want.dtype), **entry}
    return compare("out/y", got, want, entry, dtype)


def test_equal_arrays_pass():
    found = check([1.0, 2.0], [1.0, 2.0])
    assert found == ("out/y", True, 0.0, 2e-10, (0,), "")


@pytest.mark.parametrize("dtype, rate", [("float64", 0.125), ("float32", 0.25)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_tolerance_is_a_share_of_the_largest_magnitude(dtype, rate, sign):
    tolerance, want = {"float64": 0.125, "float32": 0.25}, np.array([[0.0, -4.0], [1.0, 2.0]])
    got = want.copy()
    got[1, 0] += sign * rate * 4
    assert check(got, want, dtype, tolerance=tolerance).ok
    got[1, 0] += sign * 1e-9
    found = check(got, want, dtype, tolerance=tolerance)
    assert not found.ok and found.index == (1, 0) and found.allowed == rate * 4
    assert found.words.startswith(f"[1, 0] is {got[1, 0]:.9g}, should be 1; largest difference ")


def test_default_tolerances_and_those_of_one_dtype_alone():
    assert check([1.0], [1.0], "float32").allowed == 1e-5
    assert check([1.0], [1.0], "float64", tolerance={"float32": 0.5}).allowed == 1e-10


def test_against_zeros_the_tolerance_is_absolute():
    assert check([1e-10], [0.0]).ok
    assert not check([1.1e-10], [0.0]).ok


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_fails_even_with_any_tolerance(value):
    found = check([1.0, value], [1.0, 1.0], tolerance={"float64": 1e300})
    assert not found.ok and found.largest == np.inf and found.index == (1,)


@pytest.mark.parametrize("want, near", [([3, 4], [3.0, 4 + 1e-12 * 4]), ([True, False], [1, 1]),
                                        ([2**40, 1], [2**40 + 1, 1])])
def test_whole_numbers_and_truth_values_are_exact(want, near):
    assert check(np.array(want, dtype=float), want).ok
    found = check(near, want, tolerance={"float64": 1.0})
    assert not found.ok and found.allowed == 0.0


@pytest.mark.parametrize("shape", [(2,), (3, 1), (1, 3), (), (4,)])
def test_another_shape_fails(shape):
    found = check(np.zeros(shape), np.zeros(3))
    assert found == ("out/y", False, np.inf, 0.0, (), f"shape {list(shape)}, should be [3]")


@pytest.mark.parametrize("got", [None, "long" * 99, [[1.0], [1.0, 2.0]], np.array([1j]),
                                 torch.ones(3, requires_grad=True)], ids=lambda x: repr(x)[:20])
def test_what_is_no_array_of_numbers_fails(got):
    found = check(got, np.ones(3))
    assert found[:5] == ("out/y", False, np.inf, 0.0, ())
    assert found.words.startswith("not an array of real numbers: ") and len(found.words) <= 90


def test_samples_are_compared_at_their_places():
    full = np.arange(20.0).reshape(4, 5)
    entry = {"shape": [4, 5], "dtype": "float64", "every": 3}
    got = full.copy()
    got[0, 1] = 99.0  # not sampled
    assert compare("out/y", got, full.reshape(-1)[::3], entry, "float64").ok
    got[3, 0] += 0.5  # entry 15
    found = compare("out/y", got, full.reshape(-1)[::3], entry, "float64")
    assert not found.ok and found.index == (3, 0) and found.largest == 0.5


def test_numbers_and_empty_arrays():
    assert check(0.25, np.array(0.25)).index == ()
    assert check(0.5, np.array(0.25)).words.startswith("[] is 0.5, should be 0.25")
    assert check(np.zeros((0, 2)), np.zeros((0, 2))) == ("out/y", True, 0.0, 0.0, (), "")
    assert not check(np.zeros((2, 0)), np.zeros((0, 2))).ok


def test_tensors_and_lists_are_read():
    assert check(torch.tensor([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], "float32").ok
    with pytest.raises(ValueError, match=r"dtype must be one of .* got 'float16'"):
        check([1.0], [1.0], "float16")
