import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The stages of tabiji as somebody would begin them in Kafka Streams: events find their person by identifiers, the whole event
 * is repartitioned by person, a timeline a person is kept, and conversions come out with their path and its credits. Much less than
 * tabiji does: no merges or splits of persons, no corrections of what was said before, no evidence, no erasure, three rule
 * models instead of eight, no session rows.
 *
 * <p>Arguments: bootstrap, prefix of tabiji's topics, schema file, state directory, threads, events. Prints a line a second: events
 * identified, events stitched, CPU seconds, seconds. Ends when all events are stitched.
 */
public final class Journeys {
    private static final LongAdder identified = new LongAdder();
    private static final LongAdder stitched = new LongAdder();
    private static final long LOOKBACK_MICROS = 90L * 86400 * 1000000;

    private static Schema schema;

    private Journeys() {}

    /** Reads the Avro behind the frame of five bytes. */
    private static final class Reader {
        private final GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
        private BinaryDecoder decoder;
        private GenericRecord reuse;

        GenericRecord read(byte[] value) {
            try {
                decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoder);
                reuse = reader.read(reuse, decoder);
                return reuse;
            } catch (java.io.IOException broken) {
                throw new IllegalStateException(broken);
            }
        }
    }

    private static final class Identify implements Processor<byte[], byte[], byte[], byte[]> {
        private final Reader reader = new Reader();
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> persons;

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            persons = given.getStateStore("person-of");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            GenericRecord event = reader.read(record.value());
            List<byte[]> keys = new ArrayList<>();
            byte[] person = null;
            for (Object item : (List<?>) event.get("identifiers")) {
                GenericRecord identifier = (GenericRecord) item;
                byte[] key = (identifier.get("namespace") + ":" + identifier.get("value")).getBytes(StandardCharsets.UTF_8);
                byte[] known = persons.get(key);
                if (known == null)
                    keys.add(key);
                else if (person == null)
                    person = known;
            }
            if (person == null)
                person = Arrays.copyOf(record.key(), 16);
            for (byte[] key : keys)
                persons.put(key, person);
            identified.increment();
            context.forward(record.withKey(person));
        }
    }

    private static final class Stitch implements Processor<byte[], byte[], byte[], byte[]> {
        private final Reader reader = new Reader();
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> timeline;
        private KeyValueStore<byte[], byte[]> profiles;

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            timeline = given.getStateStore("timeline");
            profiles = given.getStateStore("profile");
        }

        private static byte[] rowKey(byte[] person, long micros, byte[] event) {
            return ByteBuffer.allocate(40).put(person).putLong(micros).put(event).array();
        }

        private void convert(byte[] person, long micros, byte[] key, GenericRecord event, long time) {
            List<byte[]> path = new ArrayList<>();
            try (KeyValueIterator<byte[], byte[]> rows =
                    timeline.range(rowKey(person, micros - LOOKBACK_MICROS, new byte[16]), rowKey(person, micros, key))) {
                while (rows.hasNext()) {
                    KeyValue<byte[], byte[]> row = rows.next();
                    path.add(row.value);
                }
            }
            long revenue = event.get("order") == null ? 0 : (Long) ((GenericRecord) event.get("order")).get("revenue_minor");
            ByteBuffer out = ByteBuffer.allocate(64 + path.size() * 64);
            out.put(person).put(key).putLong(micros).putLong(revenue);
            for (int i = 0; i < path.size(); i++) {
                out.put(path.get(i), 0, Math.min(path.get(i).length, 40));
                out.putLong(i == 0 ? revenue : 0).putLong(i == path.size() - 1 ? revenue : 0).putLong(revenue / path.size());
            }
            context.forward(new Record<>(key, Arrays.copyOf(out.array(), out.position()), time), "conversions");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            GenericRecord event = reader.read(record.value());
            byte[] person = record.key();
            long micros = (Long) event.get("occurred_at");
            byte[] key = ((org.apache.avro.generic.GenericFixed) event.get("event_key")).bytes();
            byte[] row = rowKey(person, micros, key);
            stitched.increment();
            if (timeline.get(row) != null)
                return;
            String type = event.get("type").toString();
            timeline.put(row, (type + " " + event.get("channel")).getBytes(StandardCharsets.UTF_8));
            byte[] profile = profiles.get(person);
            ByteBuffer next = ByteBuffer.allocate(24);
            ByteBuffer before = profile == null ? ByteBuffer.allocate(24) : ByteBuffer.wrap(profile);
            next.putLong(before.getLong(0) + 1).putLong(profile == null ? micros : Math.min(before.getLong(8), micros));
            next.putLong(Math.max(before.getLong(16), micros));
            profiles.put(person, next.array());
            context.forward(new Record<>(row, record.value(), record.timestamp()), "touchpoints");
            context.forward(new Record<>(person, next.array(), record.timestamp()), "profiles");
            if (type.equals("order_completed") || type.equals("store_purchase"))
                convert(person, micros, key, event, record.timestamp());
        }
    }

    private static StoreBuilder<KeyValueStore<byte[], byte[]>> store(String name) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.ByteArray(), Serdes.ByteArray())
            .withCachingEnabled();
    }

    private static Topology topology(String prefix) {
        Topology made = new Topology();
        made.addSource("events", prefix + ".events.v1");
        made.addProcessor("identify", Identify::new, "events");
        made.addStateStore(store("person-of"), "identify");
        made.addSink("journey", "streams.journey", "identify");
        made.addSource("by-person", "streams.journey");
        made.addProcessor("stitch", Stitch::new, "by-person");
        made.addStateStore(store("timeline"), "stitch");
        made.addStateStore(store("profile"), "stitch");
        for (String name : new String[] {"touchpoints", "conversions", "profiles"})
            made.addSink(name, "streams." + name, "stitch");
        return made;
    }

    private static Properties settings(String[] arguments) {
        Properties set = new Properties();
        set.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        set.put(StreamsConfig.APPLICATION_ID_CONFIG, "streams");
        set.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
        set.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[4]);
        set.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        set.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000); /* ten times the default: as long as ours at most */
        set.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        set.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        set.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        set.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        set.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1000000);
        set.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 268435456L);
        set.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10000);
        set.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return set;
    }

    private static double cpuSeconds() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    public static void main(String[] arguments) throws Exception {
        schema = new Schema.Parser().parse(new File(arguments[2]));
        long wanted = Long.parseLong(arguments[5]);
        KafkaStreams streams = new KafkaStreams(topology(arguments[1]), settings(arguments));
        streams.setUncaughtExceptionHandler(problem -> {
            problem.printStackTrace();
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        long began = System.nanoTime();
        streams.start();
        while (stitched.sum() < wanted && streams.state() != KafkaStreams.State.ERROR) {
            Thread.sleep(500);
            System.out.printf("%d %d %.3f %.3f%n", identified.sum(), stitched.sum(), cpuSeconds(), (System.nanoTime() - began) / 1e9);
        }
        boolean failed = streams.state() == KafkaStreams.State.ERROR;
        streams.close();
        System.out.printf("%d %d %.3f %.3f%n", identified.sum(), stitched.sum(), cpuSeconds(), (System.nanoTime() - began) / 1e9);
        System.exit(failed ? 1 : 0);
    }
}
