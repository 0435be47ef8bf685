// A durable collector as one writes it with fastify and kafkajs: native events and Segment's, each request answered when all its
// events are acknowledged by all replicas. usage: collector.cjs BOOTSTRAP TOPIC; prints its port, serves until standard input ends.
'use strict';
const fastify = require('fastify');
const {Kafka, Partitioners, CompressionTypes, logLevel} = require('kafkajs');

const [bootstrap, topic] = process.argv.slice(2);
const BODY_SIZE_MAX = 1 << 20;
const EVENTS_MAX = 2500;

// What is wrong with a native event, or null.
function native(event) {
    if (typeof event.id !== 'string' || !event.id || event.id.length > 100) return 'bad_id';
    if (typeof event.type !== 'string' || !/^[a-z][a-z0-9_]{0,63}$/.test(event.type)) return 'bad_event_type';
    if (event.time !== undefined && Number.isNaN(Date.parse(event.time))) return 'bad_time';
    return event.ids && Object.keys(event.ids).length ? null : 'no_identifier';
}

function segment(event) {
    if (typeof event.messageId !== 'string' || !event.messageId || event.messageId.length > 100) return 'bad_id';
    return event.userId || event.anonymousId ? null : 'no_identifier';
}

const keyOf = event => event.userId || event.anonymousId || String(Object.values(event.ids)[0]);

async function main() {
    const kafka = new Kafka({brokers: [bootstrap], logLevel: logLevel.ERROR});
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({waitForLeaders: true, topics: [{topic, numPartitions: 4, replicationFactor: 1}]});
    await admin.disconnect();
    const producer = kafka.producer({createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false});
    await producer.connect();

    // Resolves to the verdicts once what was accepted is durable.
    async function take(events, check, receivedAt) {
        const rejected = [], messages = [];
        events.forEach((event, index) => {
            const code = check(event);
            if (code) rejected.push({index, code});
            else messages.push({key: keyOf(event), value: JSON.stringify({...event, received_at: receivedAt})});
        });
        if (messages.length) await producer.send({topic, acks: -1, compression: CompressionTypes.None, messages});
        return {accepted: messages.length, duplicates: 0, rejected};
    }

    const app = fastify({bodyLimit: BODY_SIZE_MAX, logger: false});
    app.get('/healthz', async () => 'ok\n');
    app.post('/v1/events', async (request, reply) => {
        const events = Array.isArray(request.body) ? request.body : [request.body];
        if (events.length > EVENTS_MAX) return reply.code(413).send({code: 'too_many'});
        return take(events, native, Date.now());
    });
    const one = async request => {
        await take([{...request.body, type: 'track'}], segment, Date.now());
        return {success: true};
    };
    app.post('/v1/track', one);
    app.post('/v1/batch', async (request, reply) => {
        const {batch} = request.body;
        if (!Array.isArray(batch) || batch.length > EVENTS_MAX) return reply.code(400).send({success: false});
        await take(batch, segment, Date.now());
        return {success: true};
    });
    await app.listen({host: '127.0.0.1', port: 0});
    console.log(app.server.address().port);
    process.stdin.resume();
    process.stdin.on('end', async () => {
        await app.close();
        await producer.disconnect();
    });
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
