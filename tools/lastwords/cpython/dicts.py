"""Dicts in all their forms (Objects/dictobject.c), read whole and in order, or searched for one key.

2.7: one hash table of (hash, key, value). From 3.6: keys in order behind an index; a split dict has its values in an
array of its own. From 3.11 keys that are all `str` leave the hash out.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import DICT, POINTER, UNICODE, Structs
from lastwords.cpython.text import read_name

ENTRIES_LIMIT = 1 << 18
KEY_LIMIT = 4096  # characters of a key that is looked for
INDEX_SIZES = ("dk_log2_index_bytes", "dk_size")  # from 3.11 on, before
GENERAL = 0  # DictKeysKind: DICT_KEYS_GENERAL has hashes in its entries

Item = tuple[int, int]


def read_items(structs: Structs, address: int, limit: int = ENTRIES_LIMIT) -> list[Item]:
    """(key, value) of a dict, in its order, at most `limit`; their addresses. Raises ReadError."""
    if not structs.type_flags(address) & DICT:
        raise ReadError(f"the object at {address:#x} is no dict")
    if structs.has("PyDictObject", "ma_table"):
        return _read_table(structs, address, limit)
    keys, values = structs.numbers(address, "PyDictObject", "ma_keys", "ma_values")
    return read_split(structs, keys, values, limit) if values else _read_keys(structs, keys, limit)


def count_items(structs: Structs, address: int) -> int:
    """len() of a dict."""
    return structs.number(address, "PyDictObject", "ma_used")


def find_item(structs: Structs, address: int, key: str) -> int | None:
    """The value of a key that is a string; None if the dict has none. Raises ReadError."""
    if address not in structs.names:
        structs.names[address] = dict(read_named(structs, address))
    return structs.names[address].get(key)


def read_named(structs: Structs, address: int) -> Iterator[tuple[str, int]]:
    """(key as text, value) of the items whose key is a string."""
    return named(structs, read_items(structs, address))


def named(structs: Structs, items: list[Item]) -> Iterator[tuple[str, int]]:
    """The items whose key is a string, with the string; the others are left out."""
    keys = structs.keys
    unknown = [(key, 64) for key, _ in items if key not in keys]
    if unknown:
        structs.memory.read_many(unknown)  # one system call for all of them
    for key, value in items:
        name = keys[key] if key in keys else _read_key(structs, key)
        if name is not None:
            yield name, value


def _read_key(structs: Structs, key: int) -> str | None:
    """The text of a key, which other dicts have too: strings that are names are interned. None for no string."""
    try:
        structs.keys[key] = read_name(structs, key, KEY_LIMIT)
    except ReadError:
        structs.keys[key] = None
    return structs.keys[key]


def _read_table(structs: Structs, address: int, limit: int) -> list[Item]:
    """2.7: the table itself is the order. An entry without a value is empty or deleted."""
    mask = structs.number(address, "PyDictObject", "ma_mask")
    count = mask + 1
    if mask & count:
        raise ReadError(f"the dict at {address:#x} has a mask of {mask:#x}, which no table has")
    entries = _read_entries(structs, structs.number(address, "PyDictObject", "ma_table"), count, "PyDictEntry")
    return [(key, value) for key, value in entries if value][:limit]


def _read_keys(structs: Structs, keys: int, limit: int) -> list[Item]:
    return [(key, value) for key, value in _key_entries(structs, keys) if value][:limit]


def _key_entries(structs: Structs, keys: int) -> list[Item]:
    """All entries of a PyDictKeysObject: behind its index, whose width depends on the table's size."""
    size_field = INDEX_SIZES[0] if structs.has("PyDictKeysObject", INDEX_SIZES[0]) else INDEX_SIZES[1]
    kinds = ("dk_kind",) if structs.has("PyDictKeysObject", "dk_kind") else ()
    size, count, *kind = structs.numbers(keys, "PyDictKeysObject", size_field, "dk_nentries", *kinds)
    index = _index_size(size_field, size)
    if count > index:  # each entry has at least a byte of index
        raise ReadError(f"the dict keys at {keys:#x} are {count}, in an index of {index} bytes")
    start = structs.at(keys, "PyDictKeysObject", "dk_indices") + index
    is_general = not kind or kind[0] == GENERAL
    return _read_entries(structs, start, count, "PyDictKeyEntry" if is_general else "PyDictUnicodeEntry")


def _index_size(field: str, size: int) -> int:
    if field == "dk_log2_index_bytes":
        return 1 << min(size, 32)
    return size * (1 if size <= 0xFF else 2 if size <= 0xFFFF else 4 if size <= 0xFFFF_FFFF else 8)


def _read_entries(structs: Structs, start: int, count: int, struct: str) -> list[Item]:
    if count > ENTRIES_LIMIT:
        raise ReadError(f"the dict entries at {start:#x} would be {count}")
    step = structs.layout.size(struct) // POINTER
    key, value = (structs.layout.offset(struct, name) // POINTER for name in ("me_key", "me_value"))
    words = structs.pointers(start, count * step)
    return list(zip(words[key::step], words[value::step], strict=True))


def read_split(structs: Structs, keys: int, values: int, limit: int = ENTRIES_LIMIT) -> list[Item]:
    """(key, value) of a split dict or of an instance's inline values: PyDictValues beside shared keys."""
    names = [key for key, _ in _key_entries(structs, keys)]
    has_struct = structs.has("PyDictValues", "values")
    start = structs.at(values, "PyDictValues", "values") if has_struct else values
    found = structs.pointers(start, len(names))
    order = _read_order(structs, values, len(names))
    return [(names[at], found[at]) for at in order if found[at]][:limit]


def _read_order(structs: Structs, values: int, count: int) -> list[int]:
    """The places of the values in the order in which they were set; that of the keys where it is not kept."""
    order: bytes = b""
    if structs.layout.formats.values_order == "before":
        size = structs.memory.read(values - 2, 1)[0]
        order = structs.memory.read(values - 2 - size, size)[::-1]
    elif structs.layout.formats.values_order == "after":
        size = structs.number(values, "PyDictValues", "size")
        capacity = structs.number(values, "PyDictValues", "capacity")
        start = structs.at(values, "PyDictValues", "values") + capacity * POINTER
        order = structs.memory.read(start, size)
    else:
        return list(range(count))
    return [at for at in order if at < count]


def is_text(structs: Structs, address: int) -> bool:
    """Whether the object is a `str` of Python 3 or a `unicode`."""
    return bool(structs.type_flags(address) & UNICODE)
