// A shop's server with Snowplow's tracker: every kind of event, by POST, by GET and anonymously. Prints the id of each event under a name.
require('./clock.cjs');
const built = require('@snowplow/node-tracker');
const userId = process.env.NAME;

// README begins
const {newTracker, buildPageView} = require('@snowplow/node-tracker');
const tracker = newTracker({namespace: 'shop', appId: process.env.APP_ID}, {endpoint: process.env.TABIJI, bufferSize: 3});
tracker.setUserId(userId);
const sent = tracker.track(buildPageView({pageUrl: 'https://shop.example.jp/', pageTitle: 'Home'}));
// README ends

const say = (name, payload) => console.log(JSON.stringify({name, eid: payload.eid}));
const ecommerce = (name) => `iglu:com.snowplowanalytics.snowplow.ecommerce/${name}/jsonschema/1-0-0`;
const action = (type) => built.buildSelfDescribingEvent({event: {
  schema: 'iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2', data: {type}}});
const described = (schema, data) => built.buildSelfDescribingEvent({event: {schema, data}});

async function main() {
  say('page', sent);
  tracker.setDomainUserId(`${userId}-cookie`);
  const events = {
    ping: built.buildPagePing({pageUrl: 'https://shop.example.jp/', minXOffset: 0, maxXOffset: 1, minYOffset: 2, maxYOffset: 3}),
    structured: built.buildStructEvent({category: 'shop', action: 'Size Chosen', label: 'L', property: 'coat', value: 1.5}),
    custom: described('iglu:com.acme/wish_listed/jsonschema/1-0-0', {sku: 's1', depth: 2 ** 53, text: '<<???>> 購入'}),
    transaction: built.buildEcommerceTransaction({orderId: `${userId}-1`, total: 12980, tax: 1180, shipping: 0, currency: 'JPY', affiliation: 'web'}),
    item: built.buildEcommerceTransactionItem({orderId: `${userId}-1`, sku: 's1', name: 'coat', category: 'coats', price: 6490, quantity: 2, currency: 'JPY'}),
    noisy: built.buildEcommerceTransaction({orderId: `${userId}-2`, total: 10.1 + 20.2, currency: 'USD'}),
    screen: built.buildScreenView({name: 'Home', id: 'home'}),
    link: built.buildLinkClick({targetUrl: 'https://shop.example.jp/a', elementId: 'a'}),
    search: built.buildSiteSearch({terms: ['coat'], totalResults: 3}),
    added: built.buildAddToCart({sku: 's1', name: 'coat', unitPrice: 6490, quantity: 2, currency: 'JPY'}),
    removed: built.buildRemoveFromCart({sku: 's1', quantity: 1}),
    form: built.buildFormSubmission({formId: 'f', elements: [{name: 'size', value: 'L', nodeName: 'INPUT', type: 'text'}]}),
    impression: built.buildAdImpression({impressionId: 'i1', campaignId: 'c1'}),
    click: built.buildAdClick({targetUrl: 'https://shop.example.jp/', clickId: 'k1'}),
    consent: described('iglu:com.snowplowanalytics.snowplow/consent_preferences/jsonschema/1-0-0', {eventType: 'allow_all', basisForProcessing: 'consent',
      consentUrl: 'https://shop.example.jp/privacy', consentVersion: '1', consentScopes: ['analytics'], domainsApplied: ['shop.example.jp']}),
  };
  for (const name in events) say(name, tracker.track(events[name]));
  say('sale', tracker.track(action('transaction'), [
    {schema: ecommerce('transaction'), data: {transaction_id: `${userId}-3`, revenue: 19.99, currency: 'USD', payment_method: 'card', total_quantity: 1}},
    {schema: ecommerce('product'), data: {id: 's2', category: 'hats', price: 19.99, currency: 'USD'}},
    {schema: ecommerce('user'), data: {id: userId, email: `${userId}@example.jp`}}]));
  say('refund', tracker.track(action('refund'), [
    {schema: ecommerce('refund'), data: {transaction_id: `${userId}-1`, refund_amount: 2980, currency: 'JPY'}}]));
  say('past', tracker.track(built.buildStructEvent({category: 'shop', action: 'remembered'}), [], {type: 'ttm', value: Number(process.env.PAST_MS)}));

  // The plain form, an event an address.
  const getting = newTracker({namespace: 'shop', appId: process.env.APP_ID, encodeBase64: false},
    {endpoint: process.env.TABIJI, eventMethod: 'get', bufferSize: 1});
  getting.setUserId(userId);
  say('got', getting.track(described('iglu:com.acme/wish_listed/jsonschema/1-0-0', {text: '<<???>> 購入'}), [
    {schema: 'iglu:com.acme/shelf/jsonschema/1-0-0', data: {row: 4}}]));
  const hidden = newTracker({namespace: 'shop', appId: process.env.APP_ID}, {endpoint: process.env.TABIJI, serverAnonymization: true});
  say('anonymous', hidden.track(buildPageView({pageUrl: 'https://shop.example.jp/hidden'})));

  // What could not be sent is sent with the next flush.
  for (let i = 0; i < 6; i++) {
    await Promise.all([tracker, getting, hidden].map((each) => each.flush()));
    await new Promise((done) => setTimeout(done, 200));
  }
}
main();
