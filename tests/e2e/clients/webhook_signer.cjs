// Sends the notifications that it is given, signed as their senders do, until each is taken.
const fs = require('fs');
globalThis.crypto ??= require('crypto').webcrypto; // Debian's Node 18 has no such global
require('@shopify/shopify-api/adapters/node');
const {getExpectedBodyHash, validateRequest} = require('twilio');
const tabiji = process.env.TABIJI;

const sign = {
  async twilio({secret, call}) {
    // README begins
    const {getExpectedTwilioSignature} = require('twilio');
    const signature = getExpectedTwilioSignature(secret, `https://t.example.jp/hooks/twilio/cc-twilio`, call);
    const reply = await fetch(`${tabiji}/hooks/twilio/cc-twilio`,
      {method: 'POST', headers: {'X-Twilio-Signature': signature}, body: new URLSearchParams(call)});
    // README ends
    if (!validateRequest(secret, signature, 'https://t.example.jp:443/hooks/twilio/cc-twilio', call)) throw new Error('not as its library has it');
    return reply;
  },

  async twilio_json({secret, call}) {
    const {getExpectedTwilioSignature} = require('twilio');
    const body = JSON.stringify(call);
    const path = `/hooks/twilio/cc-twilio?x=%27a%27&bodySHA256=${getExpectedBodyHash(body)}`;
    const signature = getExpectedTwilioSignature(secret, `https://t.example.jp${path}`, {});
    return fetch(tabiji + path, {method: 'POST', headers: {'X-Twilio-Signature': signature, 'Content-Type': 'application/json'}, body});
  },

  async shopify({secret, body, topic, id}) {
    // README begins
    const {createSHA256HMAC, HashFormat} = require('@shopify/shopify-api/runtime');
    const hmac = await createSHA256HMAC(secret, body, HashFormat.Base64);
    const reply = await fetch(`${tabiji}/hooks/shopify/shop`,
      {method: 'POST', headers: {'X-Shopify-Hmac-Sha256': hmac, 'X-Shopify-Topic': topic, 'X-Shopify-Event-Id': id}, body});
    // README ends
    return reply;
  },
};

async function send(notification) {
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      const reply = await sign[notification.how](notification);
      const text = await reply.text();
      if (reply.status === notification.wanted) return {status: reply.status, type: reply.headers.get('content-type'), text};
      if (reply.status < 500) throw new Error(`${reply.status} ${text}`);
    } catch (error) {
      if (!error.cause) throw error; // a connection that was lost has a cause
    }
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error(`given up: ${JSON.stringify(notification)}`);
}

(async () => {
  for (const notification of JSON.parse(fs.readFileSync(process.env.NOTIFICATIONS)))
    console.log(JSON.stringify(await send(notification)));
})().catch(error => {
  console.error(error);
  process.exit(1);
});
