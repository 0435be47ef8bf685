require('./clock.cjs');
const Analytics = require('@rudderstack/rudder-sdk-node');
const {calls} = require('./calls.cjs');

let open = calls.length;
const sent = (why) => {
  if (why) throw why;
  if (--open === 0) process.exit(0);
};

// README begins
const analytics = new Analytics(process.env.WRITE_KEY, {dataPlaneUrl: process.env.TABIJI, flushAt: 3, flushInterval: 1000});
for (const [call, message] of calls) analytics[call](message, sent);
// README ends
