"""What goes wrong, one exception for each error of tabiji.h."""
from __future__ import annotations

import re
from typing import Dict, NamedTuple, Optional, Type


class Problem(NamedTuple):
    """What is wrong with an event or an option, in the collector's words."""

    error: str  #: "invalid", "rejected", "queue_full", ...; "" where there is only a warning
    code: str  #: "unknown_field"; of a warning "identifier_dropped"
    pointer: str  #: JSON pointer (RFC 6901) into the event: "/order/currency"; of an option its name
    hint: str  #: 'did you mean "order"?'

    @property
    def nearest(self) -> Optional[str]:
        """The known name that is nearest to an unknown one."""
        if self.code == "unknown_namespace":
            return self.hint or None
        found = re.search(r'did you mean "([^"]+)"', self.hint)
        return found.group(1) if found else None


class TabijiError(Exception):
    """Base of all that this module raises but TypeError, which is for arguments of a wrong type."""

    code = 0  #: the number in tabiji.h
    name = "unknown"  #: its stable name

    def __init__(self, text: str, problem: Optional[Problem] = None):
        super().__init__(text)
        self.problem = problem

    @property
    def reason(self) -> str:
        """The collector's name for what is wrong: "unknown_field"."""
        return self.problem.code if self.problem else ""

    @property
    def pointer(self) -> str:
        """JSON pointer to it: "/order/currency"."""
        return self.problem.pointer if self.problem else ""

    @property
    def hint(self) -> str:
        return self.problem.hint if self.problem else ""

    @property
    def nearest(self) -> Optional[str]:
        """The known name that is nearest to an unknown one."""
        return self.problem.nearest if self.problem else None


class NoMemory(TabijiError, MemoryError):
    code, name = -1, "no_memory"


class ArgumentError(TabijiError, ValueError):
    """An option is wrong; pointer is its name."""

    code, name = -2, "argument"


class InvalidEvent(TabijiError, ValueError):
    """The collector would refuse the event: nothing was queued."""

    code, name = -3, "invalid"


class QueueFull(TabijiError):
    """The event was not taken, and is counted as dropped."""

    code, name = -4, "queue_full"


class TimedOut(TabijiError, TimeoutError):
    code, name = -5, "timeout"


class Unauthorised(TabijiError):
    """The collector refuses the key; what is queued stays, see Producer.resume()."""

    code, name = -6, "unauthorised"


class Forked(TabijiError):
    """The producer belongs to the parent process: make another one in this."""

    code, name = -7, "forked"


class Closed(TabijiError):
    """The producer takes no more events."""

    code, name = -8, "closed"


class InCallback(TabijiError):
    """Not to be called from a report callback."""

    code, name = -9, "callback"


class FileOrThreadError(TabijiError):
    """A file cannot be read or written, or a thread not be started. Of a durable send: whether the event is kept is not known."""

    code, name = -10, "io"


class Locked(TabijiError):
    """Another producer, of any process, has the spool's directory."""

    code, name = -13, "locked"


class Discarded(TabijiError):
    """The producer was closed before all was sent, and had no spool; count says how many events."""

    code, name = -12, "discarded"

    def __init__(self, text: str, count: int = 0):
        super().__init__(text)
        self.count = count


class CallbackFailed(TabijiError):
    """on_report raised: __cause__ is the first exception, count says how many there were since the last time."""

    name = "callback_failed"

    def __init__(self, text: str, count: int):
        super().__init__(text)
        self.count = count


class LibraryMissing(TabijiError, ImportError):
    """libtabiji.so.0 cannot be loaded, or is another library."""

    name = "library_missing"


BY_CODE: Dict[int, Type[TabijiError]] = {
    kind.code: kind
    for kind in (NoMemory, ArgumentError, InvalidEvent, QueueFull, TimedOut, Unauthorised, Forked, Closed, InCallback, FileOrThreadError,
                 Locked)
}
