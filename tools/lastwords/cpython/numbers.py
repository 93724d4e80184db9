"""Numbers of the target: int, 2.7's int and long, bool, float, complex (Include/cpython/longintrepr.h)."""

from __future__ import annotations

import struct

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import INT, LONG, Structs

DIGITS_LIMIT = 476  # digits of 30 bits of an int that is needed whole: our own str() refuses more (4,300 of 10)
LONG_SHIFT = {4: 30, 2: 15}
# lv_tag (3.12): two bits of sign, one reserved, then the number of digits
SIGN_MASK, SIGN_NEGATIVE, TAG_DIGITS_SHIFT = 3, 2, 3


def read_int(structs: Structs, address: int) -> int:
    """An int, a bool, or a 2.7 long. Raises ReadError for anything else and for absurdly long ones."""
    flags = structs.type_flags(address)
    if flags & INT and structs.has("PyIntObject"):
        return structs.signed(address, "PyIntObject", "ob_ival")
    if not flags & LONG:
        raise ReadError(f"the object at {address:#x} is no int")
    count, is_negative = read_digit_count(structs, address)
    if count > DIGITS_LIMIT:
        raise ReadError(f"the int at {address:#x} has {count} digits")
    value = _read_digits(structs, address, count)
    return -value if is_negative else value


def read_digit_count(structs: Structs, address: int) -> tuple[int, bool]:
    """How many digits an int has, and whether it is negative."""
    if structs.has("PyLongObject", "long_value.lv_tag"):
        tag = structs.number(address, "PyLongObject", "long_value.lv_tag")
        return tag >> TAG_DIGITS_SHIFT, tag & SIGN_MASK == SIGN_NEGATIVE
    size = structs.signed(address, "PyVarObject", "ob_size")
    return abs(size), size < 0


def _read_digits(structs: Structs, address: int, count: int) -> int:
    where = structs.layout.field("PyLongObject", "long_value.ob_digit")
    data = structs.memory.read(address + where.offset, count * where.size)
    digits = (int.from_bytes(data[at : at + where.size], "little") for at in range(0, len(data), where.size))
    return sum(digit << LONG_SHIFT[where.size] * place for place, digit in enumerate(digits))


def read_float(structs: Structs, address: int) -> float:
    """A float."""
    return _read_double(structs, structs.at(address, "PyFloatObject", "ob_fval"))


def read_complex(structs: Structs, address: int) -> complex:
    """A complex number."""
    real = _read_double(structs, structs.at(address, "PyComplexObject", "cval.real"))
    return complex(real, _read_double(structs, structs.at(address, "PyComplexObject", "cval.imag")))


def _read_double(structs: Structs, address: int) -> float:
    return float(struct.unpack("<d", structs.memory.read(address, 8))[0])
