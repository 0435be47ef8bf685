"""The events that go each way into the tables, made by the Python module: whoever wants them has loaded its library."""
import random
import sys
from decimal import Decimal

from harness import LONG, ROOT, tabiji as program

sys.path.insert(0, str(ROOT / "ingest/producer/python"))
sys.dont_write_bytecode = True
import tabiji  # noqa: E402

EVENTS = 100_000 if LONG else 3000
CUSTOMERS, SOURCE = EVENTS // 50, "shop"
START_MS, STEP_MS = 1795139999000, 60_000_000 // EVENTS


def make_event(n, draw):
    """Orders, calls, messages, consent and properties of customers, of whom some have two identifiers."""
    customer = draw.randrange(CUSTOMERS)
    ids = {"cookie": f"c-{customer}", "login": [f"u-{customer}"]} if draw.random() < 0.3 else {"cookie": f"c-{customer}"}
    more = draw.choice([
        lambda: {"type": tabiji.PAGE_VIEWED, "page": tabiji.Page(url=f"https://shop.example.jp/{n % 9}?utm_source=mail&utm_medium=email")},
        lambda: {"type": tabiji.ORDER_COMPLETED, "order": tabiji.Order(
            order_id=f"R-{n}", currency="USD", revenue=Decimal(n) / 100, tax=str(n % 7), items=[
                tabiji.Item(sku=f"s-{n % 5}", quantity=1 + n % 3, price=Decimal("1.10")), tabiji.Item(sku="靴", price=n)])},
        lambda: {"type": tabiji.CALL_ENDED, "call": tabiji.Call(call_id=f"CA{n}", direction="inbound", queue="returns", talk_ms=n)},
        lambda: {"type": tabiji.MESSAGE_OPENED, "message": tabiji.Message(kind="email", message_id=f"m-{n}", template="t")},
        lambda: {"type": tabiji.STORE_VISITED, "store": tabiji.Store(store_id=f"st-{n % 4}", area="Shibuya")},
        lambda: {"type": tabiji.CONSENT_CHANGED, "consent": tabiji.Consent(analytics=True, ads=n % 2 == 0)},
        lambda: {"type": "sized_up", "properties": {"n": n, "名": ["あ", None, 1.5], "deep": {"b": True}}},
    ])()
    return tabiji.Event(more.pop("type"), id=f"e-{n}", time=START_MS + STEP_MS * n, sequence=n % 3, ids=ids, **more)


def events():
    draw = random.Random(8)
    return [make_event(n, draw) for n in range(EVENTS)]


def imported(space, data, lines):
    """The tables of these lines as a file."""
    mapping, file = space.path / "native.ini", space.path / "events.ndjson"
    mapping.write_text(f"[file]\nname = shop\nformat = native\nsource = {SOURCE}\n")
    file.write_text("".join(line + "\n" for line in lines))
    program("import", "--data", data, "--mapping", mapping, file)
