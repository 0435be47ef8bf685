#!/usr/bin/env python3
"""A producer that has nothing of ours: copies events from a topic to another, as a schema of its own, by Confluent's client.
Run by the environment of schema_registry.py.

    foreign_producer.py BOOTSTRAP REGISTRY SOURCE TARGET < JSON list of {"partitions", "from", "to", "schema", "subject", "header"}

Each item takes the records FROM to TO (fractions of each partition) of PARTITIONS; "schema" is the text that values are written
as, null: as they are; "subject" where it is registered, if not under TARGET; "header": the id goes into a header. Prints a JSON list of
what the broker acknowledged: [id of the event, SHA-256 of the value].
"""
import hashlib
import json
import sys
import uuid

import confluent_kafka
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def read_all(bootstrap, topic):
    """Records by partition."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "foreign", "enable.auto.commit": False,
                                         "auto.offset.reset": "earliest", "enable.partition.eof": True})
    partitions = sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in partitions])
    records, left = {p: [] for p in partitions}, len(partitions)
    while left:
        message = consumer.poll(30)
        assert message is not None, "the broker does not answer"
        if message.error():
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
            left -= 1
        else:
            records[message.partition()].append((message.key(), message.value()))
    consumer.close()
    return records


def in_header(payload, context, schema_id):
    """As header_schema_id_serializer, which needs a GUID that this registry does not give."""
    context.headers.append(("__value_schema_id", b"\x01" + uuid.uuid4().bytes))
    return payload if isinstance(payload, bytes) else payload.getvalue()


def main():
    bootstrap, url, source, target = sys.argv[1:]
    registry = SchemaRegistryClient({"url": url})
    read = AvroDeserializer(registry)
    records = read_all(bootstrap, source)
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    sent, acknowledged = 0, []
    for item in json.load(sys.stdin):
        conf = {}
        if "subject" in item:
            conf["subject.name.strategy"] = lambda context, name, subject=item["subject"]: subject
        if item.get("header"):
            conf["schema.id.serializer"] = in_header
        write = AvroSerializer(registry, item["schema"], conf=conf) if item["schema"] else None
        for partition in item["partitions"]:
            mine = records[partition]
            for key, value in mine[int(len(mine) * item["from"]):int(len(mine) * item["to"])]:
                headers = []
                event = read(value, SerializationContext(source, MessageField.VALUE))
                if write:
                    value = write(event, SerializationContext(target, MessageField.VALUE, headers))
                entry = [event["event_id"], hashlib.sha256(value).hexdigest()]
                producer.produce(target, key=key, value=value, partition=partition, headers=headers or None,
                                 on_delivery=lambda error, _, entry=entry: error or acknowledged.append(entry))
                producer.poll(0)
                sent += 1
    assert producer.flush(60) == 0 and len(acknowledged) == sent
    print(json.dumps(acknowledged))


if __name__ == "__main__":
    main()
