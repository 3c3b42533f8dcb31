"""Descriptions of models: shapes and costs by arithmetic, one spelling, and refusals by name."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import ArchitectureError
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Architecture, Limits
from bcfl.market.spec.layer_kinds import (
    KINDS,
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Gelu,
    LayerNorm,
    Linear,
    MaxPool2d,
    Relu,
    Tanh,
)

CNN = Architecture(
    (1, 28, 28),
    (
        Conv2d(8, kernel=5, padding=2),
        Relu(),
        MaxPool2d(2, 2),
        Flatten(),
        Linear(64),
        Tanh(),
        Linear(10),
    ),
)
CNN_TEXT = (
    b'{"input_shape":[1,28,28],"layers":['
    b'{"kernel":5,"kind":"conv2d","out_channels":8,"padding":2,"stride":1},'
    b'{"kind":"relu"},{"kernel":2,"kind":"max_pool2d","stride":2},{"kind":"flatten"},'
    b'{"kind":"linear","units":64},{"kind":"tanh"},{"kind":"linear","units":10}]}'
)
EVERY_KIND = Architecture(
    (3, 16, 16),
    (
        Conv2d(4, kernel=3, stride=2, padding=1),
        BatchNorm2d(),
        Gelu(),
        AvgPool2d(2, 2),
        MaxPool2d(2, 1),
        AdaptiveAvgPool2d(2),
        Flatten(),
        LayerNorm(),
        Linear(8),
        Dropout(50),
        Tanh(),
        Relu(),
        Linear(3),
    ),
)


def description(*layers: dict[str, Any], shape: Any = (1, 28, 28)) -> dict[str, Any]:
    """A flatten and an output layer after ``layers``."""
    end = [{"kind": "flatten"}, {"kind": "linear", "units": 10}]
    return {"input_shape": list(shape), "layers": [*layers, *end]}


def canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def refusal(data: Any, limits: Limits = DEFAULT_LIMITS) -> ArchitectureError:
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_mapping(data, limits)
    assert len(str(caught.value)) < 400
    return caught.value


def test_shapes_follow_from_the_input():
    assert CNN.shapes() == (
        *[(1, 28, 28), (8, 28, 28), (8, 28, 28), (8, 14, 14)],
        *[(1568,), (64,), (64,), (10,)],
    )
    assert EVERY_KIND.shapes()[:7] == (
        *[(3, 16, 16), (4, 8, 8), (4, 8, 8), (4, 8, 8), (4, 4, 4), (4, 3, 3), (4, 2, 2)],
    )
    assert {type(layer) for layer in EVERY_KIND.layers} == set(KINDS.values())


def test_costs_are_what_a_person_counts():
    cost = CNN.check()
    assert cost.parameters == (8 * 25 + 8) + (1568 * 64 + 64) + (64 * 10 + 10)
    outputs = 2 * 8 * 784 + 1568 + 1568 + 64 + 64 + 10
    assert cost.activations == outputs + 25 * 784
    conv, relu, pool, tanh = 8 * 25 * 784, 8 * 784, 4 * 1568, 64
    assert cost.multiply_adds == conv + relu + pool + 1568 + 1568 * 64 + tanh + 640
    assert cost.features == 64


def test_arrays_are_named_as_torch_names_them():
    assert [(slot.key, slot.shape) for slot in EVERY_KIND.arrays()] == [
        ("0.weight", (4, 3, 3, 3)),
        ("0.bias", (4,)),
        ("1.weight", (4,)),
        ("1.bias", (4,)),
        ("1.running_mean", (4,)),
        ("1.running_var", (4,)),
        ("7.weight", (16,)),
        ("7.bias", (16,)),
        ("8.weight", (8, 16)),
        ("8.bias", (8,)),
        ("12.weight", (3, 8)),
        ("12.bias", (3,)),
    ]


@pytest.mark.parametrize("architecture", [CNN, EVERY_KIND], ids=["cnn", "every kind"])
def test_json_is_inverted_by_reading_it(architecture):
    text = architecture.to_json()
    assert Architecture.from_json(text) == architecture
    assert Architecture.from_json(text).to_json() == text


def test_the_canonical_text_is_pinned():
    assert CNN.to_json() == CNN_TEXT


def test_a_person_may_leave_out_defaults_and_write_lists_or_tuples():
    data = {
        "input_shape": (1, 28, 28),
        "layers": (
            {"kind": "conv2d", "kernel": 3, "out_channels": 2},
            {"kind": "flatten"},
            {"kind": "linear", "units": 10},
        ),
    }
    assert Architecture.from_mapping(data).layers[0] == Conv2d(2, kernel=3, stride=1, padding=0)


@pytest.mark.parametrize(
    "text",
    [
        CNN_TEXT.replace(b",", b", ", 1),
        CNN_TEXT.replace(b'"kernel":5,"kind":"conv2d"', b'"kind":"conv2d","kernel":5'),
        CNN_TEXT.replace(b',"stride":1', b""),
        CNN_TEXT + b"\n",
        CNN_TEXT.replace(b"relu", b"r\\u0065lu"),
        CNN_TEXT.replace(b'"units":64', b'"units":64,"units":64'),
        CNN_TEXT.replace(b'"units":64', b'"units":64.0'),
        CNN_TEXT.replace(b'"units":64', b'"units":6.4e1'),
        CNN_TEXT.replace(b'"units":64', b'"units":NaN'),
        CNN_TEXT.replace(b'"units":64', b'"units":' + b"9" * 5000),
        CNN_TEXT.replace(b'"units":64', b'"units":true'),
        CNN_TEXT.replace(b"relu", "rélu".encode()),
        CNN_TEXT.replace(b"relu", b"re\xfflu"),
        CNN_TEXT[:-1],
        CNN_TEXT + b"{}",
        b"",
        b"null",
        b"[" * 15_000,
        b'{"a":"]]]]",' * 1_000,
        b'{"input_shape":[[[[1]]]],"layers":[]}',
    ],
)
def test_any_other_spelling_is_refused(text):
    with pytest.raises(ArchitectureError):
        Architecture.from_json(text)


def test_giant_json_is_refused_unread():
    text = b'{"input_shape":[' + b"1," * 5_000_000 + b"1]}"
    tracemalloc.start()
    try:
        with pytest.raises(ArchitectureError, match="at most 16,384 bytes"):
            Architecture.from_json(text)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"kind": "conv2d", "out_channels": 10**9, "kernel": 3}, "conv2d.out_channels"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 10**100}, "conv2d.kernel"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": -3}, "conv2d.kernel"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 0}, "conv2d.kernel"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 29}, "at most 28"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 3, "stride": 0}, "conv2d.stride"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 3, "padding": 3}, "below the kernel"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": "3"}, "whole number"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 3.0}, "whole number"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": True}, "whole number"),
        ({"kind": "conv2d", "out_channels": 8}, "conv2d to have kernel"),
        ({"kind": "conv2d", "out_channels": 8, "kernel": 3, "groups": 8}, "only the settings"),
        ({"kind": "max_pool2d", "kernel": 2}, "max_pool2d to have stride"),
        ({"kind": "avg_pool2d", "kernel": 40, "stride": 1}, "at most 28"),
        ({"kind": "adaptive_avg_pool2d", "size": 29}, "no finer"),
        ({"kind": "dropout", "percent": 100}, "dropout.percent"),
        ({"kind": "linear", "units": 10}, "put a flatten before it"),
        ({"kind": "lambda", "code": "import os"}, "a kind among"),
        ({"kind": "__reduce__"}, "a kind among"),
        ({"kind": 7}, 'a mapping with a "kind"'),
        ({"units": 7}, 'a mapping with a "kind"'),
        ("relu", 'a mapping with a "kind"'),
    ],
)
def test_a_malicious_layer_is_refused_with_its_index(layer, expected):
    error = refusal(description({"kind": "relu"}, layer))
    assert error.layer == 1
    assert expected in error.expected
    assert "layer 1" in str(error)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "a mapping of input_shape and layers"),
        ({"layers": []}, "a mapping of input_shape and layers"),
        ({"input_shape": [4], "layers": [], "name": "x"}, "a mapping of input_shape and layers"),
        ({"input_shape": 4, "layers": []}, "lists"),
        ({"input_shape": [4], "layers": {}}, "lists"),
        ({"input_shape": [4], "layers": []}, "an output layer"),
        ({"input_shape": [4], "layers": [{"kind": "relu"}]}, "an output layer"),
        ({"input_shape": [4], "layers": [{"kind": "linear", "units": 1}]}, "an output layer"),
        (description(shape=[28, 28]), "input_shape"),
        (description(shape=[]), "input_shape"),
        (description(shape=[1, 28, 0]), "input_shape"),
        (description(shape=[1, 28, -28]), "input_shape"),
        (description(shape=[1, 28, 1 << 17]), "input_shape"),
        (description(shape=[1, 28, "28"]), "input_shape"),
    ],
)
def test_a_malformed_description_is_refused(data, expected):
    assert expected in refusal(data).expected


def test_thousands_of_layers_are_refused_before_they_are_read():
    layers = [{"kind": "relu"}] * 5_000
    assert "at most 64 layers" in refusal(description(*layers)).expected
    with pytest.raises(ArchitectureError, match="at most 64 layers"):
        Architecture((4,), (*[Relu()] * 64, Linear(10))).check()


@pytest.mark.parametrize(
    ("layers", "limit", "at"),
    [
        # 65,536² weights after a layer that is itself still within the limits
        ([{"kind": "flatten"}, {"kind": "linear", "units": 65_536}], "parameters", 1),
        ([{"kind": "conv2d", "out_channels": 65_536, "kernel": 1}], "activations", 0),
        ([{"kind": "conv2d", "out_channels": 40, "kernel": 15, "padding": 14}], "multiply_adds", 0),
        (
            [{"kind": "conv2d", "out_channels": 16, "kernel": 9, "padding": 4}] * 2,
            "multiply_adds",
            1,
        ),
    ],
)
def test_each_limit_holds_and_names_the_layer_that_passes_it(layers, limit, at):
    limits = Limits(multiply_adds=10_000_000, activations=5_000_000)
    error = refusal(description(*layers), limits)
    assert (error.layer, limit in error.expected) == (at, True)


def test_an_unfolded_convolution_counts_as_memory():
    # Little comes out and few multiplications are made, but every window is a column of 196².
    layer = {"kind": "conv2d", "out_channels": 1, "kernel": 40, "padding": 39}
    error = refusal(description(layer, shape=(1, 100, 100)))
    assert "activations" in error.expected


def test_what_fusion_would_have_to_concatenate_is_limited():
    error = refusal(description(shape=(2, 60, 60)))
    assert "features" in error.expected


def test_limits_are_inclusive():
    cost = CNN.check()
    exact = Limits(16_384, 7, cost.parameters, cost.activations, cost.multiply_adds, 64)
    assert CNN.check(exact) == cost
    for name in ("layers", "parameters", "activations", "multiply_adds", "features"):
        tighter = {each: getattr(exact, each) for each in Limits.__slots__}
        tighter[name] -= 1
        with pytest.raises(ArchitectureError, match=name):
            CNN.check(Limits(**tighter))


def test_an_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(ArchitectureError("this", "that", 3)))
    assert (error.expected, error.found, error.layer) == ("this", "that", 3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*KINDS, "kind"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["kind", "units", "kernel", "input_shape"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["input_shape", "layers"]), json_values) | json_values)
def test_arbitrary_data_is_refused_by_name_or_is_an_architecture(data):
    try:
        architecture = Architecture.from_mapping(data)
    except ArchitectureError:
        return
    assert Architecture.from_json(architecture.to_json()) == architecture


settings_of_layers = st.one_of(
    *(
        st.fixed_dictionaries(
            {"kind": st.just(name)}
            | {
                each.name: st.integers(1, 9) | st.sampled_from([0, -1, 65_536, 65_537])
                for each in fields(kind)
            }
        )
        for name, kind in KINDS.items()
    )
)


@given(
    st.lists(st.integers(1, 20) | st.integers(-1, 70_000), min_size=1, max_size=3),
    st.lists(settings_of_layers, max_size=8),
    st.booleans(),
)
def test_a_description_that_is_accepted_is_within_the_limits(shape, layers, flat):
    end = [{"kind": "flatten"}] if flat else []
    data = {"input_shape": shape, "layers": [*layers, *end, {"kind": "linear", "units": 4}]}
    try:
        architecture = Architecture.from_mapping(data)
    except ArchitectureError:
        return
    cost = architecture.check()
    assert cost.parameters <= DEFAULT_LIMITS.parameters
    assert cost.activations <= DEFAULT_LIMITS.activations
    assert cost.multiply_adds <= DEFAULT_LIMITS.multiply_adds
    assert Architecture.from_json(canonical(json.loads(architecture.to_json()))) == architecture
