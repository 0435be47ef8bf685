require('./clock.cjs');
const {calls} = require('./calls.cjs');
const userId = process.env.NAME;

// README begins
const {Analytics} = require('@segment/analytics-node');
const analytics = new Analytics({writeKey: process.env.WRITE_KEY, host: process.env.TABIJI, flushAt: 3});
analytics.track({userId, event: 'Signed Up', properties: {plan: 'gold'}});
// README ends
for (const [call, message] of calls) analytics[call](message);
analytics.closeAndFlush();
