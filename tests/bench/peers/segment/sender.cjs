// @segment/analytics-node, sending the events of bench_producer.c: sender.cjs URL EVENTS. Prints a line of JSON.
const {Analytics} = require('@segment/analytics-node');
const [url, count] = [process.argv[2], Number(process.argv[3])];
// Requests as large as the library makes them; its standard is 15 events, 10 s, and 4 tries.
const analytics = new Analytics({writeKey: 'key', host: url, flushAt: 1000, flushInterval: 20, httpRequestTimeout: 60000});
const failed = [];
analytics.on('error', (why) => failed.push(why));
let delivered = 0;
analytics.on('track', () => delivered++);

const used = process.cpuUsage();
const begun = process.hrtime.bigint();
for (let n = 0; n < count; n++) {
  analytics.track({
    userId: `u-${n % 1000}`, event: 'Order Completed', properties: {
      order_id: `R-${n}`, currency: 'JPY', revenue: '12980', products: [{sku: 'shoe-9', quantity: 1, price: '12980'}],
      coupon_given: false, clerk: 'c-7',
    },
  });
}
const queued = Number(process.hrtime.bigint() - begun) / 1e9;
analytics.closeAndFlush({timeout: 600000}).then(() => {
  const took = Number(process.hrtime.bigint() - begun) / 1e9;
  const {user, system} = process.cpuUsage(used);
  if (failed.length || delivered !== count) {
    console.error(`${delivered} of ${count} delivered`, failed[0]);
    process.exit(1);
  }
  console.log(JSON.stringify({enqueue_us: queued * 1e6 / count, events_s: count / took, cpu_us: (user + system) / count}));
});
