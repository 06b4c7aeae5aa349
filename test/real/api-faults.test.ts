// What goes wrong with an API server by seed, on real nodes: something before the real one mistreats what proxyctl asks, and the
// same command is called again until it is done. Clients lose nothing meanwhile.
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/core/errors.ts';
import { API_DENIALS, API_ERRORS } from '../crash/faults.ts';
import { columns } from '../scenarios/columns.ts';
import { lostBeyond } from '../scenarios/testbed.ts';
import { RUNNER_KUBECONFIG } from './rights.ts';
import { sleep, spawnInside } from './shell.ts';
import { lastWords, type Place, Stage } from './stage.ts';
import { BUSY_MACHINE, realTestbed } from './testbed.ts';

const ALL = process.env.PROXYCTL_TEST_ALL === '1';
const SEED = Number(process.env.PROXYCTL_TEST_SEED ?? 1);
/** The same command is called for so long at most, and so long after it ended, seconds. */
const CALLS_SECONDS = 1200;
const BETWEEN_SECONDS = 10;
/** A call may end so while requests are refused; nothing else is one. */
const MAY: readonly number[] = [EXIT.done, EXIT.findings, EXIT.halted, EXIT.unreachable, EXIT.notPermitted];

const bed = realTestbed(BUSY_MACHINE);
const stage = new Stage(bed);
/** How often each kind of fault struck, and among how many requests. */
const told: { way: string; codes: number[]; requests: number; struck: Record<string, number>; lost: string }[] = [];

interface FaultyApi {
  readonly kubeconfig: string;
  /** Ends it. */
  end(): Promise<{ requests: number; struck: Record<string, number> }>;
}

async function faultyApi(seed: number): Promise<FaultyApi> {
  const kubeconfig = join(mkdtempSync(join(tmpdir(), 'proxyctl-faulty-')), 'kubeconfig');
  const main = join(import.meta.dirname, 'faulty-api.ts');
  const child = spawnInside([process.execPath, main, RUNNER_KUBECONFIG, kubeconfig, String(seed)], {});
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'close').then(() => Promise.reject(new Error('what stands before the API server ended at once'))),
  ]);
  return {
    kubeconfig,
    async end() {
      child.kill('SIGTERM');
      await once(child.stdout, 'close');
      return JSON.parse(said.replace('ready', ''));
    },
  };
}

/** The command that leads to a place, again and again until it is done or ends as it must not; gives the exit codes. */
async function led(place: Place, kubeconfig: string): Promise<number[]> {
  const codes: number[] = [];
  stage.leave();
  const end = performance.now() + CALLS_SECONDS * 1000;
  while (performance.now() < end) {
    const result = await stage.begin(place, '--kubeconfig', kubeconfig).result;
    codes.push(result.code);
    if (result.code === EXIT.done) break;
    console.log(lastWords(result));
    if (!MAY.includes(result.code)) break;
    await sleep(BETWEEN_SECONDS * 1000);
  }
  return codes;
}

describe.runIf(ALL)('an API server that refuses, breaks off, and answers late or by halves', () => {
  beforeAll(() => stage.setUp());
  afterAll(() => {
    const rows = told.map(({ way, codes, requests, lost }) => [way, codes.join(' '), `${requests}`, lost]);
    const kinds = [...API_ERRORS, ...API_DENIALS].map(([id]) => [
      id,
      ...told.map(({ struck }) => `${struck[id] ?? 0}`),
    ]);
    const ways = columns(['', 'exit codes', 'requests', 'lost'], rows);
    const strikes = columns(['struck', ...told.map(({ way }) => way)], kinds);
    console.log(['\nOn real nodes:\n', ...ways, '', ...strikes, ''].join('\n'));
  });

  it.each([
    ['there', 'one'],
    ['back', 'before'],
  ] as const)('the way %s is done in the end, and clients lose nothing', async (way, place) => {
    await stage.bring(place === 'one' ? 'before' : 'one');
    const api = await faultyApi(SEED + told.length);
    const witness = await bed.witness();
    const codes = await led(place, api.kubeconfig);
    const seen = await witness.finished();
    const { requests, struck } = await api.end();
    const { tcp, tcpFailed, udp, udpFailed, keptBroken, direct } = seen;
    const lost = `${tcpFailed} of ${tcp} TCP, ${udpFailed} of ${udp} UDP, ${direct} past every Service, ${keptBroken} kept`;
    told.push({ way, codes, requests, struck, lost });
    expect.soft(lostBeyond(seen, bed.noise)).toEqual([]);
    expect.soft(Object.keys(struck).length, JSON.stringify(struck)).toBeGreaterThan(API_ERRORS.length / 2);
    expect(codes.at(-1), `exit codes ${codes}`).toBe(EXIT.done);
    await stage.expectAt(place);
  });
});
