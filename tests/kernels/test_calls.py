"""Whatever way a kernel runs, it must give what Numba gives."""

from typing import NamedTuple

import numba
import numpy as np
import pytest

from chamaleonet.kernels import images, inlined, intrinsic, kernel

only_images = pytest.mark.skipif(
    bool(images._SETTINGS) or not images._X86_64, reason="kernels run by Numba itself here"
)

RECORD = np.dtype([("small", np.uint8), ("large", np.uint64), ("many", np.int32, 3)], align=True)
PAGE = np.dtype([("bytes", np.uint8, 4096)])


class Pair(NamedTuple):
    left: np.ndarray
    right: np.ndarray


@inlined
def _twice(value):
    return 2 * value


_be32, _copy_bytes = intrinsic("be32"), intrinsic("copy_bytes")
_WEIGHTS = np.array([3, 5, 7])


@kernel
def _sum(values, start):
    for i in range(values.shape[0]):
        start += _twice(np.int64(values[i])) * _WEIGHTS[i % 3]
    return start


@kernel
def _sum_matrix(values):
    total = 0
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            total = 10 * total + values[i, j]
    return total


@kernel
def _fill(records, number, flag):
    for i in range(len(records)):
        records[i].small = i
        records[i].large = number
        records[i].many[1] = -5 if flag else 5


@kernel
def _divide(one, other):
    return one // other, one % other, 7


@kernel
def _high_bit(value):
    return np.int64(value >> np.uint64(63))


@kernel
def _dot(pair, shift):
    total = 0
    for i in range(len(pair.left)):
        total += (pair.left[i] * pair.right[i]) << shift
    return total


@kernel
def _network_order(buffer, offset):
    return np.int64(_be32(buffer, offset))


@kernel
def _copy_some(source, start, length, target, at):
    _copy_bytes(source, start, length, target, at)


@kernel
def _copy(pages, clean):
    pages[1] = pages[0]
    for i in range(len(clean)):
        clean[i] = 0


def _plain(compiled):
    """Return the same kernel as Numba alone compiles it."""
    return numba.njit(error_model="numpy")(compiled.__wrapped__)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(9, dtype=np.uint8),
        np.arange(9, dtype=">u4").astype(np.uint32),
        np.arange(40, dtype=np.int64)[::-4],
        np.arange(0),
        np.frombuffer(b"cannot be written", np.uint8),
        np.arange(20, dtype=np.int32).reshape(4, 5)[:, 2],
        np.frombuffer(b"-" + bytes(range(16)), np.uint16, offset=1),
    ],
    ids=["bytes", "words", "backwards", "empty", "read-only", "column", "unaligned"],
)
@pytest.mark.parametrize("start", [0, -(1 << 62), np.int32(-7), True])
def test_arrays_of_all_kinds(values, start):
    assert _sum(values, start) == _plain(_sum)(values, int(start))


@pytest.mark.parametrize(
    "change", [lambda m: m, np.transpose, lambda m: m[::2, ::-1], np.asfortranarray]
)
def test_matrices(change):
    matrix = change(np.arange(12).reshape(3, 4))
    assert _sum_matrix(matrix) == _plain(_sum_matrix)(matrix)


@pytest.mark.parametrize("flag", [True, False, np.True_, np.False_])
def test_records_and_no_result(flag):
    ours, theirs = np.zeros(5, RECORD), np.zeros(5, RECORD)
    assert _fill(ours, np.uint64(2**64 - 1), flag) is None
    _plain(_fill)(theirs, np.uint64(2**64 - 1), bool(flag))
    assert ours.tobytes() == theirs.tobytes()
    assert ours["large"].max() == 2**64 - 1


@pytest.mark.parametrize(("one", "other"), [(17, 5), (-17, 5), (17, -5), (-(1 << 63), 3), (1, 0)])
def test_several_results(one, other):
    assert _divide(one, other) == _plain(_divide)(one, other)


def test_unsigned_numbers_keep_their_type():
    assert _high_bit(np.uint64(1 << 63)) == 1
    assert _high_bit(np.uint64((1 << 63) - 1)) == 0


@only_images
def test_one_row_is_no_kind_of_its_own():
    kinds = len(_sum_matrix._images)
    for rows in (2, 1, 5):
        assert _sum_matrix(np.ones((rows, 3), np.uint16)) == int("1" * 3 * rows)
    assert len(_sum_matrix._images) == kinds + 1


def test_a_tuple_is_looked_at_again_when_it_is_another():
    first = Pair(np.arange(4), np.arange(4))
    assert _dot(first, 0) == _dot(first, 0) == 14
    assert _dot(first._replace(right=np.ones(4, np.int64)), 0) == 6
    assert _dot(Pair(np.arange(3, dtype=np.int32), np.arange(3)), 1) == 10
    assert _dot(first, 0) == 14


@only_images
def test_a_tuple_is_not_kept_alive():
    pair = Pair(np.arange(4), np.arange(4))
    _dot(pair, 0)
    kept = [reference() for reference in _dot._seen.arrays]
    assert kept[0] is pair.left
    del pair, kept
    assert [reference() for reference in _dot._seen.arrays] == [None, None]


def test_intrinsics():
    assert _network_order(np.arange(8, dtype=np.uint8), 3) == 0x03040506


@pytest.mark.parametrize("length", [0, 1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 100, 4096])
@pytest.mark.parametrize("start", [0, 5])
def test_bytes_are_copied_and_no_others_touched(length, start):
    source = np.arange(start + length, dtype=np.uint32).astype(np.uint8)
    target = np.full(length + 40, 0xEE, np.uint8)
    _copy_some(source, start, length, target, 7)
    assert target.tobytes() == b"\xee" * 7 + source[start:].tobytes() + b"\xee" * 33


def test_what_the_compiler_makes_a_call_of_the_c_library():
    pages, clean = np.zeros(2, PAGE), np.full(1000, 255, np.uint8)
    pages[0]["bytes"] = np.arange(4096)
    _copy(pages, clean)
    assert (pages[0] == pages[1]).all()
    assert not clean.any()


@only_images
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1.5, 0), "takes no float"),
        ((None, 0), "takes no NoneType"),
        (([1, 2], 0), "takes no list"),
        (((1, 2), 0), "no other tuples"),
        (((), 0), "no other tuples"),
        ((np.zeros(2, object), 0), "cannot be compiled"),
        ((np.zeros(2, ">u4"), 0), "cannot be compiled"),
        ((1, 0), "cannot be compiled"),
        ((np.arange(2),), "takes 2 arguments, not 1"),
        ((np.arange(2), 0, 0), "takes 2 arguments, not 3"),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(TypeError, match=error):
        _sum(*arguments)
    assert _sum(np.arange(2), 0) == 10  # and no harm is done


@only_images
@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1])
def test_numbers_that_are_too_large(number):
    with pytest.raises(OverflowError, match="64 bits"):
        _sum(np.arange(2), number)


# What cannot be an image.


@kernel
def _mean(values):
    return values.sum() / len(values)


@kernel
def _checked(values, limit):
    if len(values) > limit:
        raise ValueError("too many")
    return len(values)


def test_a_result_that_is_no_integer():
    assert _mean(np.arange(4)) == 1.5


def test_an_exception():
    assert _checked(np.arange(3), 3) == 3
    with pytest.raises(ValueError, match="too many"):
        _checked(np.arange(3), 2)


@only_images
def test_everything_else_is_an_image():
    for one in (_sum, _sum_matrix, _fill, _divide, _high_bit, _dot, _network_order, _copy):
        assert one._by_numba is None, one.__name__
    for one in (_mean, _checked):
        assert one._by_numba, one.__name__
