"""Customers' events to a tabiji collector, by libtabiji.

    import tabiji

    with tabiji.Producer("https://collect.example.jp", key_file="/etc/pos/write-key") as producer:
        producer.send(tabiji.STORE_PURCHASE, ids={"loyalty": "8800-1234"},
                      order=tabiji.Order(order_id="R-1", currency="JPY", revenue="12980", items=[tabiji.Item(sku="shoe-9", price="12980")]))
"""
from __future__ import annotations

from ._library import SONAME
from ._library import library as _loaded
from ._library import load as _load
from .errors import (ArgumentError, CallbackFailed, Closed, Discarded, FileOrThreadError, Forked, InCallback, InvalidEvent,
                     LibraryMissing, NoMemory, Problem, QueueFull, TabijiError, TimedOut, Unauthorised)
from .event import (Call, Campaign, Click, Consent, Device, Event, Geo, Item, Link, Message, Money, Order, Page, Store)
from .event_types import *  # noqa: F401,F403
from .producer import Producer, Report, Statistics

__version__ = "0.1.0"


def load(path: str = SONAME) -> None:
    """Loads libtabiji from this path, where the dynamic loader does not find it by its name. Before anything else is used; once."""
    _load(path)


def library_version() -> str:
    """libtabiji's: "0.1.0"."""
    return str(_loaded().quick.tabiji_version().decode())
