"""The producer: events to the collector by libtabiji, from any number of threads.

1. The library's thread knows no Python. What became of events it keeps (tabiji_report_next()); a daemon thread of this module takes
   that and calls on_report, so a slow or raising callback delays and breaks no request.
2. `_users` has an entry for each call of the library that is under way. A call is entered there before it looks at `_refusal`, and
   close() sets `_refusal` before it looks at `_users`: so the library's handle is freed when nobody uses it, or never.
3. `_open` has an entry for each event that is to be reported and was not: what is left when the library's producer is gone was
   discarded. Its size is what bounds the reports.
   With a spool it has those with a context alone: the others may be as many as the disk has. Some of them meet their end without a report
   of their own (dropped by the spool): `_order` has which sends had returned before which token was drawn, so a report of a later event,
   or an empty spool, says that they are gone. Under `_taking`.
4. In a child process after fork() nothing of the parent's is touched, locks included.
"""
from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
import time as clock
from collections import deque
from contextlib import nullcontext
from ctypes import byref, c_void_p
from datetime import datetime
from itertools import count
from typing import (Any, Callable, ContextManager, Deque, Dict, Iterator, List, Mapping, NamedTuple, NoReturn, Optional, Set, Tuple, Type,
                    Union, overload)

from . import _library as lib
from .errors import (ArgumentError, CallbackFailed, Closed, Discarded, FileOrThreadError, Forked, InCallback, Problem, QueueFull,
                     TabijiError, Unauthorised)
from .event import (Call, Campaign, Click, Consent, Device, Event, Geo, Identifiers, Link, Message, Order, Page, Store, refuse,
                    to_json)

log = logging.getLogger("tabiji")

POLICIES = {"block": 0, "drop_newest": 1, "drop_oldest": 2}
SYNCS = {"interval": 0, "every": 1, "none": 2}
FLAGS = {"check": 1, "complete_id": 2, "complete_time": 4, "trusted": 8, "gzip": 16, "as_it_is": 64}
KINDS = {1: "delivered", 2: "rejected", 3: "dropped", 4: "stopped", 5: "spool"}
REPORTS_MAX = 100000  # that on_report may be behind
C_INT_MAX, C_SIZE_MAX = 2**31 - 1, 2 ** (8 * ctypes.sizeof(ctypes.c_size_t)) - 1
REPORT_SLICE_MS = 50  # how long the reports' thread waits in the library, which nothing but a report ends
SPOOL_LOOK_S = 0.25  # how often the reports' thread looks for what an empty spool says
FLUSH_SLICE_MIN_MS, FLUSH_SLICE_MAX_MS = 50, 1000  # Python's signals are looked at in between
LEAVE_S = 2.0  # how long close() waits for calls of other threads to end
PAUSE_S = 0.001


class Report(NamedTuple):
    """What became of an event."""

    #: "delivered", "rejected", "dropped" (never sent, or not known to be), "stopped" (no event: the key is refused), "spool" (what became of
    #: `events` in the spool, by problem.code: "kept" at close, "spool_full", "spool_age", "spool_damaged", "spool_cut")
    kind: str
    event_id: str
    context: Any  #: what was given to send(); None of what an earlier process left
    problem: Optional[Problem]  #: why, where it was not delivered
    events: int = 0  #: of "spool"


class Statistics(NamedTuple):
    """The members of struct tabiji_statistics."""

    events_taken: int
    events_delivered: int
    events_duplicate: int
    events_denied: int
    events_rejected: int
    events_invalid: int
    events_dropped: int
    events_discarded: int
    reports_lost: int
    queue_events: int
    queue_bytes: int
    requests: int
    requests_failed: int
    bytes_sent: int
    unauthorised: bool
    last_status: int
    last_failure: str
    spool_events: int  #: of a closed producer: those that stay
    spool_bytes: int
    spool_oldest_ms: int
    spool_dropped_full: int
    spool_dropped_age: int
    spool_lost: int
    spool_cuts: int


def _size(name: str, value: Optional[int], maximum: int = C_SIZE_MAX) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: an int, not {type(value).__name__}")
    if not 0 < value <= maximum:
        raise ArgumentError(f"{name}: 1 to {maximum}", Problem("argument", "argument", name, f"1 to {maximum}"))
    return value


def _millis(name: str, seconds: Optional[float], maximum: int = C_INT_MAX) -> int:
    """0: the library's default. No time at all is its -1."""
    if seconds is None:
        return 0
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name}: seconds, not {type(seconds).__name__}")
    if not 0 <= seconds <= maximum / 1000:
        raise ArgumentError(f"{name}: not negative", Problem("argument", "argument", name, "not negative"))
    return max(1, round(seconds * 1000)) if seconds else -1


def _span(name: str, seconds: Optional[float], maximum: int) -> int:
    """As _millis(), of a time that is more than none."""
    if seconds == 0:
        raise ArgumentError(f"{name}: more than 0", Problem("argument", "argument", name, "more than 0"))
    return _millis(name, seconds, maximum)


def _deadline(timeout: Optional[float]) -> float:
    return float("inf") if timeout is None else clock.monotonic() + timeout


def _read_statistics(handle: c_void_p) -> Statistics:
    read = lib.CStatistics(size=ctypes.sizeof(lib.CStatistics))
    code = lib.library().waiting.tabiji_producer_statistics(handle, byref(read))
    if code < 0:
        lib.raise_error(code)
    values = {name: getattr(read, name) for name in Statistics._fields}
    values["unauthorised"] = bool(read.unauthorised)
    values["last_failure"] = read.last_failure.decode("utf-8", "replace")
    return Statistics(**values)


class Producer:
    """Sends events to a collector. Times are in seconds; what is None is as tabiji.h says.

    on_report(report) is called in a thread of this module, one report after the other, never in that of a sender. It may call send(), but
    not flush() or close(). What it raises is logged at once (logger "tabiji"), and the first of it raised by the next flush() or close().
    Without on_report, reports_max reports wait for next_report() and reports(). While so many events (100,000 with on_report) were not
    reported, send() is as with a full queue: no report is ever lost. failures_only: those of delivered events are left out.

    queue_policy: "block" (waits queue_timeout, None: as long as it takes, then raises QueueFull), "drop_newest", "drop_oldest"; a send() of
    these two never waits, nor does it let other threads run. close_timeout: for how long the end of a `with` block, or of the interpreter,
    waits for the rest; on_report has two seconds more to come back.

    spool_dir: a directory where every event is before send() returns, and stays until the collector has answered for it: also when this
    process is killed; the next producer that has the directory sends it first. One at a time has it (Locked), and a child after fork()
    holds it, too. Bounded by spool_bytes_max (256 MiB), spool_age_max (none). spool_sync: "interval" (spool_interval: 1 s), "every", "none":
    what a loss of power may take, but of what was sent durable=True. With a spool send() lets other threads run; only events with a context
    count as not reported; what earlier processes left is reported without context; what the spool drops, by a number in a report "spool".
    """

    def __init__(
        self,
        url: str,
        *,
        key: Optional[str] = None,
        key_file: Optional[str] = None,
        ca_file: Optional[str] = None,
        certificate_file: Optional[str] = None,
        private_key_file: Optional[str] = None,
        proxy: Optional[str] = None,
        on_report: Optional[Callable[[Report], None]] = None,
        reports_max: Optional[int] = None,
        failures_only: bool = False,
        queue_events_max: Optional[int] = None,
        queue_bytes_max: Optional[int] = None,
        queue_policy: str = "block",
        queue_timeout: Optional[float] = 1.0,
        batch_events_max: Optional[int] = None,
        batch_bytes_max: Optional[int] = None,
        linger: Optional[float] = None,
        requests_max: Optional[int] = None,
        connect_timeout: Optional[float] = None,
        request_timeout: Optional[float] = None,
        retry_min: Optional[float] = None,
        retry_max: Optional[float] = None,
        namespaces: Tuple[str, ...] = (),
        check: bool = True,
        complete_id: bool = True,
        complete_time: bool = True,
        trusted: bool = False,
        gzip: bool = True,
        as_it_is: bool = False,
        spool_dir: Optional[str] = None,
        spool_bytes_max: Optional[int] = None,
        spool_age_max: Optional[float] = None,
        spool_sync: str = "interval",
        spool_interval: Optional[float] = None,
        close_timeout: float = 5.0,
    ):
        for name, value, known in (("queue_policy", queue_policy, POLICIES), ("spool_sync", spool_sync, SYNCS)):
            if value not in known:
                names = ", ".join(known)
                raise ArgumentError(f"{name}: one of {names}", Problem("argument", "argument", name, names))
        waits = _millis("queue_timeout", queue_timeout)  # here None is no default: as long as it takes
        policy = "drop_newest" if queue_policy == "block" and waits < 0 else queue_policy
        says = {"check": check, "complete_id": complete_id, "complete_time": complete_time, "gzip": gzip}
        flags = sum(FLAGS[name] for name, said in says.items() if not said)
        flags |= (FLAGS["trusted"] if trusted else 0) | (FLAGS["as_it_is"] if as_it_is else 0)
        self._limit = _size("reports_max", reports_max, C_INT_MAX) or (REPORTS_MAX if on_report else 0)
        options = lib.COptions(
            size=ctypes.sizeof(lib.COptions), flags=flags,
            url=lib.text_option("url", url), key=lib.text_option("key", key), key_file=lib.text_option("key_file", key_file),
            ca_file=lib.text_option("ca_file", ca_file), certificate_file=lib.text_option("certificate_file", certificate_file),
            private_key_file=lib.text_option("private_key_file", private_key_file), proxy=lib.text_option("proxy", proxy),
            queue_events_max=_size("queue_events_max", queue_events_max), queue_bytes_max=_size("queue_bytes_max", queue_bytes_max),
            queue_policy=POLICIES[policy], queue_timeout_ms=waits or -1,
            batch_events_max=_size("batch_events_max", batch_events_max), batch_bytes_max=_size("batch_bytes_max", batch_bytes_max),
            linger_ms=_millis("linger", linger), requests_max=_size("requests_max", requests_max, C_INT_MAX),
            connect_timeout_ms=max(0, _millis("connect_timeout", connect_timeout)),
            request_timeout_ms=max(0, _millis("request_timeout", request_timeout)),
            retry_min_ms=max(0, _millis("retry_min", retry_min)), retry_max_ms=max(0, _millis("retry_max", retry_max)),
            reports_max=C_INT_MAX if self._limit else 0,  # `_limit` bounds them
            namespaces=lib.text_option("namespaces", " ".join(namespaces)),
            spool_dir=lib.text_option("spool_dir", spool_dir), spool_bytes_max=_size("spool_bytes_max", spool_bytes_max, 2**64 - 1),
            spool_age_max_ms=_span("spool_age_max", spool_age_max, 2**62), spool_sync=SYNCS[spool_sync],
            spool_interval_ms=_span("spool_interval", spool_interval, C_INT_MAX),
        )
        loaded, problem, handle = lib.library(), lib.CProblem(size=lib.PROBLEM_SIZE), c_void_p()
        self.close_timeout = close_timeout
        self._blocks, self._patience = policy == "block", queue_timeout
        self._has_spool = spool_dir is not None
        self._send_json = (loaded.waiting if self._blocks or self._has_spool else loaded.quick).tabiji_send_json  # a disk may be slow
        self._send_durable = loaded.waiting.tabiji_send_json_durable
        self._on_report, self._failures_only = on_report, failures_only
        self._users: List[None] = []
        self._refusal: Optional[Type[TabijiError]] = None
        self._is_closed = False
        self._tokens = count(1)
        self._open: Dict[Optional[int], Tuple[str, Any]] = {}
        self._order: Deque[Tuple[int, int]] = deque()  # with a spool: a token drawn after an event of `_open` was taken, and the event's
        self._lost = False  # the spool said so, and `_open` may have events that were
        self._kept: Deque[Tuple[Optional[int], Report]] = deque()  # that the library cannot give any more
        self._refused = 0
        self._failed: List[BaseException] = []
        self._failures = 0
        self._make_locks()
        code = loaded.waiting.tabiji_producer_new(byref(options), byref(handle), byref(problem))
        if code < 0:
            lib.raise_error(code, problem)
        self._handle = handle
        self._last = _read_statistics(handle)
        self._thread: Optional[threading.Thread] = None
        if on_report:
            self._start_thread()
        _producers.add(self)

    def _make_locks(self) -> None:
        self._closing = threading.Lock()
        self._taking: ContextManager[Any] = threading.RLock() if self._has_spool else nullcontext()
        self._changed = threading.Condition()  # of `_open` grown less, `_answered`
        self._room_wanted = 0
        self._wake = threading.Event()
        self._asked = self._answered = 0
        self._ending = False
        self._gathered = threading.Event()  # `_kept` has all that is left
        self._calling: Optional[int] = None  # thread that is in on_report
        self._told: Optional[int] = None  # the event that it is told of

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="tabiji reports", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as why:
            lib.library().waiting.tabiji_producer_close(byref(self._handle), 0)
            raise FileOrThreadError(f"the thread of reports cannot be started: {why}") from why

    # ---- sending ----

    @overload
    def send(self, event: Event, *, context: Any = ..., durable: bool = ...) -> str: ...

    @overload
    def send(
        self,
        event: str,
        *,
        context: Any = ...,
        durable: bool = ...,
        ids: Identifiers,
        id: Optional[str] = ...,
        time: Union[datetime, str, int, None] = ...,
        sequence: Optional[int] = ...,
        order: Optional[Order] = ...,
        call: Optional[Call] = ...,
        store: Optional[Store] = ...,
        message: Optional[Message] = ...,
        page: Optional[Page] = ...,
        campaign: Optional[Campaign] = ...,
        device: Optional[Device] = ...,
        geo: Optional[Geo] = ...,
        click: Optional[Click] = ...,
        consent: Optional[Consent] = ...,
        link: Optional[Link] = ...,
        properties: Optional[Mapping[str, Any]] = ...,
    ) -> str: ...

    def send(self, event: Union[Event, str], *, context: Any = None, durable: bool = False, **fields: Any) -> str:
        """Queues an event, or makes one of the type and the keyword arguments of Event. Returns its id. context comes back in its report.
        durable: it is on the disk then, also when power is lost; of a producer with a spool (else ArgumentError).

        Raises InvalidEvent (with pointer, reason, nearest), QueueFull, Closed, Forked: then nothing was queued, and nothing is reported."""
        if not isinstance(event, Event):
            event = Event(event, **fields)
        elif fields:
            raise TypeError(f"the event is made already: {', '.join(fields)}")
        self._send(event._json, event.id, context, durable)
        return event.id

    def send_json(self, event: Union[str, bytes, Mapping[str, Any]], *, context: Any = None, durable: bool = False) -> None:
        """Queues an event of native JSON, as a text or a dict. It is given an "id" and the "time" now where it has none.
        durable: see send()."""
        event_id = ""
        if isinstance(event, Mapping):
            event_id = str(event.get("id") or "")
            raw = to_json(event)
        elif isinstance(event, str):
            try:
                raw = event.encode("utf-8")
            except UnicodeEncodeError:
                refuse("bad_utf8", "", "half of a surrogate pair is no character")
        elif isinstance(event, (bytes, bytearray, memoryview)):
            raw = bytes(event)
        else:
            raise TypeError(f"JSON as a text or a dict, not {type(event).__name__}")
        self._send(raw, event_id, context, durable)

    def _send(self, raw: bytes, event_id: str, context: Any, durable: bool) -> None:
        users, token = self._users, None
        users.append(None)
        try:
            handle = self._handle
            if self._refusal:
                self._refuse()
            if self._limit:
                token = self._track(event_id, context)
            scratch = lib.take_scratch()
            code = (self._send_durable if durable else self._send_json)(handle, raw, len(raw), token, scratch.address)
            if code < 0:
                if token is not None:
                    self._settle(token)
                lib.raise_error(code, scratch.problem)
            lib.give_scratch(scratch)
            if self._has_spool and token is not None and token in self._open:
                self._order.append((next(self._tokens), token))
        finally:
            users.pop()

    def _refuse(self) -> NoReturn:
        kind = self._refusal or Closed
        raise kind("the producer belongs to the parent process" if kind is Forked else "the producer takes no more events")

    def _track(self, event_id: str, context: Any) -> int:
        if self._has_spool and context is None:
            return next(self._tokens)
        if len(self._open) >= self._limit and self._calling != threading.get_ident():
            self._wait_for_reports()
        token = next(self._tokens)
        self._open[token] = (event_id, context)
        if not self._wake.is_set():
            self._wake.set()
        return token

    def _wait_for_reports(self) -> None:
        """The queue is full of events whose reports nobody took."""
        def has_room() -> bool:
            return len(self._open) < self._limit or self._refusal is not None

        with self._changed:
            self._room_wanted += 1
            try:
                took = self._changed.wait_for(has_room, self._patience if self._blocks else 0)
            finally:
                self._room_wanted -= 1
            if not took:
                self._refused += 1
        if self._refusal:
            self._refuse()
        if not took:
            hint = f"{self._limit} events were not reported: on_report is behind, or nobody takes reports"
            raise QueueFull(f"the queue is full: {hint}", Problem("queue_full", "queue_full", "", hint))

    def _settle(self, token: Optional[int]) -> Tuple[str, Any]:
        entry = self._open.pop(token, ("", None))
        if self._room_wanted:
            with self._changed:
                self._changed.notify_all()
        return entry

    def _settle_before(self, token: int) -> None:
        """All events whose send() had returned before the token was drawn have met their end, and were told of if they ever will be."""
        while self._order and self._order[0][0] < token:
            gone = self._order.popleft()[1]
            if gone in self._open:
                self._settle(gone)

    def _spool_events(self) -> int:
        users = self._users
        users.append(None)
        try:
            handle = self._handle
            return _read_statistics(handle).spool_events if handle else 0
        finally:
            users.pop()

    # ---- reports ----

    def _take(self, timeout_ms: int, telling: bool = False) -> Optional[Tuple[Optional[int], Report]]:
        """The library's next report, with the token of its event where that is to be settled yet; None: there is none."""
        with self._taking:
            taken = self._take_next(timeout_ms, telling)
            if taken is None and self._lost and self._handle:
                now = next(self._tokens)
                if self._spool_events() == 0:  # of what was sent before now the library has told, or will not
                    taken = self._take_next(0, telling)
                    if taken is None:
                        self._lost = False
                        self._settle_before(now)
            return taken

    def _take_next(self, timeout_ms: int, telling: bool) -> Optional[Tuple[Optional[int], Report]]:
        report = ctypes.POINTER(lib.CReport)()
        users, loaded = self._users, lib.library()
        users.append(None)
        try:
            handle = self._handle
            if not handle:
                return None
            next_report = (loaded.waiting if timeout_ms else loaded.quick).tabiji_report_next
            if next_report(handle, timeout_ms, byref(report)) < 0:
                return None
            said = report.contents
            kind, token, event_id = KINDS.get(said.kind, "unknown"), said.opaque, said.event_id.decode("utf-8", "replace")
            problem = None if kind == "delivered" else lib.problem_of(said.problem)
            events = said.events
            loaded.quick.tabiji_report_free(handle, byref(report))
            if self._has_spool:
                self._lost = self._lost or kind == "spool"
                if token is not None:
                    self._settle_before(token)
            if not self._on_report:
                return None, Report(kind, event_id, self._settle(token)[1], problem, events)
            if telling:
                self._told = token
        finally:
            users.pop()
        return token, Report(kind, event_id, self._open.get(token, ("", None))[1], problem, events)

    def _is_wanted(self, report: Report) -> bool:
        return not (self._failures_only and report.kind == "delivered")

    def _tell(self, token: Optional[int], report: Report) -> None:
        """Calls on_report; the event is settled when that has ended."""
        try:
            if self._on_report and self._is_wanted(report):
                self._calling = threading.get_ident()
                self._on_report(report)
        except BaseException as why:  # it must not end the thread: flush() or close() raises it
            log.error("on_report raised %r for event %s", why, report.event_id, exc_info=why)
            self._failures += 1
            if not self._failed:
                self._failed.append(why)
        finally:
            self._calling = None
            if token is not None:
                self._settle(token)

    def _tell_all(self) -> None:
        while not self._ending:
            taken = self._take(0, telling=True)
            if taken is None:
                return
            self._tell(*taken)

    def _run(self) -> None:
        """The thread of reports: with nothing under way it waits for Python, else for the library; with a spool for both in turns."""
        while not self._ending:
            asked = self._asked
            self._tell_all()
            if asked > self._answered:
                with self._changed:
                    self._answered = asked
                    self._changed.notify_all()
            if self._open or (self._has_spool and self._spool_events()):
                taken = self._take(REPORT_SLICE_MS, telling=True)
                if taken is not None:
                    self._tell(*taken)
                continue
            self._wake.clear()
            if not self._open and self._asked == self._answered and not self._ending:
                self._wake.wait(SPOOL_LOOK_S if self._has_spool else None)
        self._gathered.wait()
        while self._kept:
            self._tell(*self._kept.popleft())

    def _wait_for_callbacks(self, deadline: float) -> bool:
        """Until on_report has ended for all that the library has told of. False: not in time."""
        if not self._thread:
            return True
        with self._changed:
            self._asked = asked = self._asked + 1
            self._wake.set()
            left = deadline - clock.monotonic()
            self._changed.wait_for(lambda: self._answered >= asked or self._ending, None if left == float("inf") else max(0.0, left))
            return self._answered >= asked

    def _raise_failures(self) -> None:
        if self._failed:
            failures, first = self._failures, self._failed.pop()
            self._failures = 0
            raise CallbackFailed(f"on_report raised {first!r}" + (f" and {failures - 1} more" if failures > 1 else ""), failures) from first

    def next_report(self, timeout: Optional[float] = None) -> Optional[Report]:
        """The next report, of a producer without on_report; waits for it. None: none came, or the producer is closed and none is left."""
        if self._on_report or not self._limit:
            raise ArgumentError("reports: with reports_max, and without on_report", Problem("argument", "argument", "reports_max", ""))
        deadline = _deadline(timeout)
        while True:
            if self._refusal is Forked:
                self._refuse()
            left, over = deadline - clock.monotonic(), self._is_closed
            try:
                taken: Optional[Tuple[Optional[int], Report]] = self._kept.popleft()
            except IndexError:
                taken = self._take(max(0, min(REPORT_SLICE_MS, int(left * 1000))) if left < C_INT_MAX else REPORT_SLICE_MS)
            if taken is None:
                if over or left <= 0:
                    return None
                continue
            if self._is_wanted(taken[1]):
                return taken[1]

    def reports(self, timeout: Optional[float] = None) -> Iterator[Report]:
        """Reports, until none comes for so long, or the producer is closed."""
        while True:
            report = self.next_report(timeout)
            if report is None:
                return
            yield report

    # ---- waiting, figures ----

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Waits until each event that was queued before has met its end, and on_report has been told of it. False: not all in time (it may be
        so for long while other threads go on sending to a collector that is behind). With a spool, those of earlier processes, too. Raises
        Unauthorised, CallbackFailed."""
        if self._calling == threading.get_ident():
            raise InCallback("flush() within on_report")
        deadline = _deadline(timeout)
        done = self._flush(deadline) and self._wait_for_callbacks(deadline)
        self._raise_failures()
        return done

    def _flush(self, deadline: float, closing: bool = False) -> bool:
        slice_ms = FLUSH_SLICE_MIN_MS
        while True:
            left = max(0.0, deadline - clock.monotonic())
            code = self._call("tabiji_flush", int(min(left * 1000, slice_ms)), closing=closing)
            if code == 0:
                return True
            if code != -5:
                lib.raise_error(code)
            if left * 1000 <= slice_ms:
                return False
            slice_ms = min(2 * slice_ms, FLUSH_SLICE_MAX_MS)

    def _call(self, name: str, *arguments: Any, closing: bool = False) -> int:
        users = self._users
        users.append(None)
        try:
            handle = self._handle
            if self._refusal and not (closing and self._refusal is Closed):
                self._refuse()
            return int(getattr(lib.library().waiting, name)(handle, *arguments))
        finally:
            users.pop()

    def resume(self, key: Optional[str] = None) -> None:
        """After Unauthorised: tries again, with another key, or with what key_file has now, or the same."""
        code = self._call("tabiji_producer_resume", lib.text_option("key", key))
        if code < 0:
            lib.raise_error(code)

    def statistics(self) -> Statistics:
        """Of a closed producer: how it ended."""
        users = self._users
        users.append(None)
        try:
            handle = self._handle
            if self._refusal is Forked:
                self._refuse()
            read = _read_statistics(handle) if handle else self._last
        finally:
            users.pop()
        return read._replace(events_dropped=read.events_dropped + self._refused)

    # ---- the end ----

    def close(self, timeout: Optional[float] = None) -> bool:
        """Takes no more events, sends what is queued for at most so long (None: as long as it takes) and ends. False: something was
        discarded, and reported so; with a spool: something stays there for the next producer, and one report ("spool", "kept") says how many
        events. A second time it says the same. Raises CallbackFailed, when all is done."""
        if self._refusal is Forked:
            self._refuse()
        if self._calling == threading.get_ident():
            raise InCallback("close() within on_report")
        with self._closing:
            if not self._is_closed:
                deadline = _deadline(timeout)
                self._refusal = Closed
                with self._changed:
                    self._changed.notify_all()
                try:
                    self._call("tabiji_producer_stop", closing=True)
                    if self._flush(deadline, closing=True):
                        self._wait_for_callbacks(deadline)
                except Unauthorised:
                    pass  # nothing more is sent
                finally:  # also after Control-C
                    self._end(deadline)
        self._raise_failures()
        return self._last.events_discarded == self._last.spool_events == 0

    def _end(self, deadline: float) -> None:
        self._ending = True
        self._wake.set()
        with self._changed:
            self._changed.notify_all()
        last = _read_statistics(self._handle)
        while self._gather():
            pass
        handle, self._handle = self._handle, c_void_p()
        leave = clock.monotonic() + LEAVE_S
        while self._users and clock.monotonic() < leave:
            clock.sleep(PAUSE_S)
        code = -5
        if not self._users:  # else it stays as it is: better than to free what is in use
            code = lib.library().waiting.tabiji_producer_close(byref(handle), 0)
        discarded = last.queue_events if code < 0 and not self._has_spool else 0
        self._last = last._replace(events_discarded=last.events_discarded + discarded, queue_events=0, queue_bytes=0,
                                   spool_events=last.spool_events if code < 0 else 0)
        if self._has_spool:
            self._gather_spooled()
        else:
            self._gather_discarded()
        self._is_closed = True
        self._gathered.set()
        _producers.discard(self)
        if self._thread:
            left = max(0.0, deadline - clock.monotonic()) + LEAVE_S
            self._thread.join(None if left == float("inf") else left)
            if self._thread.is_alive():
                log.error("on_report did not come back in time: %d reports were not told", len(self._kept) + 1)

    def _gather(self) -> bool:
        taken = self._take(0)
        if taken is None:
            return False
        self._kept.append(taken)
        return True

    def _gather_discarded(self) -> None:
        """What the library did not tell of before it ended."""
        why = Problem("discarded", "discarded", "", "the producer was closed before it was known to be delivered")
        known = {token for token, _ in self._kept} | {self._told}
        for token, (event_id, context) in list(self._open.items()):
            if token not in known:
                self._kept.append((token, Report("dropped", event_id, context, why)))

    def _gather_spooled(self) -> None:
        """What is in the spool has not met its end: it has no report but this one."""
        self._open.clear()
        self._order.clear()
        if self._limit and self._last.spool_events:
            why = Problem("", "kept", "spool_dir", "these events stay on the disk, for the next producer")
            self._kept.append((None, Report("spool", "", None, why, self._last.spool_events)))

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        """Closes within close_timeout. Raises Discarded where something was not sent and is in no spool, unless the block raises itself."""
        if self._refusal is Forked:
            return
        try:
            self.close(self.close_timeout)
            discarded = self._last.events_discarded
            if discarded and kind is None:
                raise Discarded(f"the producer was closed before {discarded} events were sent", discarded)
        except CallbackFailed:
            if kind is None:
                raise

    def __reduce__(self) -> NoReturn:
        raise TypeError("a producer is of one process: make one in each")

    def _forget(self) -> None:
        """In a child process: nobody else is here, and locks may be held by threads that are not."""
        self._refusal, self._handle, self._users, self._thread = Forked, c_void_p(), [], None
        self._open, self._limit = {}, 0
        self._make_locks()


_producers: Set[Producer] = set()  # open ones: they live until they are closed


def _forget_all() -> None:
    for producer in list(_producers):
        producer._forget()
    _producers.clear()


def _close_all() -> None:
    """At the interpreter's end, when its other threads have ended."""
    for producer in list(_producers):
        try:
            producer.close(producer.close_timeout)
            if producer._last.events_discarded:
                log.error("%s events were discarded: a producer was not closed", producer._last.events_discarded)
        except TabijiError as why:
            log.error("a producer was not closed: %s", why)


os.register_at_fork(after_in_child=_forget_all)
atexit.register(_close_all)
