"""θ_g: arrays to one vector and back; what is no model is named."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import ModelError
from bcfl.core.model import ModelSpec, decode_model, encode_model, model_digest
from tests.core.models import FLOATS, INTEGERS, Model, equal, models

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

# --- One vector --------------------------------------------------------------------------


def test_what_is_not_shared_keeps_its_first_value() -> None:
    model = {"body.w": np.ones((2, 3)), "body.b": np.ones(3), "head.w": np.full(2, np.nan)}
    spec = ModelSpec.of(model, shared=("body.*",))
    assert spec.n == len(spec.flatten(model)) == 9
    assert np.isnan(spec.unflatten(np.zeros(9), model)["head.w"]).all()
    assert np.isnan(spec.conform({**model, "head.w": np.zeros(2)}, model)["head.w"]).all()
    with pytest.raises(ModelError, match=r"shared=\['tail'\] matches no array.*body.w, body.b"):
        ModelSpec.of(model, shared=("tail",))


@given(models([*FLOATS, *INTEGERS, "bool"]))
def test_unflatten_inverts_flatten(model: Model) -> None:
    spec = ModelSpec.of(model, "keep")
    vector = spec.flatten(model)
    assert vector.shape == (spec.n,)
    assert vector.dtype == spec.dtype
    assert equal(spec.unflatten(vector, model), model)


@given(models())
def test_the_vector_is_the_arrays_in_their_order(model: Model) -> None:
    vector = ModelSpec.of(model).flatten(model)
    expected = [float(entry) for array in model.values() for entry in array.ravel(order="C")]
    assert vector.tolist() == expected


@given(models(), st.data())
def test_a_vector_can_be_written_to_without_touching_what_went_in(
    model: Model, data: st.DataObject
) -> None:
    spec = ModelSpec.of(model)
    before = {key: array.tobytes() for key, array in model.items()}
    vector = spec.flatten(model)
    vector += 1
    assert {key: array.tobytes() for key, array in model.items()} == before


def test_the_widest_float_holds_them_all() -> None:
    model = {"a": np.ones(2, np.float16), "b": np.ones(2, np.float32)}
    assert ModelSpec.of(model).dtype == np.float32
    model["c"] = np.array(1.0)
    assert ModelSpec.of(model).dtype == np.float64
    assert ModelSpec.of(model).size_bytes == 4 + 8 + 8


def test_a_value_beyond_a_narrower_array_becomes_infinite_and_is_refused_next_time() -> None:
    model = {"narrow": np.ones(1, np.float16), "wide": np.ones(1, np.float32)}
    spec = ModelSpec.of(model)
    arrays = spec.unflatten(np.array([70000, 70000], np.float32), model)
    assert arrays["narrow"][0] == np.inf
    with pytest.raises(ModelError, match="entry 0 of array 'narrow' is inf"):
        spec.flatten(arrays)


@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1), ()])
def test_a_vector_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    model = {"a": np.ones((2, 2))}
    with pytest.raises(ModelError, match=r"expected a vector of shape \(4,\); found"):
        ModelSpec.of(model).unflatten(np.ones(shape), model)


REFERENCE = {"w": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"b": REFERENCE["b"], "w": REFERENCE["w"]}, "expected array 'w' .* found 'b'"),
        ({"w": REFERENCE["w"], "c": REFERENCE["b"]}, "expected array 'b' .* found 'c'"),
        ({"w": REFERENCE["w"].T, "b": REFERENCE["b"]}, r"\(2, 3\), float32; found 'w' .*\(3, 2\)"),
        ({"w": REFERENCE["w"], "b": np.zeros(3)}, "found 'b' of shape .*, float64"),
        ({"w": REFERENCE["w"], "b": np.zeros(3, np.int32)}, "int32"),
        ({"w": REFERENCE["w"]}, "expected 2 arrays; found 1"),
        ({**REFERENCE, "x": np.zeros(1)}, "expected 2 arrays; found 3"),
        ({}, "expected 2 arrays; found 0"),
    ],
    ids=["order", "key", "shape", "dtype", "integers", "missing", "extra", "none"],
)
def test_arrays_that_are_not_the_model_s_are_named(arrays: Model, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        ModelSpec.of(REFERENCE).flatten(arrays)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_parameter_that_is_not_finite_is_named(poison: float) -> None:
    arrays = {**REFERENCE, "b": np.array([0, poison, 0], np.float32)}
    with pytest.raises(ModelError, match=f"entry 1 of array 'b' is {poison}"):
        ModelSpec.of(REFERENCE).flatten(arrays)


# --- What a model may be made of ---------------------------------------------------------


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_integer_arrays_are_refused_or_kept_as_they_are(dtype: str) -> None:
    model = {"w": np.ones(3), "steps": np.ones(2, dtype)}
    with pytest.raises(ModelError, match=f"'steps' is {dtype}.*integer_arrays='keep'"):
        ModelSpec.of(model)

    spec = ModelSpec.of(model, "keep")
    assert spec.n == 3
    trained = {"w": model["w"], "steps": np.zeros(2, dtype)}
    again = spec.unflatten(spec.flatten(trained), model)
    assert again["steps"].tobytes() == model["steps"].tobytes()


def test_integers_alone_are_no_model() -> None:
    with pytest.raises(ModelError, match="at least one array of"):
        ModelSpec.of({"steps": np.ones(2, np.int64)}, "keep")


def test_no_arrays_are_no_model() -> None:
    with pytest.raises(ModelError, match="found no arrays"):
        ModelSpec.of({})


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2**30)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_])
def test_an_empty_array_is_carried_beside_others(shape: tuple[int, ...], dtype: Any) -> None:
    model = {"nothing": np.zeros(shape, dtype), "w": np.ones(3), "last": np.zeros(shape, dtype)}
    again = decode_model(encode_model(model))
    assert {k: (a.shape, a.dtype) for k, a in again.items()} == {
        k: (a.shape, a.dtype) for k, a in model.items()
    }
    spec = ModelSpec.of(model, "keep")
    assert spec.unflatten(spec.flatten(model) + 1, model)["w"].tolist() == [2, 2, 2]


def test_an_empty_array_of_a_length_that_no_reader_takes_is_not_written() -> None:
    with pytest.raises(ModelError, match="larger than any model"):
        encode_model({"nothing": np.zeros((0, 2**40))})


def test_empty_arrays_alone_have_nothing_to_train() -> None:
    with pytest.raises(ModelError, match=r"at least one array .* update='whole'"):
        ModelSpec.of({"nothing": np.zeros((3, 0))})


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a"]),
        np.array([object()]),
        np.ones(2, np.complex64),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros(2, "V2"),  # how numpy shows a dtype that it does not know, bfloat16 for one
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, np.longdouble),
    ],
    ids=["text", "objects", "complex", "dates", "bfloat16", "records", "longdouble"],
)
def test_a_dtype_that_is_not_carried_is_refused_by_name(array: np.ndarray) -> None:
    for refusing in (ModelSpec.of, encode_model, model_digest):
        with pytest.raises(ModelError, match=f"'odd' is {re.escape(array.dtype.name)}; expected"):
            refusing({"odd": array})


def test_more_dimensions_arrays_or_letters_than_the_bytes_can_say_are_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ModelError, match="found 33 and 1"):
        encode_model({"a": one.reshape((1,) * 33)})
    with pytest.raises(ModelError, match="found 1 and 16384"):
        encode_model({"a" * 2**14: one})
    with pytest.raises(ModelError, match="at most 65536 arrays; found 65537"):
        encode_model({str(number): one for number in range(65537)})
    assert decode_model(encode_model({"é" * (2**14 - 1): one})) == {"é" * (2**14 - 1): one}


# --- Arrays that somebody else computed --------------------------------------------------


def test_conforming_casts_and_brings_into_order() -> None:
    spec = ModelSpec.of({**REFERENCE, "steps": np.ones(1, np.int64)}, "keep")
    like = {**REFERENCE, "steps": np.full(1, 5)}
    other = {"steps": np.zeros(1), "b": np.ones(3), "w": np.ones((2, 3), np.float16)}
    arrays = spec.conform(other, like)
    assert list(arrays) == ["w", "b", "steps"]
    assert [array.dtype.name for array in arrays.values()] == ["float32", "float32", "int64"]
    assert arrays["steps"][0] == 5


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"w": None}, r"expected the model's 2 arrays .* missing: 'w'; not of the model: none"),
        ({"x": np.ones(1)}, "missing: none; not of the model: 'x'"),
        ({"b": np.ones(4)}, r"found 'b' of shape \(4,\)"),
        ({"b": np.full(3, 1e300)}, "entry 0 of array 'b' is inf"),
        ({"b": np.full(3, np.nan)}, "entry 0 of array 'b' is nan"),
        ({"b": np.array(["a", "b", "c"])}, "'b' is <U1; expected real numbers"),
        ({"b": np.ones(3, np.complex64)}, "'b' is complex64; expected real numbers"),
        ({"b": np.array([None] * 3)}, "'b' is object; expected real numbers"),
    ],
    ids=["missing", "extra", "shape", "beyond float32", "nan", "text", "complex", "objects"],
)
def test_what_does_not_conform_is_named(changed: dict[str, Any], reason: str) -> None:
    arrays = {k: v for k, v in {**REFERENCE, **changed}.items() if v is not None}
    with pytest.raises(ModelError, match=reason):
        ModelSpec.of(REFERENCE).conform(arrays, REFERENCE)
