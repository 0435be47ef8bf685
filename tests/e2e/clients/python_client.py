"""The calls of calls.json by segment-analytics-python or rudder-sdk-python: CLIENT=segment|rudder."""
import datetime
import importlib
import json
import os
import pathlib

name = user_id = os.environ["NAME"]
package = {"segment": "segment", "rudder": "rudderstack"}[os.environ["CLIENT"]]
skew = datetime.timedelta(milliseconds=int(os.environ.get("SKEW_MS", "0")))


class Wrong(datetime.datetime):
    """A clock that is wrong. What it runs is not touched."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + skew


for module in ("client", "request"):
    importlib.import_module(f"{package}.analytics.{module}").datetime = Wrong

if package == "segment":
    # README begins
    from segment.analytics.client import Client
    client = Client(os.environ["WRITE_KEY"], host=os.environ["TABIJI"], upload_size=3, gzip=True)
    client.track(user_id, "Signed Up", {"plan": "gold"})
    # README ends
else:
    # README begins
    from rudderstack.analytics.client import Client
    client = Client(os.environ["WRITE_KEY"], host=os.environ["TABIJI"], upload_size=3)
    client.track(user_id, "Signed Up", {"plan": "gold"})
    # README ends

text = (pathlib.Path(__file__).parent / "calls.json").read_text()
text = text.replace('"U"', f'"{name}"').replace('"U-', f'"{name}-').replace('"U@', f'"{name}@').replace('"A"', f'"{name}-cookie"')
NAMES = {"messageId": "message_id", "userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}
for call, message in json.loads(text):
    message["messageId"] = f"{name}-{message['messageId']}"
    if "timestamp" in message:
        message["timestamp"] = Wrong.fromisoformat(message["timestamp"].replace("Z", "+00:00"))
    getattr(client, call)(**{NAMES.get(key, key): value for key, value in message.items()})
client.flush()
client.join()
