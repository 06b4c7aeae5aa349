// Stands before a real API server and lets go wrong, by a seed, what goes wrong on the simulated one: `node faulty-api.ts KUBECONFIG
// WAY SEED` writes to WAY a kubeconfig that leads through it, says `ready`, and when it is ended what it did, as JSON.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { refuse } from '../../src/sim/api-answer.ts';
import { ApiFaults, refusalOf } from '../../src/sim/api-faults.ts';
import { askedFor, targetOf } from '../../src/sim/api-request.ts';
import { Random } from '../../src/sim/random.ts';
import { API_DENIALS, API_ERRORS, apiFault } from '../crash/faults.ts';

/** For so long, ms, one kind of fault strikes. */
const SLOT_MS = 8000;
/** What is not asked again. */
const ENDING = [...API_ERRORS.filter(([id]) => id.startsWith('truncated')), ...API_DENIALS];

const [kubeconfig = '', way = '', seed = ''] = process.argv.slice(2);
const config = JSON.parse(readFileSync(kubeconfig, 'utf8'));
const [{ cluster }] = config.clusters;
const ca = Buffer.from(cluster['certificate-authority-data'], 'base64');

const faults = new ApiFaults();
const struck: Record<string, number> = {};
let requests = 0;

/** The real server's answer. */
async function passOn(call: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
  const { host: _host, connection: _connection, 'accept-encoding': _packed, ...headers } = call.headers;
  const passed = request(new URL(call.url ?? '/', cluster.server), { method: call.method ?? 'GET', headers, ca });
  passed.end(body);
  const [answer] = await once(passed, 'response');
  return answer;
}

function headOf({ statusCode = 502, headers }: IncomingMessage): [number, IncomingMessage['headers']] {
  const { connection: _connection, 'transfer-encoding': _chunks, ...rest } = headers;
  return [statusCode, rest];
}

async function answer(call: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = 'GET', url = '/' } = call;
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const target = targetOf(pathname, searchParams);
  requests++;
  const hits = target ? faults.hit(askedFor({ method }, target)) : [];
  const body = await buffer(call);
  await sleep(Math.max(0, ...hits.map(hit => hit.delayMs ?? 0)));
  if (hits.some(hit => hit.reset)) return void response.destroy();
  const refusal = refusalOf(hits);
  if (refusal?.retryAfter !== undefined) response.setHeader('retry-after', refusal.retryAfter);
  if (refusal) return refuse(response, refusal.error);
  const real = await passOn(call, body);
  response.on('close', () => real.destroy());
  const [status, headers] = headOf(real);
  const isLost = hits.some(hit => hit.lostAnswer);
  // Its answer ends when somebody ends it.
  if (searchParams.has('watch') || searchParams.has('follow')) {
    if (isLost) return void response.destroy();
    response.writeHead(status, headers);
    return void real.on('error', () => response.destroy()).pipe(response);
  }
  const whole = await buffer(real);
  if (isLost) return void response.destroy();
  const said = hits.some(hit => hit.truncated) ? whole.subarray(0, whole.length / 2) : whole;
  response.writeHead(status, { ...headers, 'content-length': said.length });
  response.end(said);
}

/** One kind after the other, in an order of its own each time, and one of those that end a call. */
async function letGoWrong(random: Random): Promise<never> {
  const passing = API_ERRORS.filter(kind => !ENDING.includes(kind));
  for (;;) {
    const kinds = [...passing, random.pick(ENDING)];
    for (const kind of random.sample(kinds, kinds.length)) {
      const [id] = kind;
      const strikes = () => {
        struck[id] = (struck[id] ?? 0) + 1;
      };
      const clear = faults.add({ ...apiFault(kind, random), strikes });
      await sleep(SLOT_MS);
      clear();
    }
  }
}

const server = createServer((call, response) => {
  answer(call, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const clusters = [{ name: 'test', cluster: { server: `http://127.0.0.1:${port}` } }];
  writeFileSync(way, JSON.stringify({ ...config, clusters }), { mode: 0o600 });
  console.log('ready');
});
process.on('SIGTERM', () => {
  console.log(JSON.stringify({ requests, struck }));
  process.exit();
});
await letGoWrong(new Random(Number(seed)));
