"""A shop's server with snowplow-tracker for Python: every kind of event. Prints the id of each under a name."""
import json
import os
import time

import snowplow_tracker.emitters
import snowplow_tracker.tracker
from snowplow_tracker import PagePing, PageView, ScreenView, SelfDescribing, SelfDescribingJson, StructuredEvent

user_id = os.environ["NAME"]
skew = int(os.environ.get("SKEW_MS", "0")) / 1000


class Wrong:
    """A clock that is wrong. What it runs is not touched."""

    def time(self):
        return time.time() + skew


snowplow_tracker.emitters.time = snowplow_tracker.tracker.time = Wrong()

# README begins
from snowplow_tracker import Emitter, PageView, Subject, Tracker
emitter = Emitter(os.environ["TABIJI"], batch_size=3)
tracker = Tracker("shop", emitter, Subject().set_user_id(user_id), app_id=os.environ["APP_ID"])
sent = tracker.track(PageView("https://shop.example.jp/", page_title="Home"))
# README ends


def say(name, eid):
    print(json.dumps({"name": name, "eid": eid}))


def described(schema, **data):
    return SelfDescribingJson(f"iglu:{schema}", data)


ECOMMERCE = "com.snowplowanalytics.snowplow.ecommerce"
say("page", sent)
tracker.subject.set_domain_user_id(f"{user_id}-cookie")
say("ping", tracker.track(PagePing("https://shop.example.jp/", min_x=0, max_x=1, min_y=2, max_y=3)))
say("structured", tracker.track(StructuredEvent("shop", "Size Chosen", label="L", property_="coat", value=1.5)))
say("custom", tracker.track(SelfDescribing(described("com.acme/wish_listed/jsonschema/1-0-0", sku="s1", depth=9007199254740993, text="<<???>> 購入"))))
say("screen", tracker.track(ScreenView(id_="home", name="Home")))
say("sale", tracker.track(SelfDescribing(
    described(f"{ECOMMERCE}/snowplow_ecommerce_action/jsonschema/1-0-2", type="transaction"),
    context=[described(f"{ECOMMERCE}/transaction/jsonschema/1-0-0", transaction_id=f"{user_id}-3", revenue=19.99, currency="USD",
                       payment_method="card", total_quantity=1),
             described(f"{ECOMMERCE}/user/jsonschema/1-0-0", id=user_id, email=f"{user_id}@example.jp")])))
say("refund", tracker.track(SelfDescribing(
    described(f"{ECOMMERCE}/snowplow_ecommerce_action/jsonschema/1-0-2", type="refund"),
    context=[described(f"{ECOMMERCE}/refund/jsonschema/1-0-0", transaction_id=f"{user_id}-3", refund_amount=10, currency="USD")])))
say("past", tracker.track(StructuredEvent("shop", "remembered", true_timestamp=int(os.environ["PAST_MS"]))))
getting = Tracker("shop", Emitter(os.environ["TABIJI"], method="get"), Subject().set_user_id(user_id), app_id=os.environ["APP_ID"], encode_base64=False)
say("got", getting.track(SelfDescribing(described("com.acme/wish_listed/jsonschema/1-0-0", text="<<???>> 購入"))))
for _ in range(5):
    tracker.flush()
    time.sleep(0.5)
