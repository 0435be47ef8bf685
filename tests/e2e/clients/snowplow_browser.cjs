// Customers at a browser with Snowplow's tracker, on a page of another origin than the collector. Prints the id of each event under its kind.
const {chromium} = require('playwright-core');
const path = require('path');
const {CHROMIUM, PAGE, TABIJI, APP_ID, NAME, SKEW_MS} = process.env;
const scripts = ['browser-tracker', 'browser-plugin-snowplow-ecommerce'].map((name) => path.join(process.env.NODE_PATH, '@snowplow', name, 'dist/index.umd.js'));

const wrongClock = `{
  const skew = ${Number(SKEW_MS)}, Real = Date;
  globalThis.Date = class Date extends Real {
    constructor(...parts) { super(...(parts.length ? parts : [Real.now() + skew])); }
    static now() { return Real.now() + skew; }
  };
}`;

async function open(page, address) {
  await page.goto(`${PAGE}${address}`);
  for (const file of scripts) await page.addScriptTag({path: file});
  await page.evaluate(() => {
    window.record = {afterTrack: (payload) => window.told([payload.e, payload.eid, payload.tna])};
  });
}

async function main() {
  const browser = await chromium.launch({executablePath: CHROMIUM, args: ['--no-sandbox']});
  const context = await browser.newContext();
  await context.addInitScript(wrongClock);
  const page = await context.newPage();
  await page.exposeFunction('told', ([e, eid, tna]) => console.log(JSON.stringify({name: `${tna}-${e}`, eid})));
  await open(page, '/empty.html?utm_source=line&utm_medium=social');
  await page.evaluate(([tabiji, appId, userId]) => {
    const {newTracker, trackPageView, setUserId, trackStructEvent, trackSelfDescribingEvent, enableActivityTracking} = snowplowBrowserTracking;
    const shop = snowplowEcommerceAccelerator;
    newTracker('sp', tabiji, {appId, bufferSize: 1, contexts: {webPage: true, session: true}, plugins: [shop.SnowplowEcommercePlugin(), window.record]});
    enableActivityTracking({minimumVisitLength: 1, heartbeatDelay: 1});
    trackPageView({title: 'Home'});
    setUserId(userId);
    trackStructEvent({category: 'shop', action: 'Size Chosen', value: 1.5});
    trackSelfDescribingEvent({event: {schema: 'iglu:com.acme/wish_listed/jsonschema/1-0-0', data: {text: '<<???>> 購入'}}});
    const coat = {id: 's1', category: 'coats', price: 6490, currency: 'JPY', quantity: 2};
    shop.setEcommerceUser({id: userId, email: `${userId}@example.jp`});
    shop.trackProductListView({name: 'coats', products: [coat]});
    shop.trackProductView(coat);
    shop.trackAddToCart({products: [coat], total_value: 12980, currency: 'JPY'});
    shop.trackRemoveFromCart({products: [coat], total_value: 12980, currency: 'JPY'});
    shop.trackCheckoutStep({step: 1});
    shop.trackTransaction({transaction_id: `${userId}-1`, revenue: 12980, currency: 'JPY', payment_method: 'card', total_quantity: 2, products: [coat]});
    shop.trackRefund({transaction_id: `${userId}-1`, currency: 'JPY', refund_amount: 2980});
  }, [TABIJI, APP_ID, NAME]);
  await page.mouse.move(10, 10);
  await page.waitForTimeout(1500);
  await page.mouse.move(20, 20);
  await page.waitForTimeout(1500);

  // Nobody answers, the customer leaves: the event waits in localStorage until the next visit.
  await page.route(`${TABIJI}/**`, (route) => route.abort());
  await page.evaluate(() => snowplowBrowserTracking.trackStructEvent({category: 'shop', action: 'kept for later'}));
  await page.goto(`${PAGE}/empty.html`);
  await page.unroute(`${TABIJI}/**`);
  await open(page, '/empty.html');
  await page.evaluate(([tabiji, appId]) => {
    const {newTracker, trackPageView} = snowplowBrowserTracking;
    // README begins
    newTracker('sp', tabiji, {appId, contexts: {webPage: true, session: true}, plugins: [window.record]});
    trackPageView();
    // README ends
    newTracker('image', tabiji, {appId, eventMethod: 'get', encodeBase64: false, plugins: [window.record]});
    trackPageView({}, ['image']);
  }, [TABIJI, APP_ID]);
  await page.waitForTimeout(500);
  const cookies = async () => (await context.cookies()).filter((each) => each.name === 'sp');
  const known = await cookies();
  await page.evaluate(([tabiji, appId]) => {
    const {newTracker, trackPageView} = snowplowBrowserTracking;
    newTracker('hidden', tabiji, {appId, anonymousTracking: {withServerAnonymisation: true}, plugins: [window.record]});
    trackPageView({}, ['hidden']);
  }, [TABIJI, APP_ID]);
  await page.waitForTimeout(300);
  console.log(JSON.stringify({known, hidden: await cookies()}));
  // What is tracked while the page is left.
  await page.evaluate(([tabiji, appId]) => {
    snowplowBrowserTracking.newTracker('left', tabiji, {appId, eventMethod: 'beacon', keepalive: true, plugins: [window.record]});
    snowplowBrowserTracking.trackStructEvent({category: 'shop', action: 'left the page'}, ['left']);
  }, [TABIJI, APP_ID]);
  await page.goto(`${PAGE}/empty.html`);
  await page.waitForTimeout(300);
  await browser.close();
}
main().catch((why) => {
  console.error(why);
  process.exit(1);
});
