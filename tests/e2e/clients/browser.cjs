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

async function segment(context, say) {
  const page = await context.newPage();
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

  // Nobody answers, the customer leaves: the event waits in localStorage until the next visit.
  await page.waitForTimeout(100);
  await page.route(`${TABIJI}/**`, (route) => route.abort());
  await page.evaluate(() => window.analytics.track('Kept For Later'));
  await page.goto(`${PAGE}/empty.html`);
  const stored = await page.evaluate(() => Object.keys(localStorage).filter((key) => (localStorage[key] || '').includes('Kept For Later')));
  await page.unroute(`${TABIJI}/**`);
  await page.goto(`${PAGE}/segment.html`);
  await page.evaluate(async ([writeKey, cdnURL]) => {
    await AnalyticsNext.AnalyticsBrowser.load({writeKey, cdnURL});
  }, [WRITE_KEY, TABIJI]);
  await page.waitForTimeout(1500);

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
  say({client: 'segment', anonymous, stored});
  await page.close();
}

async function rudder(context, say) {
  const page = await context.newPage();
  for (const beacon of [false, true]) {
    await page.goto(`${PAGE}/rudder.html`);
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
    await page.waitForTimeout(beacon ? 300 : 4000);
    say({client: 'rudder', anonymous, beacon});
  }
  await page.goto(`${PAGE}/empty.html`);
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
