require('./clock.cjs');
const {calls} = require('./calls.cjs');
const userId = process.env.NAME;

let open = calls.length + 1;
const sent = (why) => {
  if (why) throw why;
  if (--open === 0) process.exit(0);
};

// README begins
const Analytics = require('@rudderstack/rudder-sdk-node');
const analytics = new Analytics(process.env.WRITE_KEY, {dataPlaneUrl: process.env.TABIJI, flushAt: 3, flushInterval: 1000});
analytics.track({userId, event: 'Signed Up', properties: {plan: 'gold'}}, sent);
// README ends
for (const [call, message] of calls) analytics[call](message, sent);
