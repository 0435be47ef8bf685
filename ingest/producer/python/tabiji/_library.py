"""libtabiji.so.0 by ctypes: its structures, its functions, and results turned into exceptions.

1. Structures are those of tabiji.h, or a beginning of them: each says its size, so a library whose structures have grown takes them.
2. The library is loaded when it is first needed, and once; importing this module needs none.
3. No Python function is ever given to the library: its thread never waits for the interpreter, and no exception can get into C.
"""
from __future__ import annotations

import ctypes
import threading
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any, List, NoReturn, Optional

from .errors import BY_CODE, ArgumentError, LibraryMissing, Problem, TabijiError

SONAME = "libtabiji.so.0"


class CProblem(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("error", c_int), ("code", c_char * 32), ("pointer", c_char * 160), ("hint", c_char * 256)]


class COptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("flags", c_uint),
        ("url", c_char_p), ("key", c_char_p), ("key_file", c_char_p),
        ("ca_file", c_char_p), ("certificate_file", c_char_p), ("private_key_file", c_char_p), ("proxy", c_char_p),
        ("queue_events_max", c_size_t), ("queue_bytes_max", c_size_t), ("queue_policy", c_int), ("queue_timeout_ms", c_int),
        ("batch_events_max", c_size_t), ("batch_bytes_max", c_size_t), ("linger_ms", c_int), ("requests_max", c_int),
        ("connect_timeout_ms", c_int), ("request_timeout_ms", c_int), ("retry_min_ms", c_int), ("retry_max_ms", c_int),
        ("on_report", c_void_p), ("report_context", c_void_p), ("reports_max", c_size_t),
        ("namespaces", c_char_p), ("allocator", c_void_p), ("kafka_config", c_char_p), ("kafka_source", c_char_p),
        ("spool_dir", c_char_p), ("spool_bytes_max", c_uint64), ("spool_age_max_ms", c_int64), ("spool_sync", c_int),
        ("spool_interval_ms", c_int),
    ]


class CReport(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("kind", c_int), ("event_id", c_char_p), ("opaque", c_void_p), ("problem", CProblem), ("events", c_uint64),
    ]


class CStatistics(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t), ("events_taken", c_uint64), ("events_delivered", c_uint64), ("events_duplicate", c_uint64),
        ("events_denied", c_uint64), ("events_rejected", c_uint64), ("events_invalid", c_uint64), ("events_dropped", c_uint64),
        ("events_discarded", c_uint64), ("reports_lost", c_uint64), ("queue_events", c_uint64), ("queue_bytes", c_uint64),
        ("requests", c_uint64), ("requests_failed", c_uint64), ("bytes_sent", c_uint64),
        ("unauthorised", c_int), ("last_status", c_int), ("last_failure", c_char * 160),
        ("spool_events", c_uint64), ("spool_bytes", c_uint64), ("spool_oldest_ms", c_int64),
        ("spool_dropped_full", c_uint64), ("spool_dropped_age", c_uint64), ("spool_lost", c_uint64), ("spool_cuts", c_uint64),
    ]


PROBLEM_SIZE = ctypes.sizeof(CProblem)
FUNCTIONS = {
    "tabiji_error_name": (c_char_p, [c_int]),
    "tabiji_error_text": (c_char_p, [c_int]),
    "tabiji_version": (c_char_p, []),
    "tabiji_json_check": (c_int, [c_char_p, c_size_t, POINTER(CProblem)]),
    "tabiji_producer_new": (c_int, [POINTER(COptions), POINTER(c_void_p), POINTER(CProblem)]),
    "tabiji_producer_stop": (c_int, [c_void_p]),
    "tabiji_producer_close": (c_int, [POINTER(c_void_p), c_int]),
    "tabiji_producer_resume": (c_int, [c_void_p, c_char_p]),
    "tabiji_producer_statistics": (c_int, [c_void_p, POINTER(CStatistics)]),
    "tabiji_send_json": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "tabiji_send_json_durable": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_void_p]),
    "tabiji_flush": (c_int, [c_void_p, c_int]),
    "tabiji_report_next": (c_int, [c_void_p, c_int, POINTER(POINTER(CReport))]),
    "tabiji_report_free": (None, [c_void_p, POINTER(POINTER(CReport))]),
}


class Library:
    """waiting: calls that let other threads run; quick: the same functions, for calls that never wait, without giving the GIL up."""

    def __init__(self, path: str):
        try:
            self.waiting: Any = ctypes.CDLL(path)
            self.quick: Any = ctypes.PyDLL(path)
            for name, (result, arguments) in FUNCTIONS.items():
                for loaded in (self.waiting, self.quick):
                    function = getattr(loaded, name)
                    function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as why:
            raise LibraryMissing(f"{why}: is libtabiji installed? (see tabiji.load)") from why


_lock = threading.Lock()
_library: Optional[Library] = None


def load(path: str = SONAME) -> Library:
    """Loads libtabiji from this path, where the dynamic loader does not find it by its name; before anything else is used."""
    global _library
    with _lock:
        if _library is None:
            _library = Library(path)
        return _library


def library() -> Library:
    return _library or load()


class Scratch:
    """A structure for the library to write a problem into."""

    __slots__ = ("problem", "address")

    def __init__(self) -> None:
        self.problem = CProblem(size=PROBLEM_SIZE)
        self.address = ctypes.addressof(self.problem)


# Taking one from here costs less than making it. Lists append and pop atomically.
_scratches: List[Scratch] = []


def take_scratch() -> Scratch:
    try:
        return _scratches.pop()
    except IndexError:
        return Scratch()


def give_scratch(scratch: Scratch) -> None:
    _scratches.append(scratch)


def problem_of(problem: CProblem) -> Problem:
    def text(raw: bytes) -> str:
        return raw.decode("utf-8", "replace")

    name = library().quick.tabiji_error_name(problem.error).decode() if problem.error else ""
    return Problem(name, text(problem.code), text(problem.pointer), text(problem.hint))


def error_of(code: int, problem: Optional[CProblem] = None) -> TabijiError:
    """The exception of a negative result; an error that is newer than this module is a TabijiError with its name and number."""
    said = problem_of(problem) if problem is not None and problem.error else None
    text = library().quick.tabiji_error_text(code).decode()
    if said:
        text += "".join(f": {part}" for part in (said.code, said.pointer, said.hint) if part and part != said.error)
    kind = BY_CODE.get(code, TabijiError)
    error = kind(text, said)
    if kind is TabijiError:
        error.code, error.name = code, library().quick.tabiji_error_name(code).decode()
    return error


def raise_error(code: int, problem: Optional[CProblem] = None) -> NoReturn:
    raise error_of(code, problem)


def text_option(name: str, value: Optional[str]) -> Optional[bytes]:
    """A text for C; one with a NUL would end there."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name}: a text, not {type(value).__name__}")
    try:
        raw = value.encode("utf-8")
    except UnicodeEncodeError as why:
        raise ArgumentError(f"{name}: {why}", Problem("argument", "argument", name, "no UTF-8")) from None
    if b"\0" in raw:
        raise ArgumentError(f"{name}: it contains NUL", Problem("argument", "argument", name, "it contains NUL"))
    return raw


def check_json(raw: bytes) -> Problem:
    """Judges an event as the collector does in its standard configuration. Returns the warning; code "" is none."""
    problem = CProblem(size=PROBLEM_SIZE)
    code = library().waiting.tabiji_json_check(raw, len(raw), byref(problem))
    if code < 0:
        raise_error(code, problem)
    return problem_of(problem)
