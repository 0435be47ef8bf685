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
from .errors import ArgumentError as ArgumentError
from .errors import CallbackFailed as CallbackFailed
from .errors import Closed as Closed
from .errors import Discarded as Discarded
from .errors import FileOrThreadError as FileOrThreadError
from .errors import Forked as Forked
from .errors import InCallback as InCallback
from .errors import InvalidEvent as InvalidEvent
from .errors import LibraryMissing as LibraryMissing
from .errors import Locked as Locked
from .errors import NoMemory as NoMemory
from .errors import Problem as Problem
from .errors import QueueFull as QueueFull
from .errors import TabijiError as TabijiError
from .errors import TimedOut as TimedOut
from .errors import Unauthorised as Unauthorised
from .event import Call as Call
from .event import Campaign as Campaign
from .event import Click as Click
from .event import Consent as Consent
from .event import Device as Device
from .event import Event as Event
from .event import Geo as Geo
from .event import Identifiers as Identifiers
from .event import Item as Item
from .event import Link as Link
from .event import Message as Message
from .event import Money as Money
from .event import Order as Order
from .event import Page as Page
from .event import Store as Store
from .event_types import *  # noqa: F401,F403
from .producer import Producer as Producer
from .producer import Report as Report
from .producer import Statistics as Statistics

__version__ = "0.1.0"


def load(path: str = SONAME) -> None:
    """Loads libtabiji from this path, where the dynamic loader does not find it by its name. Before anything else is used; once."""
    _load(path)


def library_version() -> str:
    """libtabiji's: "0.1.0"."""
    return str(_loaded().quick.tabiji_version().decode())
