"""Events: native JSON, put together from keyword arguments.

The parts (Order, Call, ...) are dicts whose members a type checker knows. A member that is misspelt all the same is found before the
event is sent, with its pointer and the nearest name, by the collector's own code in libtabiji; here is only what JSON cannot say: money
is never a float, times have their offset, what goes into the event is not changed by who made it.
"""
from __future__ import annotations

import json
import math
import os
import time as clock
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, TypedDict, Union

from ._library import check_json
from .errors import InvalidEvent, Problem

Money = Union[Decimal, str, int]  #: in major units: Decimal("19.99"), "12980", 12980; never a float
Identifiers = Mapping[str, Union[str, Sequence[str]]]  #: {"loyalty": "8800-1234", "login": ["u-1", "u-2"]}


class Item(TypedDict, total=False):
    sku: str
    category: str
    price: Money
    quantity: int


class Order(TypedDict, total=False):
    order_id: str
    currency: str  #: ISO 4217: "JPY"
    revenue: Money
    tax: Money
    shipping: Money
    discount: Money
    coupon: str
    facet: str  #: placed paid shipped picked_up returned cancelled
    items: Sequence[Item]  #: at most 500


class Call(TypedDict, total=False):
    call_id: str
    parent_id: str  #: the call that was transferred
    direction: str  #: inbound outbound
    queue: str
    reason: str
    outcome: str
    agent: str  #: a pseudonym
    wait_ms: int
    talk_ms: int


class Store(TypedDict, total=False):
    store_id: str
    terminal: str
    area: str
    staff: str


class Message(TypedDict, total=False):
    kind: str  #: email push sms line direct_mail web_push in_app
    message_id: str
    template: str
    link: str


class Page(TypedDict, total=False):
    url: str  #: split into host, path and query
    referrer: str
    title: str


class Campaign(TypedDict, total=False):
    source: str  #: utm_source, and so on
    medium: str
    name: str
    content: str
    term: str
    id: str
    message: str


class Device(TypedDict, total=False):
    kind: str  #: desktop mobile tablet app tv pos phone kiosk other
    os: str
    browser: str
    app: str
    app_version: str
    locale: str
    screen: str


class Geo(TypedDict, total=False):
    country: str
    region: str
    city: str


class Click(TypedDict):
    kind: str  #: gclid yclid fbclid ldtag ttclid msclkid ...
    value: str


class Consent(TypedDict, total=False):
    """What the customer allows; what is not said stays as it was."""

    analytics: bool
    ads: bool
    personalisation: bool


class _LinkEnds(TypedDict):
    a: Mapping[str, str]  #: one identifier: {"login": "u-77"}
    b: Mapping[str, str]


class Link(_LinkEnds, total=False):
    """That two identifiers are one customer's."""

    reason: str
    apart: bool  #: that they are two customers' (of operators' keys only)


ORDER_MONEY = ("revenue", "tax", "shipping", "discount")


def new_id() -> str:
    """A UUID, version 7 (RFC 9562, 5.7)."""
    millis, random = f"{clock.time_ns() // 1000000:012x}", os.urandom(10).hex()
    return f"{millis[:8]}-{millis[8:]}-7{random[:3]}-{'89ab'[int(random[3], 16) & 3]}{random[4:7]}-{random[7:19]}"


def refuse(code: str, pointer: str, hint: str) -> NoReturn:
    """As libtabiji would, of what cannot be written as JSON."""
    raise InvalidEvent(f"the collector would refuse this event: {code}: {pointer}: {hint}", Problem("invalid", code, pointer, hint))


def _money(value: object, pointer: str) -> Union[str, int]:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            refuse("bad_money", pointer, f"{value} is no amount")
        return format(value, "f")
    raise TypeError(f"{pointer}: money is a Decimal, a text or an int, not {type(value).__name__}, which is not exact")


def _order(order: Order) -> Dict[str, Any]:
    whole = _said(order)
    for name in ORDER_MONEY:
        if name in whole:
            whole[name] = _money(whole[name], f"/order/{name}")
    items = whole.get("items")
    if items is not None:
        whole["items"] = said = [_said(item) for item in items]
        for i, item in enumerate(said):
            if "price" in item:
                item["price"] = _money(item["price"], f"/order/items/{i}/price")
    return whole


def _said(part: Mapping[str, Any]) -> Dict[str, Any]:
    """What is None is not said."""
    return {name: value for name, value in part.items() if value is not None}


def _link(link: Link) -> Dict[str, Any]:
    whole: Dict[str, Any] = _said(link)
    if whole.pop("apart", False):
        whole["sign"] = -1
    return whole


def _time(value: object) -> Union[str, int]:
    """RFC 3339 with offset, or milliseconds since 1970."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("time: it has no time zone; datetime.now(timezone.utc) has one")
        return value.isoformat()
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise TypeError(f"time: a datetime, RFC 3339 or milliseconds, not {type(value).__name__}")


def _plain(value: object) -> object:
    """Values that JSON has not: exact as texts."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no value of an event")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def _is_wrong(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value) or isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value)


def _pointer_to_wrong(whole: Mapping[str, Any]) -> str:
    """JSON pointer to the first value (or name) that JSON or UTF-8 has not; "" where there is none."""
    stack: List[Tuple[str, Any]] = [("", whole)]
    while stack:
        pointer, value = stack.pop()
        if _is_wrong(value):
            return pointer
        if isinstance(value, Mapping):
            stack.extend((pointer if _is_wrong(name) else f"{pointer}/{_escape(str(name))}", name if _is_wrong(name) else member)
                         for name, member in value.items())
        elif isinstance(value, (list, tuple)):
            stack.extend((f"{pointer}/{i}", member) for i, member in enumerate(value))
    return ""


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def to_json(value: Mapping[str, Any]) -> bytes:
    try:
        return _encode(value).encode("utf-8")
    except UnicodeEncodeError:
        refuse("bad_utf8", _pointer_to_wrong(value), "half of a surrogate pair is no character")
    except RecursionError:
        refuse("too_deep", "", "nested too deep")
    except ValueError as why:
        if "Circular" in str(why):
            refuse("too_deep", "", "it contains itself")
        refuse("num_range", _pointer_to_wrong(value), "not finite")


class Event:
    """What a customer did. It has its id from the beginning: sent again, it is the same event, which counts once.

    ids: who, at least one. id: one of your own, of 1 to 100 bytes. time: when it happened (now): a datetime with its time zone, RFC 3339
    with offset, or milliseconds since 1970. sequence breaks ties of time within one source. properties: anything else.
    """

    __slots__ = ("id", "_json")

    def __init__(
        self,
        type: str,
        *,
        ids: Identifiers,
        id: Optional[str] = None,
        time: Union[datetime, str, int, None] = None,
        sequence: Optional[int] = None,
        order: Optional[Order] = None,
        call: Optional[Call] = None,
        store: Optional[Store] = None,
        message: Optional[Message] = None,
        page: Optional[Page] = None,
        campaign: Optional[Campaign] = None,
        device: Optional[Device] = None,
        geo: Optional[Geo] = None,
        click: Optional[Click] = None,
        consent: Optional[Consent] = None,
        link: Optional[Link] = None,
        properties: Optional[Mapping[str, Any]] = None,
    ):
        self.id: str = new_id() if id is None else id
        whole: Dict[str, Any] = {
            "type": type,
            "id": self.id,
            "time": clock.time_ns() // 1000000 if time is None else _time(time),
            "ids": ids,
        }
        if sequence is not None:
            whole["sequence"] = sequence
        if order is not None:
            whole["order"] = _order(order)
        if link is not None:
            whole["evidence"] = _link(link)
        if call is not None:
            whole["call"] = _said(call)
        if store is not None:
            whole["store"] = _said(store)
        if message is not None:
            whole["message"] = _said(message)
        if page is not None:
            whole["page"] = _said(page)
        if campaign is not None:
            whole["campaign"] = _said(campaign)
        if device is not None:
            whole["device"] = _said(device)
        if geo is not None:
            whole["geo"] = _said(geo)
        if click is not None:
            whole["click"] = _said(click)
        if consent is not None:
            whole["consent"] = _said(consent)
        if properties is not None:
            whole["properties"] = properties
        self._json = to_json(whole)

    @property
    def json(self) -> str:
        """One line of native JSON."""
        return self._json.decode("utf-8")

    def check(self) -> Problem:
        """Judges the event as the collector does in its standard configuration. Returns its warning (code "" is none).
        Raises InvalidEvent."""
        return check_json(self._json)

    def __repr__(self) -> str:
        return f"Event({self.json})"
