// People at Debian's Chromium, each in a window of their own, told line by line what to do.
//
// In comes `{"id": 7, "who": "paal", "do": "click", …}`, out goes `{"id": 7, "ok": …}` or `{"id": 7, "failed": "why"}`; and
// `{"who": "paal", "trouble": "…"}` whenever a page logs an error, breaks its content policy or asks for a microphone.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { Person } from './person.mjs';

const tell = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
const people = new Map();

async function carryOut({ who, do: what, ...how }) {
  if (what === 'arrive') {
    people.set(who, await Person.arrive(browser, how, (trouble) => tell({ who, trouble })));
    return null;
  }
  const person = people.get(who);
  if (!person) throw new Error(`${who} is not here`);
  if (what === 'leave') people.delete(who);
  return await person[what](how);
}

const commands = createInterface({ input: process.stdin });
commands.on('line', async (line) => {
  const { id, ...command } = JSON.parse(line);
  try {
    tell({ id, ok: (await carryOut(command)) ?? null });
  } catch (error) {
    tell({ id, failed: await described(error, people.get(command.who)) });
  }
});
commands.on('close', () => browser.close());

/** What went wrong, and what the page was like then, as a screen reader has it. */
async function described(error, person) {
  const page = person ? await person.outline().catch(() => '') : '';
  return `${error.message ?? error}\n${page}`;
}
