// What a run asks outside the cluster: the operator's own checks, and Prometheus.
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { runCli, tempFile } from '../cli/run-cli.ts';
import { type Given, prometheusServer } from '../run/prometheus-server.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';

const TIMEOUT = 180_000;
const MIGRATE = ['migrate', '--to', 'nftables', '--batch', '100', '--yes'];

interface Bench {
  bed: EmbeddedTestbed;
  folder: string;
  /** The tool on a machine of its own, or on one that keeps what it knows in `home`. */
  proxyctl(args: string[], env?: Record<string, string>): ReturnType<typeof runCli>;
}

async function bench({ onTestFinished }: TestContext, seed: number): Promise<Bench> {
  const bed = await embeddedTestbed('iptables', seed);
  onTestFinished(() => bed.close());
  const kubeconfig = tempFile('kubeconfig', bed.sim.kubeconfig());
  const folder = mkdtempSync(join(tmpdir(), 'proxyctl-hooks-'));
  return { bed, folder, proxyctl: (args, env = {}) => runCli(['--kubeconfig', kubeconfig, ...args], env) };
}

function script(folder: string, text: string): string {
  const path = join(folder, 'check.sh');
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o700);
  return path;
}

/** What node_exporter tells of a table that no node has. */
const SMALL_TABLE: Given = {
  status: 200,
  body: {
    status: 'success',
    data: {
      resultType: 'vector',
      result: [{ metric: { instance: '10.0.0.1:9100', figure: 'limit' }, value: [1_767_268_800, '4096'] }],
    },
  },
};

const playbook = (gates: object) =>
  tempFile('playbook.json', JSON.stringify({ gates: { soak: 0, settle: 2, convergence: 25, drain: 3, ...gates } }));

describe.concurrent('checks of the operator', () => {
  it('are shown, and asked of each node and after each batch; secrets stay here', {
    timeout: TIMEOUT,
  }, async context => {
    const { bed, folder, proxyctl } = await bench(context, 41);
    const server = await prometheusServer(query => (query.includes('node_nf_conntrack') ? SMALL_TABLE : [1]));
    context.onTestFinished(() => server.close());
    const log = join(folder, 'log');
    const check = script(folder, `echo "$PROXYCTL_MOMENT $PROXYCTL_NODE $PROXYCTL_MODE" >> ${log}`);
    const queries = [
      { name: 'load', query: 'load{node="$node"}', maxIncrease: 0.5 },
      { name: 'errors', query: 'errors', max: 1 },
    ];
    const file = playbook({
      hooks: [{ name: 'mine', command: [check, 'a b'] }],
      prometheus: { url: server.url, tokenEnv: 'PROM_TOKEN', queries },
    });
    const done = await proxyctl([...MIGRATE, '--playbook', file], { PROM_TOKEN: 's3cret' });
    expect(done.code, done.stderr).toBe(0);
    const shown = done.stderr.replaceAll(/\n\s+/g, ' ');
    expect(shown).toContain(`hook mine (after-node, after-batch): ${check} "a b"`);
    expect(shown).toContain(`prometheus: ${server.url} with the token in $PROM_TOKEN, 2 queries`);
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    const nodes = bed.sim.nodes.map(node => node.name);
    for (const node of nodes) expect(lines).toContain(`after-node ${node} nftables`);
    expect(lines.filter(line => line === 'after-batch  nftables')).toHaveLength(3);
    for (const node of nodes) expect(server.queries).toContain(`load{node="${node}"}`);
    // What an exporter tells of another table stops nothing, and is said of each node, before it and after.
    for (const moment of ['before-node', 'after-node'])
      expect(shown).toMatch(
        new RegExp(
          `gate node-exporter on \\S+ \\(${moment}\\) passes with warnings: .* a limit of 4096 connections where`,
        ),
      );
    for (const node of nodes)
      expect(server.queries).toContainEqual(expect.stringContaining(`node_nf_conntrack_entries{node="${node}"}`));
    expect(server.requests[0]?.headers.authorization).toBe('Bearer s3cret');
    const everything = done.stdout + done.stderr + JSON.stringify(bed.sim.store.dump());
    expect(everything).not.toContain('s3cret');
    // Nobody outside is asked on the way back.
    const asked = server.queries.length;
    const back = await proxyctl(['rollback', '--yes'], { PROM_TOKEN: 's3cret' });
    expect([back.code, server.queries.length], back.stderr).toEqual([0, asked]);
  });

  it('put a node back; what they start is agreed to on each machine', { timeout: TIMEOUT }, async context => {
    const { bed, folder, proxyctl } = await bench(context, 42);
    const [asked, well] = [join(folder, 'asked'), join(folder, 'well')];
    const check = script(
      folder,
      `touch ${asked}; [ -f ${well} ] && exit 0; printf 'first\\nthe shop\\033[2J is down\\n'; exit 3`,
    );
    const file = playbook({ hooks: [{ name: 'mine', command: [check] }] });
    const home = { XDG_STATE_HOME: folder };
    const halted = await proxyctl([...MIGRATE, '--playbook', file], home);
    expect(halted.code, halted.stderr).toBe(21);
    expect(halted.stderr.replaceAll(/\n\s+/g, ' ')).toContain(
      'hook mine exits with 3: first | the shop\\u{1b}[2J is down',
    );
    expect((await bed.truth()).map(t => t.mode)).toEqual(['iptables', 'iptables', 'iptables']);
    expect(existsSync(asked)).toBe(true);

    const elsewhere = await proxyctl(['migrate', '--yes']);
    expect(elsewhere.code, elsewhere.stderr).toBe(64);
    expect(elsewhere.stderr).toContain(check);
    expect(elsewhere.stderr).toMatch(/would start the above on this machine, as its record in the cluster says/);

    const other = playbook({ hooks: [{ name: 'mine', command: ['true'] }] });
    expect((await proxyctl(['migrate', '--yes', '--playbook', other])).code).toBe(64);
    expect((await proxyctl(['migrate', '--yes', '--playbook', file])).code).toBe(21);

    writeFileSync(well, '');
    const done = await proxyctl(['migrate', '--yes'], home);
    expect(done.code, done.stderr).toBe(0);
    // Nobody outside is asked on the way back.
    expect((await proxyctl(['rollback', '--yes'])).code).toBe(0);
  });
});
