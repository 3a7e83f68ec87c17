#!/usr/bin/env node
// Uploads one timesheet with the browser that is already open, as a person would.
//
//   node upload.mjs TIMESHEET.csv       UPLOAD_URL, UPLOAD_PASSWORD: the site. LANEWAY_BROWSER_URL: the browser's debugging address
//
// Logs in only when the site asks for it: the browser keeps the session. Works in the tab that is open, and leaves it open: a new one
// for each upload costs a process of the browser each time.
// Exit 0: uploaded. 65: the site refuses the file. 75: the site cannot be reached. 1: anything else, for example that the browser went away.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { chromium } from 'playwright-core';

const { UPLOAD_URL: site, UPLOAD_PASSWORD: password, LANEWAY_BROWSER_URL: browserUrl, LANEWAY_WORKER: worker = 'DTF-01' } = process.env;
const STEP_MS = 60_000; // nothing on the site takes longer
const TRIES = 3; // a session may end between two pages

class Ending extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

// Node decodes its arguments as UTF-8, which loses names that are not: the kernel has the bytes themselves.
function lastArgument() {
  if (process.platform !== 'linux') return process.argv.at(-1);
  const bytes = readFileSync('/proc/self/cmdline').subarray(0, -1);
  return bytes.subarray(bytes.lastIndexOf(0) + 1);
}

async function openSite(page) {
  try {
    await page.goto(site);
  } catch (error) {
    if (/net::ERR_/.test(error.message)) throw new Ending(75, `the site cannot be reached: ${error.message.split('\n')[0]}`);
    throw error;
  }
}

async function logIn(page) {
  console.log(`${await page.locator('#login p').innerText()} Logging in as ${worker}.`);
  await page.fill('[name=user]', worker);
  await page.fill('[name=password]', password);
  await page.click('#login button');
  await page.waitForSelector('#upload, #refused');
  if (await page.$('#refused')) throw new Ending(1, 'the site refuses the password');
}

// The page that follows the upload: its outcome and text, or nothing when it is the login page.
async function submit(page, file) {
  await page.fill('[name=worker]', worker);
  await page.fill('[name=reference]', `${process.env.LANEWAY_TASK ?? ''}.${process.env.LANEWAY_ATTEMPT ?? ''}`);
  await page.setInputFiles('[name=file]', file);
  const gone = page.waitForEvent('requestfailed', (request) => request.isNavigationRequest()).then((request) => {
    throw new Ending(75, `the site went away: ${request.failure().errorText}`);
  });
  gone.catch(() => {}); // it is told to whoever still waits for it
  await page.click('#upload button');
  await Promise.race([page.waitForSelector('#result, #login'), gone]);
  return page.$eval('#result, #login', (found) => ({ outcome: found.dataset.outcome, text: found.innerText }));
}

async function upload(page, file) {
  for (let n = 1; n <= TRIES; ++n) {
    await openSite(page);
    if (await page.$('#login')) await logIn(page);
    const { outcome, text } = await submit(page, file);
    if (outcome === 'complete') return console.log(text);
    if (outcome) throw new Ending(outcome === 'refused' ? 65 : 1, text);
  }
  throw new Ending(1, 'the site asks for the password again and again');
}

async function main() {
  if (!site || !password || !browserUrl || process.argv.length !== 3) {
    throw new Ending(64, 'usage: upload.mjs FILE, with UPLOAD_URL, UPLOAD_PASSWORD and LANEWAY_BROWSER_URL set');
  }
  const path = lastArgument();
  const file = { name: basename(path.toString()), mimeType: 'text/csv', buffer: readFileSync(path) };
  const browser = await chromium.connectOverCDP(browserUrl);
  const [context] = browser.contexts();
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(STEP_MS);
  await upload(page, file);
}

main().then(() => process.exit(0), (error) => {
  console.error(error.message.split('\n')[0]);
  process.exit(error.code > 0 ? error.code : 1);
});
