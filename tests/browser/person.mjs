// One person with a window: finds things by role and name, as a screen reader does, and uses them.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const EARS = readFileSync(new URL('./ears.js', import.meta.url), 'utf8');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 10_000;
/** A folder with a build of the page that the binary does not carry yet: for work on the page, never in the project's own tests. */
const OTHER_PAGE = process.env.MEDLYTT_PAGE;

export class Person {
  #context;
  #tab;
  #forgiven = [];
  /** Bytes of answers that came over the line, headers included: all of them, and of the page itself. */
  #bytes = { all: 0, page: 0 };

  static async arrive(browser, { width = 1440, height = 900, scheme = 'light', motion = 'no-preference', colours = 'none', language = 'en-GB' }, trouble) {
    const person = new Person();
    person.#context = await browser.newContext({
      viewport: { width, height }, colorScheme: scheme, reducedMotion: motion, forcedColors: colours, locale: language,
      timezoneId: 'Europe/Oslo', hasTouch: width < 721, acceptDownloads: true,
    });
    await person.#context.addInitScript({ content: EARS });
    person.#tab = await person.#context.newPage();
    const tell = (text) => person.#forgiven.some((part) => text.includes(part)) || trouble(text);
    person.#tab.on('console', (message) => { if (message.type() === 'error') tell(`${message.text()} (${message.location().url})`); });
    person.#tab.on('pageerror', (error) => tell(error.stack ?? String(error)));
    const wire = await person.#context.newCDPSession(person.#tab);
    await wire.send('Network.enable');
    const kinds = new Map();
    wire.on('Network.responseReceived', ({ requestId, type }) => kinds.set(requestId, type));
    wire.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      person.#bytes.all += encodedDataLength;
      if (['Document', 'Script', 'Stylesheet', 'Image', 'Font'].includes(kinds.get(requestId))) person.#bytes.page += encodedDataLength;
    });
    person.#tab.setDefaultTimeout(PATIENCE);
    if (OTHER_PAGE) await person.#context.route(/^http:[^?#]*\/(assets\/.*|icon\.svg)?([?#]|$)/, otherPage);
    return person;
  }

  /** Errors with this in them are part of the story. */
  forgive({ text }) { this.#forgiven.push(text); }
  async go({ url }) { await this.#tab.goto(url); }
  async reload() { await this.#tab.reload(); }
  async address() { return this.#tab.url(); }
  async title() { return await this.#tab.title(); }

  async click({ thing, patience }) { await this.#find(thing).click({ timeout: patience }); }
  async fill({ thing, text }) { await this.#find(thing).fill(text); }
  async choose({ thing, option }) { await this.#find(thing).selectOption({ label: option }); }
  async tick({ thing, on }) { await this.#find(thing).setChecked(on); }
  async slide({ thing, to }) { await this.#find(thing).fill(String(to)); }
  async press({ key }) { await this.#tab.keyboard.press(key); }
  async type({ text }) { await this.#tab.keyboard.type(text); }

  async see({ thing, patience }) { await this.#find(thing).first().waitFor({ state: 'visible', timeout: patience }); }
  async miss({ thing, patience }) {
    const end = Date.now() + (patience ?? PATIENCE);
    while (await this.#find(thing).filter({ visible: true }).count()) {
      if (Date.now() > end) throw new Error(`${JSON.stringify(thing)} is still there`);
      await this.#tab.waitForTimeout(30);
    }
  }
  async count({ thing }) { return await this.#find(thing).filter({ visible: true }).count(); }
  async read({ thing }) { return (await this.#find(thing).first().innerText()).replace(/\s+/g, ' ').trim(); }
  async value({ thing }) { return await this.#find(thing).inputValue(); }
  async attribute({ thing, name }) { return await this.#find(thing).first().getAttribute(name); }
  async is({ thing, what }) { return what === 'enabled' ? await this.#find(thing).isEnabled() : await this.#find(thing).isChecked(); }
  async outline({ thing } = {}) { return await (thing ? this.#find(thing) : this.#tab.locator('body')).ariaSnapshot({ timeout: 2000 }); }
  /** A file that a click brings: its name and its text. */
  async download({ thing }) {
    const [file] = await Promise.all([this.#tab.waitForEvent('download'), this.#find(thing).click()]);
    return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
  }

  /** What holds the focus: its role (or tag) and its words. */
  async focus() {
    return await this.#tab.evaluate(() => {
      const at = document.activeElement;
      if (at === document.body) return 'body';
      const labels = at?.labels ? [...at.labels].map((label) => label.innerText).join(' ') : '';
      const name = at?.getAttribute('aria-label') || labels || at?.innerText || '';
      return `${at?.getAttribute('role') ?? at?.tagName.toLowerCase()} ${name.replace(/\s+/g, ' ').trim()}`.trim();
    });
  }

  /** Share of each side's power at each frequency: of the tracks as they arrive, and of what goes to the loudspeakers. */
  async ears({ hertz }) { return await this.#tab.evaluate((hertz) => globalThis.ears.shares(hertz), hertz); }
  async figures() {
    // what the server compressed, without the headers of its answers
    const bodies = await this.#tab.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      .filter(({ name }) => !new URL(name).pathname.startsWith('/v1/')).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0));
    return { ...(await this.#tab.evaluate(() => globalThis.ears.figures())), ...this.#bytes, bodies };
  }
  async run({ code }) { return await this.#tab.evaluate(code); }

  /** Answers requests to `glob` in the engine's place, or leaves them without an answer (`status` 0), so often. */
  async answer({ glob, status, body, method, times }) {
    await this.#tab.route(glob, async (route) => {
      if (method && route.request().method() !== method) return await route.fallback();
      if (status === 0) return await route.abort();
      const contentType = status < 400 ? 'application/json' : 'application/problem+json';
      return await route.fulfill({ status, contentType, body: JSON.stringify(body) });
    }, times ? { times } : {});
  }
  /** Lets requests to `glob` wait so long. */
  async delay({ glob, ms }) {
    await this.#tab.route(glob, async (route) => {
      await new Promise((done) => setTimeout(done, ms));
      await route.fallback().catch(() => {});
    });
  }
  async answerNoMore() { await this.#tab.unrouteAll({ behavior: 'ignoreErrors' }); }
  async offline({ on }) { await this.#context.setOffline(on); }
  async cookies({ clear, add }) {
    if (clear) await this.#context.clearCookies();
    if (add) await this.#context.addCookies(add);
    return await this.#context.cookies();
  }

  /** What the page finds in its storage from the next load on. */
  async keeps({ name, value }) { await this.#context.addInitScript(([name, value]) => localStorage.setItem(name, value), [name, value]); }
  async resize({ width, height }) { await this.#tab.setViewportSize({ width, height }); }
  async look({ scheme, motion, colours }) {
    await this.#tab.emulateMedia({ colorScheme: scheme, reducedMotion: motion, forcedColors: colours });
  }
  /** Rules of WCAG 2.2 AA and good practice that the page breaks, each with where. */
  async axe() {
    await this.#tab.evaluate(AXE);
    const { violations } = await this.#tab.evaluate(() => globalThis.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any, all, none }) =>
      `${html.slice(0, 160)} ${[...any, ...all, ...none].map(({ message }) => message).join('; ')}`).join(' | ')}`);
  }
  /** The whole page on a screen as high as it is: what sticks to the screen's edge covers nothing. */
  async shot({ path }) {
    const { width, height } = this.#tab.viewportSize();
    const whole = await this.#tab.evaluate(() => document.documentElement.scrollHeight);
    await this.#tab.setViewportSize({ width, height: Math.max(height, whole) });
    await this.#tab.screenshot({ path, animations: 'disabled' });
    await this.#tab.setViewportSize({ width, height });
  }
  async leave() { await this.#context.close(); }

  #find(thing, root = this.#tab) {
    const inner = thing.within ? this.#find(thing.within, root) : root;
    const name = pattern(thing.name);
    let found;
    if (thing.role) found = inner.getByRole(thing.role, name === undefined ? {} : { name, exact: true });
    else if (thing.css) found = inner.locator(thing.css);
    else if (thing.label) found = inner.getByLabel(pattern(thing.label), { exact: true });
    else found = inner.getByText(pattern(thing.text));
    if (thing.has) found = found.filter({ hasText: pattern(thing.has) });
    return thing.nth === undefined ? found : found.nth(thing.nth);
  }
}

/** `/…/` is a regular expression. */
const pattern = (text) => (text?.length > 2 && text.startsWith('/') && text.endsWith('/') ? new RegExp(text.slice(1, -1)) : text);

const TYPES = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html' };

/** The engine's headers with the other build's file. */
async function otherPage(route) {
  const { origin, pathname } = new URL(route.request().url());
  const name = pathname === '/' ? 'index.html' : pathname.slice(1);
  const { headers } = await fetch(`${origin}/`);
  const kept = ['content-security-policy', 'cache-control', 'x-content-type-options'].map((key) => [key, headers.get(key) ?? '']);
  await route.fulfill({ headers: { ...Object.fromEntries(kept), 'content-type': TYPES[name.split('.').pop()] }, body: readFileSync(`${OTHER_PAGE}/${name}`) });
}
