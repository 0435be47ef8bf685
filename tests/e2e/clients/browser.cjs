// Customers at a browser: analytics-next and Rudder's analytics-js on a page of another origin than the collector.
// Prints a line of JSON for what the pages themselves show.
const {chromium} = require('playwright-core');
const {CHROMIUM, PAGE, TABIJI, TABIJI_RUDDER, WRITE_KEY, WRITE_KEY_RUDDER, SKEW_MS} = process.env;

const wrongClock = `{
  const skew = ${Number(SKEW_MS)}, Real = Date;
  globalThis.Date = class Date extends Real {
    constructor(...parts) { super(...(parts.length ? parts : [Real.now() + skew])); }
    static now() { return Real.now() + skew; }
  };
}`;

const DEADLINE_MS = 40000;

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// When so many requests of the page were answered 200.
function delivered(page, count) {
  let left = count;
  return within(new Promise((done) => page.on('response', (response) => {
    if (response.request().method() === 'POST' && response.status() === 200 && --left === 0) done();
  })), `${count} deliveries`);
}

// When the proxy has seen a request that no page is left to wait for.
async function seen(proxy, path) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await (await fetch(`${proxy}/seen`)).json()).includes(`POST ${path}`)) {
    if (Date.now() > end) throw new Error(`nobody asked for ${path}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function segment(context, say) {
  const page = await context.newPage();
  const all = delivered(page, 7);
  await page.goto(`${PAGE}/segment.html?utm_source=line&utm_medium=social`);
  // Every call; requests are refused on the way and replies lost, so that some are sent again with the login of by then.
  await page.evaluate(async ([writeKey, cdnURL]) => {
    // README begins
    const analytics = AnalyticsNext.AnalyticsBrowser.load({writeKey, cdnURL});
    analytics.page('Home');
    analytics.track('Product Viewed', {sku: 's1', price: 1980});
    // README ends
    window.analytics = analytics;
    await analytics.alias('web');
    await analytics.identify('web', {email: 'web@example.jp', plan: 'gold'});
    await analytics.group('g1', {name: 'Shop'});
    await analytics.screen('Cart');
    await analytics.track('Order Completed', {order_id: 'web-1', revenue: 12980, currency: 'JPY', products: [{sku: 's1', quantity: 2, price: 6490}]});
  }, [WRITE_KEY, TABIJI]);
  const anonymous = await page.evaluate(() => window.analytics.user().then((user) => user.anonymousId()));
  await all;

  // Nobody answers, the customer leaves: the event waits in localStorage until the next visit.
  await page.route(`${TABIJI}/**`, (route) => route.abort());
  await page.evaluate(() => window.analytics.track('Kept For Later'));
  await page.goto(`${PAGE}/empty.html`);
  const stored = await page.evaluate(() => Object.keys(localStorage).filter((key) => (localStorage[key] || '').includes('Kept For Later')));
  await page.unroute(`${TABIJI}/**`);
  await page.goto(`${PAGE}/segment.html`);
  const kept = delivered(page, 1);
  await page.evaluate(async ([writeKey, cdnURL]) => {
    await AnalyticsNext.AnalyticsBrowser.load({writeKey, cdnURL});
  }, [WRITE_KEY, TABIJI]);
  await kept;

  // Batches, sent when the page is left.
  const [host] = TABIJI.replace('http://', '').split('/');
  await page.evaluate(async ([writeKey, apiHost]) => {
    const settings = {writeKey, cdnSettings: {integrations: {'Segment.io': {apiKey: writeKey}}}};
    const batching = AnalyticsNext.AnalyticsBrowser.load(settings, {integrations: {'Segment.io': {
      apiHost, protocol: 'http', deliveryStrategy: {strategy: 'batching', config: {size: 100, timeout: 60000}},
    }}});
    await batching;
    batching.track('Compared Prices');
    batching.track('Left The Page');
    await batching.track('Email Opened');
  }, [WRITE_KEY, `${host}/v1`]);
  await page.goto(`${PAGE}/empty.html`);
  await seen(TABIJI, '/v1/b');
  say({client: 'segment', anonymous, stored});
  await page.close();
}

async function rudder(context, say) {
  const page = await context.newPage();
  for (const beacon of [false, true]) {
    await page.goto(`${PAGE}/rudder.html`);
    const all = beacon ? null : delivered(page, 5);
    const anonymous = await page.evaluate(([writeKey, tabiji, useBeacon]) => new Promise((done) => {
      // README begins
      const analytics = new rudderanalytics.RudderAnalytics();
      analytics.load(writeKey, tabiji, {configUrl: tabiji, useBeacon});
      // README ends
      analytics.ready(() => done(analytics.getAnonymousId()));
      if (useBeacon) {
        analytics.track('Left Rudder');
        return;
      }
      analytics.page('Home');
      analytics.identify('rudder-web', {email: 'rudder-web@example.jp'});
      analytics.track('Order Completed', {order_id: 'rudder-web-1', revenue: 500, currency: 'JPY'});
      analytics.group('g1', {name: 'Shop'});
      analytics.alias('rudder-web', 'rudder-web-old');
    }), [WRITE_KEY_RUDDER, TABIJI_RUDDER, beacon]);
    await all;
    say({client: 'rudder', anonymous, beacon});
  }
  await page.goto(`${PAGE}/empty.html`);
  await seen(TABIJI_RUDDER, '/beacon/v1/batch');
  await page.close();
}

async function main() {
  const browser = await chromium.launch({executablePath: CHROMIUM, args: ['--no-sandbox']});
  const context = await browser.newContext();
  await context.addInitScript(wrongClock);
  const say = (facts) => console.log(JSON.stringify(facts));
  await Promise.all([segment(context, say), rudder(context, say)]);
  await browser.close();
}
main().catch((why) => {
  console.error(why);
  process.exit(1);
});
