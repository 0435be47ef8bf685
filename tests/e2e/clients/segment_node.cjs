require('./clock.cjs');
const {Analytics} = require('@segment/analytics-node');
const {calls} = require('./calls.cjs');

// README begins
const analytics = new Analytics({writeKey: process.env.WRITE_KEY, host: process.env.TABIJI, flushAt: 3});
for (const [call, message] of calls) analytics[call](message);
analytics.closeAndFlush();
// README ends
