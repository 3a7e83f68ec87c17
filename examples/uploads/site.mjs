#!/usr/bin/env node
// A small upload site, as an agency's customer may have one: people log in, choose a file, and wait until it has been taken.
//
//   UPLOAD_PASSWORD=… node site.mjs [--port N] [--record FILE] [--wait-ms N] [--session-seconds N]
//
// Prints its address when it listens (port 0: a free one), on loopback only. Every login and every upload is a line of JSON in the record file;
// GET /record shows them all. An account is a worker's name. The upload form asks again which worker uploads: a cookie of one worker that is seen
// at another is refused (409) and recorded. Sessions outlive the site: they are found again in the record, which holds hashes of cookies only.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const COOKIE_SECONDS = 30 * 24 * 3600; // the cookie stays in the browser's profile; how long the site honours it is its own affair
const BODY_BYTES_MAX = 64 << 20;
const SESSIONS_MAX = 10_000;
const NEEDED_COLUMNS = ['worker_id', 'date', 'hours'];

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    record: { type: 'string', default: 'uploads.jsonl' },
    'wait-ms': { type: 'string', default: '1000' },
    'session-seconds': { type: 'string', default: String(COOKIE_SECONDS) },
  },
});
const password = process.env.UPLOAD_PASSWORD;
if (!password) {
  console.error('site: UPLOAD_PASSWORD is not set: the password of all accounts');
  process.exit(2);
}
const hash = (data) => createHash('sha256').update(data).digest('hex');

// The record, and the sessions that follow from it.

const sessions = new Map(); // id → { id, user, at }; the id is a hash of the cookie, so that the record gives nobody a way in

function remember(entry) {
  sessions.set(entry.session, { id: entry.session, user: entry.user, at: Date.parse(entry.at) });
  if (sessions.size > SESSIONS_MAX) sessions.delete(sessions.keys().next().value);
}

function recorded() {
  if (!existsSync(options.record)) return [];
  return readFileSync(options.record, 'utf8').split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return []; // the end of a line that a killed site did not finish
    }
  });
}

function record(kind, fields) {
  const entry = { kind, at: new Date().toISOString(), ...fields };
  appendFileSync(options.record, JSON.stringify(entry) + '\n');
  return entry;
}

function sessionOf(request) {
  const cookie = /(?:^|;\s*)session=([0-9a-f]+)/.exec(request.headers.cookie ?? '');
  if (!cookie) return {};
  const session = sessions.get(hash(cookie[1]));
  if (!session) return {};
  return { session, expired: Date.now() - session.at > 1000 * Number(options['session-seconds']) };
}

// Pages.

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function page(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', ...headers });
  response.end(`<!doctype html><title>Uploads</title><link rel="icon" href="data:,">\n${body}\n`);
}

const goTo = (response, path, headers = {}) => response.writeHead(303, { location: path, ...headers }).end();

const loginForm = (note, id = 'login') => `<form id="${id}" method="post" action="/login"><p>${note}</p>
<input name="user" autocomplete="username"> <input name="password" type="password"> <button>Log in</button></form>`;

const uploadForm = (user) => `<form id="upload" method="post" action="/upload" enctype="multipart/form-data"><p>Welcome, ${escape(user)}.</p>
<input name="worker"> <input name="reference"> <input name="file" type="file"> <button>Upload</button></form>`;

const result = (outcome, text) => `<p id="result" data-outcome="${outcome}">${escape(text)}</p>`;

// What is asked of the site.

async function formOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    if ((size += part.length) > BODY_BYTES_MAX) throw new RangeError('too large');
    parts.push(part);
  }
  return new Response(Buffer.concat(parts), { headers: { 'content-type': request.headers['content-type'] ?? '' } }).formData();
}

async function logIn(request, response) {
  const form = await formOf(request);
  const user = String(form.get('user') ?? '');
  const good = timingSafeEqual(Buffer.from(hash(String(form.get('password')))), Buffer.from(hash(password)));
  if (!/^[\w.-]{1,64}$/.test(user) || !good) {
    record('login_refused', { user: user.slice(0, 64) });
    return page(response, 403, loginForm('Wrong name or password.', 'refused'));
  }
  const token = randomBytes(24).toString('hex');
  remember(record('login', { session: hash(token), user }));
  goTo(response, '/', { 'set-cookie': `session=${token}; Path=/; Max-Age=${COOKIE_SECONDS}; HttpOnly; SameSite=Lax` });
}

// What is wrong with a timesheet, as far as this site looks: somebody else works it out.
function faultOf(content) {
  if (content.length === 0) return 'the file is empty';
  if (content.includes(0)) return 'the file is no text';
  const columns = content.toString('latin1', 0, 4096).split(/\r?\n/)[0].split(',');
  const missing = NEEDED_COLUMNS.filter((name) => !columns.includes(name));
  return missing.length ? `no column ${missing.join(', ')}` : '';
}

async function takeUpload(request, response, session) {
  const at = new Date().toISOString();
  const form = await formOf(request);
  const file = form.get('file');
  if (!file || typeof file === 'string') return page(response, 400, result('refused', 'Choose a file.'));
  const content = Buffer.from(await file.arrayBuffer());
  const worker = String(form.get('worker') ?? '');
  const facts = { session: session.id, user: session.user, worker, reference: String(form.get('reference') ?? ''), name: file.name,
    sha256: hash(content), bytes: content.length, received: at };
  if (worker !== session.user) {
    record('session_conflict', facts);
    return page(response, 409, result('conflict', `This session belongs to ${session.user}, not to ${worker}.`));
  }
  const fault = faultOf(content);
  if (fault) {
    record('refused', { ...facts, fault });
    return page(response, 422, result('refused', `Refused: ${fault}.`));
  }
  await new Promise((resolve) => setTimeout(resolve, Number(options['wait-ms'])));
  const id = randomBytes(6).toString('hex');
  // Who hung up meanwhile has uploaded all the same: the file is here.
  record('upload', { id, ...facts, answered: !response.destroyed });
  page(response, 200, result('complete', `Upload complete: ${id}`));
}

async function answer(request, response) {
  const path = request.url.split('?')[0];
  const { session, expired } = sessionOf(request);
  const inside = session && !expired;
  switch (`${request.method} ${path}`) {
    case 'GET /healthz':
      return response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    case 'GET /record':
      return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(recorded()));
    case 'GET /':
      return inside ? page(response, 200, uploadForm(session.user)) : goTo(response, '/login');
    case 'GET /login':
      return page(response, 200, loginForm(expired ? 'Session Timeout: please log in again.' : 'Please log in.'));
    case 'POST /login':
      return logIn(request, response);
    case 'POST /upload':
      return inside ? takeUpload(request, response, session) : goTo(response, '/login');
    default:
      return page(response, 404, result('refused', 'There is no such page.'));
  }
}

for (const entry of recorded()) if (entry.kind === 'login') remember(entry);
if (existsSync(options.record) && !/(^|\n)$/.test(readFileSync(options.record, 'utf8').slice(-1))) appendFileSync(options.record, '\n');

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    if (response.headersSent) return response.destroy();
    const large = error instanceof RangeError;
    page(response, large ? 413 : 400, result('refused', large ? 'The file is too large.' : 'This form cannot be read.'), { connection: 'close' });
  });
});
server.listen(Number(options.port), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
