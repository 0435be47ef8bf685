"""What a set of events means: every published table, computed at once from all events, as plainly as it can be said.

Shares no code with the program. Identity comes from the executable specification (identity_spec.py); the rest is written from
ATTRIBUTION.md. Exact numbers only. An event is a native JSON object with `source`; `log` is the order in which events were
appended (it decides which of two events with one key stands, nothing else).
"""
import collections
import decimal
import hashlib
import hmac
import json
from fractions import Fraction

TENANT_KEY = b"test".ljust(32, b"\0")
EXPONENT = {"JPY": 0, "USD": 2, "": 0}
NEAR = 4 * 3600 * 1_000_000
WHOLE = 1_000_000_000
MODELS = ["first", "last", "last_non_direct", "linear", "time_decay", "position", "j_shape", "inverse_j"]
HALF_LIFE = 7 * 86400 * 1_000_000
WEB = set("page_viewed screen_viewed app_opened app_installed searched product_viewed product_list_viewed product_added product_removed "
          "cart_viewed checkout_started signed_up signed_in form_submitted review_posted".split())
ORDER = set("order_completed order_paid order_shipped order_picked_up order_cancelled order_refunded item_returned".split())
IDENTITY = set("identified aliased identity_linked identity_unlinked consent_changed erasure_lifted erasure_requested".split())
CALLS = set("call_started call_answered call_ended call_abandoned".split())
CHATS = {"chat_started", "chat_ended"}
REFUNDS = {"order_cancelled", "order_refunded", "item_returned"}
CONVERSIONS = {"order_completed", "store_purchase"}
decimal.getcontext().prec = 60


# ---- names ----------------------------------------------------------------------------------------------------------------

def be64(number):
    return ((number + (1 << 63)) % (1 << 64)).to_bytes(8, "big")


def sized(*pieces):
    return b"".join(len(p).to_bytes(8, "big") + p for p in pieces)


def node_id(spec, members):
    """Of an identifier, or of several of one rank."""
    def single(member):
        return bytes([spec.rank(member) * 2]) + hashlib.sha256("\x1f".join(member).encode()).digest()[:15]
    ids = sorted(single(m) for m in members)
    if len(ids) == 1:
        return ids[0]
    return bytes([ids[0][0] + 1]) + hashlib.sha256(b"".join(ids)).digest()[:15]


def person_id(spec, root):
    digest = bytearray(hmac.new(TENANT_KEY, node_id(spec, [root]), hashlib.sha256).digest()[:16])
    digest[6] = digest[6] & 0x0f | 0x80
    digest[8] = digest[8] & 0x3f | 0x80
    return bytes(digest)


def identifiers(event):
    return {(name, value) for name, values in event["ids"].items() for value in values}


def chain(spec, event):
    """The event's identifiers, a group a rank, strongest first."""
    groups = collections.defaultdict(list)
    for identifier in identifiers(event):
        groups[spec.rank(identifier)].append(identifier)
    return [sorted(groups[rank], key=spec.order_key) for rank in sorted(groups)]


def event_key(spec, event):
    strongest = chain(spec, event)[0]
    pieces = [event["source"].encode(), event["id"].encode()]
    for namespace, value in strongest:
        pieces += [namespace.encode(), value.encode()]
    return hashlib.sha256(sized(*pieces)).digest()[:16]


# ---- the accepted set, and whose each event is ------------------------------------------------------------------------------

def facts(event):
    kept = {k: v for k, v in event.items() if k != "time_quality"}
    if event.get("time_quality") in ("server", "corrected", "clamped"):
        del kept["time"]
    return json.dumps(kept, sort_keys=True)


def accept(spec, log):
    """Events by key: of one key the first in the log stands; a later one with other facts is rejected."""
    stands, rejected = {}, []
    for event in log:
        key = event_key(spec, event)
        if key not in stands:
            stands[key] = event
        elif facts(stands[key]) != facts(event):
            rejected.append((key, event))
    return stands, rejected


class Moment:
    """An accepted event with its place, its person and its node."""

    def __init__(self, spec, key, event, root, generic):
        self.key, self.event, self.type = key, event, event["type"]
        self.at, self.sequence = event["time"] * 1000, event.get("sequence", 0)
        seats = [g for g in chain(spec, event) if not all(m in generic for m in g)]
        self.node = node_id(spec, (seats or chain(spec, event))[0])
        self.person = person_id(spec, spec.place({"ids": [list(i) for i in identifiers(event)]}, root, generic))
        devices = [min(v for n, v in identifiers(event) if n == name) for name in ("install", "device", "cookie")
                   if any(n == name for n, _ in identifiers(event))]
        kinds = [name for name in ("install", "device", "cookie") if any(n == name for n, _ in identifiers(event))]
        self.visitor = (kinds[0], devices[0]) if devices else self.node
        self.order = (self.at, self.sequence, self.key)
        self.campaign = event.get("campaign", {})
        self.call, self.store, self.purchase = event.get("call"), event.get("store", {}), event.get("order", {})
        self.order_id = self.purchase.get("order_id", "")
        self.own_channel = event.get("channel", "")
        self.rule_channel = toy_channel(self)
        self.channel = self.own_channel or self.rule_channel
        self.session, self.touch, self.implied, self.milestones = None, "none", False, 0

    def minor(self, name="revenue"):
        amount = decimal.Decimal(self.purchase.get(name, "0")) * 10 ** EXPONENT[self.purchase.get("currency", "")]
        assert amount == int(amount)
        return int(amount)

    def items_minor(self):
        scale = 10 ** EXPONENT[self.purchase.get("currency", "")]
        return sum(abs(int(decimal.Decimal(i.get("price", "0")) * scale) * i.get("quantity", 1)) for i in self.purchase.get("items", []))

    def call_id(self):
        return (self.call or {}).get("parent_id") or (self.call or {}).get("call_id", "")

    def tag(self):
        click = self.event.get("click", {})
        tag = tuple(self.campaign.get(k, "") for k in ("source", "medium", "name")) + (click.get("kind", ""), click.get("value", ""))
        return tag if any(tag) else None


def toy_channel(moment):
    """The channel rules of journey_case.c."""
    if moment.campaign.get("medium"):
        return moment.campaign["medium"]
    if moment.type.startswith("store_"):
        return ""
    return "Direct" if moment.type in WEB else moment.type


# ---- sessions and touches of one person -------------------------------------------------------------------------------------

def find_sessions(timeline, config):
    sessions = []
    for visitor in {m.visitor for m in timeline}:
        last = None
        for m in (m for m in timeline if m.visitor == visitor and m.type in WEB):
            changed = last is not None and m.tag() is not None and m.tag() != last[0].tag()
            if last is None or changed or m.at - last[-1].at >= config["session_s"] * 1_000_000:
                last = []
                sessions.append(last)
            last.append(m)
            m.session = last[0]
    return sessions


def nearby(timeline, moment, test):
    """An earlier event that passes the test, at most four hours before."""
    return any(m.order < moment.order and moment.at - m.at <= NEAR and test(m) for m in timeline)


def inbound(moment, types, call_id):
    return moment.type in types and (moment.call or {}).get("direction") != "outbound" and moment.call_id() == call_id


def find_touches(timeline):
    for m in timeline:
        direct_mail = m.event.get("message", {}).get("kind") == "direct_mail"
        own = {"ad_clicked": "click", "ad_impression": "impression", "message_opened": "message", "message_clicked": "message",
               "store_visited": "store", "staff_consulted": "store", "qr_scanned": "scan"}.get(m.type, "none")
        if own in ("message", "scan") and direct_mail or m.type == "coupon_redeemed" and direct_mail:
            own = "direct_mail"
        for types, kind in ((CALLS, "call"), (CHATS, "chat")):
            same = [n for n in timeline if n.order < m.order and inbound(n, types, m.call_id())]
            if m.type in types and (m.call or {}).get("direction") != "outbound" and not (same and m.at - same[-1].at <= NEAR):
                own = kind
        if m.session is m:
            m.touch, m.implied = "visit", True
        elif own != "none":
            m.touch = own
        elif m.type == "store_purchase" and not nearby(
                timeline, m, lambda n: n.type == "store_visited" and n.store.get("store_id", "") == m.store.get("store_id", "")):
            m.touch, m.implied = "store", True
            m.channel = m.own_channel or m.rule_channel or "Store"
        elif m.type == "order_completed" and m.call is not None and not nearby(timeline, m, lambda n: inbound(n, CALLS, m.call_id())):
            m.touch, m.implied = "call", True
            m.channel = m.own_channel or "Call Center"
        if m.touch in ("none", "impression") and m.own_channel and m.type not in CONVERSIONS | ORDER | IDENTITY:
            m.touch = "declared"


# ---- credits ----------------------------------------------------------------------------------------------------------------

def mix(x):
    """The end of splitmix64."""
    x = (x + 0x9e3779b97f4a7c15) % 2**64
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 % 2**64
    x = (x ^ x >> 27) * 0x94d049bb133111eb % 2**64
    return x ^ x >> 31


def tie(conversion, touch):
    """Who goes first of two touches that are as near to a unit: a hash of both events' keys."""
    found = 0
    for half in (conversion[:8], conversion[8:], touch[:8], touch[8:]):
        found = mix(found ^ int.from_bytes(half, "big"))
    return found


def split(amount, weights, ties):
    """Largest remainder; of equal ones the lowest tie."""
    if amount < 0:
        return [-share for share in split(-amount, weights, ties)]
    if not any(weights):
        weights = [1] * len(weights)
    quotas = [Fraction(amount) * w / sum(weights) for w in weights]
    shares = [q.numerator // q.denominator for q in quotas]
    for i in sorted(range(len(weights)), key=lambda i: (shares[i] - quotas[i], ties[i], i))[:amount - sum(shares)]:
        shares[i] += 1
    return shares


def position(count, first, middle, last):
    if count == 1:
        return [1]
    if count == 2:
        return [first, last]
    return [Fraction(first)] + [Fraction(middle, count - 2)] * (count - 2) + [Fraction(last)]


def milestones(path, part, close):
    """First, lead, opportunity and perhaps the last get their parts, which add up; the others share what is left of 10 %."""
    weights = [Fraction(0)] * len(path)
    reached = [0] + [next(i for i, m in enumerate(path) if m.milestones & bit) for bit in (1, 2) if any(m.milestones & bit for m in path)]
    for i in reached + ([len(path) - 1] if close else []):
        weights[i] += Fraction(part)
    others = weights.count(0)
    return [w or Fraction(1, 10) / others for w in weights]


def weights_of(model, path, half_life=HALF_LIFE, custom=(1, 1, 1)):
    count = len(path)
    if model == "w_shape":
        return milestones(path, "3/10", False)
    if model == "full_path":
        return milestones(path, "225/1000", True)
    if model == "custom":
        return position(count, *custom) if count != 2 or custom[0] + custom[2] else [1, 1]
    if model == "first":
        return [1] + [0] * (count - 1)
    if model == "last":
        return [0] * (count - 1) + [1]
    if model == "last_non_direct":
        chosen = max((i for i in range(count) if path[i].channel != "Direct"), default=count - 1)
        return [int(i == chosen) for i in range(count)]
    if model == "linear":
        return [1] * count
    if model == "time_decay":
        return [Fraction(decimal.Decimal(2) ** (decimal.Decimal(m.at - path[-1].at) / half_life)) for m in path]
    return position(count, *{"position": (40, 20, 40), "j_shape": (20, 20, 60), "inverse_j": (60, 20, 20)}[model])


def is_rule(model):
    return model["kind"] in MODELS + ["w_shape", "full_path", "custom", "participation"]


def credits_by(model, name, path, begin, revenue, key, **parameters):
    """Of one model that sees the path from `begin` on."""
    seen = path[begin:]
    if not seen:
        return [{"model": model, "name": name, "touch": -1, "ppb": WHOLE, "minor": revenue}]
    if model == "participation":
        first = {m.channel: i for i, m in reversed(list(enumerate(seen)))}
        return [{"model": model, "name": name, "touch": begin + i, "ppb": WHOLE, "minor": revenue} for i in sorted(first.values())]
    weights = weights_of(model, seen, **parameters)
    ties = [tie(key, m.key) for m in seen]
    return [{"model": model, "name": name, "touch": begin + i, "ppb": ppb, "minor": minor}
            for i, (ppb, minor) in enumerate(zip(split(WHOLE, weights, ties), split(revenue, weights, ties))) if ppb or minor]


def credits_of(path, m, reset_from, config):
    revenue = m.minor()
    rows = [row for model in MODELS for row in credits_by(model, "", path, 0, revenue, m.key)]
    for model in config["models"]:
        if not is_rule(model) or model["types"] and m.type not in model["types"]:
            continue
        begin = reset_from if model["reset"] else 0
        while model["lookback_h"] and begin < len(path) and m.at - path[begin].at > model["lookback_h"] * 3_600_000_000:
            begin += 1
        rows += credits_by(model["kind"], model["name"], path, begin, revenue, m.key, half_life=model["half_life_h"] * 3_600_000_000,
                           custom=model["weights"])
    return rows


def refund_credits(order, before, after):
    original, rows, groups = order["credits"], [], collections.defaultdict(list)
    for c in original:
        groups[c["model"], c["name"], c["touch"] if c["model"] == "participation" else None].append(c)
    for of_model in groups.values():
        weights = [c["minor"] for c in of_model]
        ties = [tie(bytes.fromhex(order["event"]), bytes.fromhex(order["touches"][c["touch"]]["event"])) if c["touch"] >= 0 else 0 for c in of_model]
        for credit, was, now in zip(of_model, split(before, weights, ties), split(after, weights, ties)):
            rows.append(dict(credit, ppb=0, minor=was - now))
    return rows


# ---- conversions of one person ------------------------------------------------------------------------------------------------

def find_conversions(timeline, config):
    """Rows in timeline order, each refund behind its order; and the touches after the last conversion."""
    touches, rows, orders, ids, previous = [], [], {}, set(), 0
    refunds = [m for m in timeline if m.type in REFUNDS and m.order_id]
    for m in timeline:
        earns = m.touch != "none" and (m.touch != "impression" or config["impressions"])
        if earns and m.implied:
            touches.append(m)
        if m.type in CONVERSIONS and not (m.order_id and m.order_id in orders):
            name = m.order_id or m.event["id"]
            if name in ids:
                name += "#" + m.key.hex()
            ids.add(name)
            path = touches[previous if config["reset"] else 0:][-config["path_max"]:]
            hours = {True: config["lookback_impression_h"], False: config["lookback_h"]}
            path = [t for t in path if m.at - t.at <= hours[t.touch == "impression"] * 3600 * 1_000_000]
            before = {id(t) for t in touches[:previous]}
            row = conversion_row(m, name, path, sum(id(t) in before for t in path), config)
            rows.append(row)
            previous = len(touches)
            if m.order_id:
                orders[m.order_id] = row
                rows += refund_rows(row, [r for r in refunds if r.order_id == m.order_id])
        if earns and not m.implied:
            touches.append(m)
        if touches:
            touches[-1].milestones |= (m.type in config["leads"]) | (m.type in config["opportunities"]) << 1
    return rows, touches[previous:][-config["path_max"]:]


def conversion_row(m, name, path, reset_from, config):
    return {"person": m.person.hex(), "id": name, "kind": "conversion", "event": m.key.hex(), "type": m.type, "order": m.order_id,
            "refund_of": "", "at": m.at, "minor": m.minor(), "reset_from": reset_from, "currency": m.purchase.get("currency", ""),
            "touches": [{"event": t.key.hex(), "at": t.at, "kind": t.touch, "channel": t.channel, "source": t.campaign.get("source", ""),
                         "medium": t.campaign.get("medium", ""), "campaign": t.campaign.get("name", ""),
                         "message": t.campaign.get("message", ""), "milestones": t.milestones} for t in path],
            "credits": credits_of(path, m, reset_from, config)}


def refund_rows(order, refunds):
    rows, taken = [], 0
    for m in refunds:
        currency = m.purchase.get("currency", "")
        if currency and order["currency"] and currency != order["currency"]:
            continue
        left = max(order["minor"], 0) - taken
        amount = abs(m.minor())
        if amount == 0 and m.type != "order_cancelled":
            amount = m.items_minor()
        if amount == 0 and m.type != "item_returned":
            amount = left
        amount = min(amount, left)
        rows.append(dict(order, id=f"{order['order']}#{m.key.hex()}", kind="refund", event=m.key.hex(), type=m.type, at=m.at,
                         refund_of=order["id"], minor=-amount, credits=refund_credits(order, taken, taken + amount)))
        taken += amount
    return rows


# ---- all tables -----------------------------------------------------------------------------------------------------------------

def event_row(m):
    return {"table": "event", "key": (m.person + be64(m.at) + be64(m.sequence) + m.key).hex(), "person": m.person.hex(),
            "node": m.node.hex(), "channel": m.channel, "session": m.session.key.hex() if m.session else "", "touch": m.touch,
            "rule": m.rule_channel if m.channel != (m.own_channel or m.rule_channel) else "-", "id": m.event["id"],
            "properties": json.dumps(m.event["properties"], sort_keys=True, separators=(",", ":")) if m.event.get("properties") else ""}


def session_row(person, session):
    first, page = session[0], session[0].event.get("page", {})
    return {"table": "session", "key": (person + first.key).hex(), "person": person.hex(), "session": first.key.hex(),
            "started_at": first.at, "ended_at": session[-1].at, "events": len(session),
            "page_views": sum(m.type in ("page_viewed", "screen_viewed") for m in session), "channel": first.channel,
            "source": first.campaign.get("source", ""), "medium": first.campaign.get("medium", ""),
            "campaign": first.campaign.get("name", ""), "landing_host": page.get("host", ""), "landing_path": page.get("path", ""),
            "device_kind": first.event.get("device", {}).get("kind", "")}


def person_rows(person, timeline, config):
    timeline.sort(key=lambda m: m.order)
    most = config["events_max"]
    step = max(most // 10, 1)
    skipped = -(-max(len(timeline) - most, 0) // step) * step
    seen = timeline[skipped:]
    sessions = find_sessions(seen, config)
    find_touches(seen)
    conversions, open_path = find_conversions(seen, config)
    rows = [event_row(m) for m in timeline] + [session_row(person, s) for s in sessions]
    revenue = collections.Counter()
    for c in conversions:
        key = c["id"].encode() if len(c["id"].encode()) <= 200 else hashlib.sha256(c["id"].encode()).digest()[:16]
        rows.append(dict(c, table="conversion", key=(person + key).hex()))
        revenue[c["currency"]] += c["minor"]
    rows.append({"table": "profile", "key": person.hex(), "person": person.hex(), "first_at": timeline[0].at, "last_at": timeline[-1].at,
                 "events": len(timeline), "sessions": len(sessions), "touches": sum(m.touch != "none" for m in seen),
                 "conversions": sum(c["kind"] == "conversion" for c in conversions),
                 "refunds": sum(c["kind"] == "refund" for c in conversions), "truncated": int(skipped > 0), "revenue": dict(revenue),
                 "open_path": [{"event": t.key.hex(), "at": t.at, "channel": t.channel} for t in open_path]})
    return rows


def tables(spec, log, limits, config):
    """Every published row (but rejected ones), and the keys and ids of what is rejected."""
    accepted, rejected = accept(spec, log)
    for_identity = [{"ids": [list(i) for i in identifiers(e)]} for e in log]
    root, generic = spec.solve_with_generic(for_identity, **limits)
    persons = collections.defaultdict(list)
    for key, event in accepted.items():
        moment = Moment(spec, key, event, root, generic)
        persons[moment.person].append(moment)
    rows = [row for person, timeline in persons.items() for row in person_rows(person, timeline, config)]
    return rows, rejected
