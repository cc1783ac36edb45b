// A person with Debian's Chromium on the engine's page: opens it, clicks on an agent's Listen, and tells what is heard.
//
//   node listen.mjs PAGE AGENT HZ[,HZ…]
//
// One JSON object a line comes out: {"live": …} once, then {"heard": {"left": {"440": share, …}, "right": …}} about three
// times a second (share of that side's power that lies at the frequency, 0 in silence), {"status": text} whenever the page
// says something else. In come, one a line: `restart` (ICE), `stop` (the page's button), `quit`.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const [page, agent, tones] = process.argv.slice(2);
const hertz = tones.split(',').map(Number);
const tell = (object) => console.log(JSON.stringify(object));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
const tab = await browser.newPage();
const trouble = [];
tab.on('console', (message) => { if (message.type() === 'error') trouble.push(message.text()); });
tab.on('pageerror', (error) => trouble.push(String(error)));
await tab.addInitScript(() => {
  navigator.mediaDevices.getUserMedia = () => { console.error('the page asked for a microphone'); throw new Error('no'); };
});

// Goertzel over each side's latest samples.
const listen = (hertz) => {
  const side = (analyser) => {
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    const total = samples.reduce((sum, sample) => sum + sample * sample, 0);
    const share = (hz) => {
      if (total / samples.length < 1e-7) return 0;
      const coefficient = 2 * Math.cos(2 * Math.PI * hz / analyser.context.sampleRate);
      let [q1, q2] = [0, 0];
      for (const sample of samples) [q1, q2] = [coefficient * q1 - q2 + sample, q1];
      const power = q1 * q1 + q2 * q2 - coefficient * q1 * q2;
      return Math.min(1, 2 * power / samples.length / total);
    };
    return Object.fromEntries(hertz.map((hz) => [hz, share(hz)]));
  };
  const [left, right] = player.meters;
  return left && right ? { left: side(left), right: side(right) } : null;
};

let said = '';
let live = false;
let open = true;
const commands = createInterface({ input: process.stdin });
commands.on('line', async (line) => {
  try {
    if (line === 'restart') await tab.evaluate(() => restart(player.peer));
    if (line === 'stop') await tab.click('#stop');
    if (line === 'quit') open = false;
    tell({ done: line });
  } catch (error) {
    tell({ trouble: String(error) });
  }
});
commands.on('close', () => { open = false; });

try {
  await tab.goto(page);
  await tab.click(`button[data-agent="${agent}"]`);
  while (open) {
    const text = await tab.textContent('#status');
    if (text !== said) tell({ status: said = text });
    const state = await tab.evaluate(() => (player.peer ? player.peer.connectionState : ''));
    if (state === 'connected' && !live) tell({ live: live = true });
    const heard = live ? await tab.evaluate(listen, hertz) : null;
    if (heard) tell({ heard });
    for (const text of trouble.splice(0)) tell({ trouble: text });
    await new Promise((done) => setTimeout(done, 300));
  }
} finally {
  for (const text of trouble) tell({ trouble: text });
  await browser.close();
}
