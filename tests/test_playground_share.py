"""A playground as a string: every setting comes back; what is broken, hostile or outdated is refused in words."""

import dataclasses
import random
import re
import string
import time
import zlib

import pytest

from labkit.errors import SettingError
from labkit.models import ACTIVATIONS
from labkit.playground import Settings
from labkit.playground.settings import CLASSIFICATION, FEATURES, OPTIMIZERS, REGRESSION, SCHEDULES
from labkit.playground.share import from_string, to_string


def real(rng, low, high):
    """Of any size between: simple ones, all sixteen digits, very small ones, the ends."""
    return rng.choice(
        [low, high, round(rng.uniform(low, high), 2), rng.uniform(low, high), high * 10 ** rng.uniform(-9, 0)]
    )


def any_settings(seed):
    """Valid settings of every kind, drawn by a seed."""
    rng = random.Random(seed)
    data = rng.choice([*CLASSIFICATION, *REGRESSION, "own"])
    classes = 2 if data in REGRESSION else rng.randint(2, 6)
    widths = tuple(rng.randint(1, 16) for _ in range(rng.randint(0, 8)))
    points = () if data in REGRESSION else tuple(
        (round(rng.uniform(-6, 6), 2), round(rng.uniform(-6, 6), 2), float(rng.randrange(classes)))
        for _ in range(rng.choice([0, 1, 30]))
    )  # fmt: skip
    settings = Settings(
        data=data,
        classes=classes,
        noise=rng.randint(0, 50),
        n=rng.randint(20, 2000),
        train_share=rng.randint(10, 90),
        data_seed=rng.choice([0, 7, 2**31 - 1]),
        points=points,
        features=tuple(rng.sample(FEATURES, rng.randint(1, 7))),
        widths=widths,
        activations=tuple(rng.choice(list(ACTIVATIONS)) for _ in widths),
        dropout=real(rng, 0, 0.9),
        optimizer=rng.choice(OPTIMIZERS),
        lr=real(rng, 1e-6, 100),
        schedule=rng.choice(SCHEDULES),
        schedule_epochs=rng.randint(1, 1000),
        batch_size=rng.randint(1, 2000),
        l1=real(rng, 0, 10),
        l2=real(rng, 0, 10),
        seed=rng.randint(0, 2**31 - 1),
    )
    entries = [
        (name, tuple(rng.randrange(size) for size in shape))
        for name, shape in settings.shapes.items()
        if rng.random() < 0.3
    ]
    weights = tuple((*entry, real(rng, -1e6, 1e6)) for entry in entries)
    return dataclasses.replace(settings, start_weights=weights, frozen=tuple(entries))


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_every_setting_comes_back(start):
    for seed in range(start, start + 100):
        settings = any_settings(seed)
        text = to_string(settings)
        assert from_string(text) == settings, text
        assert from_string(f"  {text}\n") == settings  # as it is pasted
        assert text.isascii() and text.isprintable() and " " not in text
        assert to_string(from_string(text)) == text


def test_the_defaults_are_short_and_each_difference_is_named():
    assert re.fullmatch(r"playground1\?#[0-9a-f]{8}", to_string(Settings()))
    assert to_string(Settings.of(data="xor", widths=(3,))).startswith("playground1?data=xor&widths=3&activations=tanh#")


def refused(text, match="."):
    """from_string refuses, quickly, with a SettingError that says what was expected and what came."""
    start = time.perf_counter()
    with pytest.raises(SettingError, match=match) as caught:
        from_string(text)
    assert time.perf_counter() - start < 1
    words = str(caught.value)
    assert words.startswith("Expected")
    assert "received" in words
    assert len(words) < 500
    assert words.isprintable()


SAMPLE = to_string(
    Settings.of(
        data="own", points=((1, 2, 0), (-1.5, 3, 1)), lr=0.1, frozen=(("output.bias", (0,)),), features=("x1", "x1_x2"),
        start_weights=(("linear1.weight", (1, 0), -0.25),), schedule="cosine",
    )
)  # fmt: skip


def test_each_truncation_is_refused():
    for end in range(len(SAMPLE)):
        refused(SAMPLE[:end])
        refused(SAMPLE[len(SAMPLE) - end :])
    for start in range(len(SAMPLE)):  # a piece lost in the middle
        for length in (1, 5, 30):
            if cut := SAMPLE[start : start + length]:
                refused(SAMPLE[:start] + SAMPLE[start + len(cut) :])


def test_each_flipped_character_is_refused():
    rng = random.Random(0)
    for place, kept in enumerate(SAMPLE):
        for other in [*rng.sample(string.printable, 8), kept.swapcase(), "\0", "é", "\N{FULLWIDTH DIGIT ONE}"]:
            if other != kept and not (other.isspace() and place == len(SAMPLE)):
                refused(SAMPLE[:place] + other + SAMPLE[place + 1 :])
    for place in range(len(SAMPLE) - 1):  # two that changed places
        swapped = SAMPLE[:place] + SAMPLE[place + 1] + SAMPLE[place] + SAMPLE[place + 2 :]
        if swapped != SAMPLE:
            refused(swapped)


def signed(body, version=1):
    """A string with a right checksum, as somebody hostile would make it."""
    whole = f"playground{version}?{body}"
    return f"{whole}#{zlib.crc32(whole.encode()):08x}"


def test_the_checksum_here_is_the_lab_s():
    assert from_string(signed("data=xor&lr=0.1")) == Settings(data="xor", lr=0.1)


SHORT = """
    n=1000000000 n=1e9 n=19 n=20.5 n=-500 n= n=abc n=0x20 n=1_000 n=nan n=inf n=1e999
    widths=-4,2 widths=0 widths=17 widths=1000000000 widths=4,,2 widths=4,2,4,2,4,2,4,2,4 widths=nan widths=4
    widths=((((4)))) widths=[[4]] widths=1e308 widths=1e-308
    activations=tanh activations=tanh,evil activations=tanh,tanh,tanh
    lr=nan lr=inf lr=-inf lr=1e999 lr=-0.1 lr=0 lr=100.1 lr= lr=1e-999
    l1=-1 l2=11 dropout=1 dropout=0.91 noise=51 noise=-1 classes=1 classes=7 seed=-1 seed=1e300 seed=99999999999
    train_share=0 train_share=100 batch_size=0 schedule_epochs=0
    data=moons data= data=../../etc/passwd data=<script>alert(1)</script> data=plane&classes=3 data=plane&points=1,1,0
    optimizer=__import__('os').system('true') schedule=lambda:0 features= features=x1,x1 features=x3 features=x1,;x2
    points=1,2 points=1,2,3,4 points=7,0,0 points=0,0,2 points=nan,0,0 points=0,inf,0 points=a,b,c points=;
    points=1,2,0.5
    start_weights=linear1.weight,0.0 start_weights=linear1.weight,0.0,nan start_weights=linear1.weight,0.0,1e9
    start_weights=linear9.weight,0.0,1 start_weights=linear1.weight,9.9,1 start_weights=linear1.weight,-1.0,1
    start_weights=linear1.bias,0.0,1 start_weights=__class__,0,1 start_weights=linear1.weight start_weights=,,
    start_weights=linear1.weight,0.0,1,1
    frozen=linear1.weight,0 frozen=linear1.weight,0.0,1 frozen=. frozen=linear1.weight,999999999999.0
    n=100&n=200 lr=0.1&lr=0.1 unknown=1 __class__=x __init__=1 change=1 kind=binary shapes=1
    n = =1 & n=100& &n=100 n==100
"""

HOSTILE = [
    *SHORT.split(),
    'data=circle"); import os #',
    "widths=" + "16," * 20_000,
    "activations=" + "tanh," * 15_000,
    "lr=1" + "0" * 90_000,
    "points=" + "1,2,0;" * 15_000,
    "points=" + ";".join(["1,2,0"] * 2001),
    "frozen=" + "output.bias,0;" * 7000,
    "&" * 50_000,
    "x" * 90_000 + "=1",
    "data=" + "x" * 90_000,
    "a=1&" * 20_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=[body[:30] for body in HOSTILE])
def test_a_hostile_string_with_a_right_checksum_is_refused(body):
    refused(signed(body))


@pytest.mark.parametrize("control", ["\0", "\n", "\r", "\t", "\x1b[31m", "\x7f", "\u202e", "\ud800", "\N{PILE OF POO}"])
def test_control_characters_are_refused(control):
    for body in (f"data=xor{control}", f"{control}data=xor", control):
        whole = f"playground1?{body}"
        refused(f"{whole}#{zlib.crc32(whole.encode(errors='replace')):08x}")


@pytest.mark.parametrize(
    "other",
    ["", " ", "playground", "playground1", "playground1?", "playground?data=xor", "data=xor", '{"data": "xor"}',
     "https://playground.tensorflow.org/#activation=tanh", "[" * 100_000, "{" * 5000, "x" * 10_000_000,
     "playground" + "9" * 5000 + "?#00000000", None, 7, b"playground1?", ["playground1?"]],
    ids=lambda other: repr(other)[:30],
)  # fmt: skip
def test_what_is_no_string_of_a_playground_is_refused(other):
    refused(other)


@pytest.mark.parametrize("version", [0, 2, 10, 999_999_999])
def test_an_outdated_string_says_so_before_all_else(version):
    for body in ("data=xor", "something=new", ""):
        refused(signed(body, version), match=f"version {version}")
    refused(f"playground{version}?data=xor#00000000", match=f"version {version}")


def test_a_string_that_is_too_long_is_not_read_at_all():
    refused(signed("a" * 200_000), match="at most 100000 characters, received 2000")


def test_nothing_of_a_refused_string_is_shown_at_length():
    with pytest.raises(SettingError) as caught:
        from_string("playground1?" + "secret" * 10_000)
    assert str(caught.value).count("secret") < 20


WRONG = {
    "huge": 10**400,
    "text": "1",
    "none": None,
    "true": True,
    "nan": float("nan"),
    "1j": 1j,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=list(WRONG))
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_settings_of_another_type_or_size_are_refused_in_python(name, value):
    rows = ((value, value, value),), ((value, value),), (value,), ["linear1.weight", value]
    for given in (value, *rows):
        with pytest.raises(SettingError, match="Expected"):
            Settings(**{name: given})
