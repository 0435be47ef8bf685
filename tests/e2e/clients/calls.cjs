// The calls that each client for servers makes, under the names of one customer.
const fs = require('fs');
const path = require('path');
const name = process.env.NAME;

exports.calls = JSON.parse(fs.readFileSync(path.join(__dirname, 'calls.json'))).map(([call, message]) => [
  call,
  {
    ...JSON.parse(JSON.stringify(message).replaceAll('"U"', `"${name}"`).replaceAll('"U-', `"${name}-`).replaceAll('"U@', `"${name}@`)
      .replaceAll('"A"', `"${name}-cookie"`)),
    messageId: `${name}-${message.messageId}`,
    ...(message.timestamp && {timestamp: new Date(message.timestamp)}),
  },
]);
