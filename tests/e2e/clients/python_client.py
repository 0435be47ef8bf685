"""The same calls by segment-analytics-python or rudder-sdk-python: CLIENT=segment|rudder."""
import datetime
import importlib
import json
import os
import pathlib

name, client_name = os.environ["NAME"], os.environ["CLIENT"]
package = {"segment": "segment", "rudder": "rudderstack"}[client_name]
client_module = importlib.import_module(f"{package}.analytics.client")
request_module = importlib.import_module(f"{package}.analytics.request")
skew = datetime.timedelta(milliseconds=int(os.environ.get("SKEW_MS", "0")))


class Wrong(datetime.datetime):
    """A clock that is wrong. What it runs is not touched."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + skew


client_module.datetime = request_module.datetime = Wrong

text = (pathlib.Path(__file__).parent / "calls.json").read_text()
text = text.replace('"U"', f'"{name}"').replace('"U-', f'"{name}-').replace('"U@', f'"{name}@').replace('"A"', f'"{name}-cookie"')

client = client_module.Client(os.environ["WRITE_KEY"], host=os.environ["TABIJI"], upload_size=3, gzip=True)
NAMES = {"messageId": "message_id", "userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}
for call, message in json.loads(text):
    message["messageId"] = f"{name}-{message['messageId']}"
    if "timestamp" in message:
        message["timestamp"] = Wrong.fromisoformat(message["timestamp"].replace("Z", "+00:00"))
    getattr(client, call)(**{NAMES.get(key, key): value for key, value in message.items()})
client.flush()
client.join()
