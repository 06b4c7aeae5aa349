import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInventory, readPlan, readPlaybook, writeData } from '../../src/commands/read-file.ts';
import { EXIT, ProxyctlError } from '../../src/core/errors.ts';
import { verifyPlan } from '../../src/core/fingerprint.ts';
import { planMigration } from '../../src/core/planner.ts';
import { makeInventory, makeNode, makePlaybook, makeService, SYSTEM_SERVICES, sha256 } from '../core/cluster-data.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'read-file-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The message of the error, with the folder taken off. */
function refusal(read: () => unknown, exitCode: number = EXIT.badFile): string {
  try {
    read();
  } catch (error) {
    if (!(error instanceof ProxyctlError)) throw error;
    expect(error.exitCode).toBe(exitCode);
    expect(error.message).not.toContain('\n');
    return error.message.replaceAll(`${folder}/`, '');
  }
  throw new Error('was not refused');
}

const yaml = (content: string) => refusal(() => readPlaybook(file('p.yaml', content)));
const json = (content: string) => refusal(() => readPlaybook(file('p.json', content)));

const inventory = makeInventory(
  [makeNode('node1', { pods: { shop: 2 } }), makeNode('node2')],
  [...SYSTEM_SERVICES, makeService('shop/web')],
);
const plan = planMigration({
  inventory,
  playbook: makePlaybook({ gates: { soak: '1m' } }),
  to: 'ipvs',
  driver: 'daemonset',
  madeAt: '2026-01-02T03:04:05Z',
  hash: sha256,
});

describe('readPlaybook', () => {
  it('reads YAML and JSON by ending, with defaults', () => {
    expect(readPlaybook(file('a.yaml', 'to: ipvs\ngates: {soak: 1m}\n')).gates.soak).toBe(60);
    expect(readPlaybook(file('a.yml', '# only\n{}\n')).batch.services).toBe(50);
    expect(readPlaybook(file('a.JSON', '{"to":"ipvs"}')).to).toBe('ipvs');
  });

  it('places an unknown key at the key and says what was meant', () => {
    expect(yaml('to: ipvs\nbatch:\n  servces: 3\n')).toBe(
      'p.yaml:3:3: batch.servces: is not known, did you mean services?',
    );
    expect(yaml('order: {canaries: [a], x: 1}')).toBe(
      'p.yaml:1:9: order.canaries: is not known, nor are x; there are canary, lastNamespaces, nodesPerZone, exclude',
    );
    expect(json('{\n  "gates": {"probes": {"service": 1}}\n}')).toBe(
      'p.json:2:24: gates.probes.service: is not known, did you mean services?',
    );
  });

  it('places a wrong value at the value, and counts the others', () => {
    expect(yaml('to: iptable\n')).toBe('p.yaml:1:5: to: must be iptables, ipvs or nftables');
    expect(yaml('gates:\n  soak: soon\n  conntrack:\n    warn: 3\n')).toBe(
      'p.yaml:2:9: gates.soak: must be a duration such as 30s, 5m or 1h30m (and 1 more)',
    );
    expect(yaml('order:\n  exclude:\n    - a\n    - 3\n')).toBe(
      'p.yaml:4:7: order.exclude[1]: expected string, received number',
    );
  });

  it('places what it says of single gates', () => {
    expect(yaml('gates:\n  settings:\n    conntrak: {}\n')).toMatch(
      /^p\.yaml:3:5: gates\.settings\.conntrak: is no gate; there are .*conntrack/,
    );
    expect(yaml('gates:\n  settings:\n    conntrack: {enabld: true}\n')).toBe(
      'p.yaml:3:17: gates.settings.conntrack.enabld: is not known, did you mean enabled?',
    );
    expect(yaml('gates: {settings: {convergence: {enabled: false}}}\n')).toBe(
      'p.yaml:1:43: gates.settings.convergence.enabled: cannot be taken away: no node is flipped without this gate',
    );
    expect(yaml('gates: {onRed: stop}\n')).toBe('p.yaml:1:16: gates.onRed: must be halt, node, batch or run');
    expect(yaml('preflight:\n  accept: [nods-ready]\n')).toMatch(/^p\.yaml:2:12: preflight\.accept\[0\]: is no gate/);
  });

  it.each([
    ['{url: ftp://x, queries: []}', /gates\.prometheus\.url: must be an http or https address/],
    ['{url: "https://me:secret@x", queries: []}', /must not hold a user or a password/],
    [
      '{url: "http://x.example.com", tokenEnv: T, queries: [{name: a, query: b, max: 1}]}',
      /a token is sent over https/,
    ],
    ['{url: "https://x", tokenEnv: T, tokenFile: /t, queries: [{name: a, query: b, max: 1}]}', /give one of them/],
    ['{url: "https://x", queries: [{name: a, query: b}]}', /queries\[0\]: needs one of max, min/],
    ['{url: "https://x", queries: [{name: a, query: b, maxAboveOthers: 1}]}', /the query must name \$node/],
    ['{url: "https://x", queries: [{name: a, query: $node, max: 1, moments: [after-batch]}]}', /there is no \$node/],
    ['{url: "https://x", queries: [{name: a, query: b, max: 1}, {name: a, query: b, max: 1}]}', /the same name/],
    ['{url: "https://x", querys: []}', /querys: is not known, did you mean queries\?/],
  ])('refuses prometheus: %s', (settings, message) => {
    expect(yaml(`gates:\n  prometheus: ${settings}\n`)).toMatch(/^p\.yaml:2:\d+: gates\.prometheus/);
    expect(yaml(`gates:\n  prometheus: ${settings}\n`)).toMatch(message);
    expect(yaml(`gates:\n  prometheus: ${settings}\n`)).not.toContain('secret');
  });

  it.each([
    ['{name: a}', /needs either command or url/],
    ['{name: a, command: [b], url: "https://x"}', /needs either command or url/],
    ['{name: a, command: "rm -rf /"}', /command: expected array, received string/],
    ['{name: a, command: [b], tokenEnv: T}', /belong to a url/],
    ['{name: A b, command: [b]}', /name: must be lower case letters/],
    [
      '{name: a, command: [b], moments: [preflight]}',
      /moments\[0\]: must be before-node, prove, after-node or after-batch/,
    ],
  ])('refuses the hook %s', (settings, message) => {
    expect(yaml(`gates:\n  hooks:\n    - ${settings}\n`)).toMatch(/^p\.yaml:3:\d+: gates\.hooks\[0\]/);
    expect(yaml(`gates:\n  hooks:\n    - ${settings}\n`)).toMatch(message);
  });

  it('takes a token over http to this machine only', () => {
    const of = (url: string) =>
      `gates: {prometheus: {url: "${url}", tokenEnv: T, queries: [{name: a, query: b, max: 1}]}}`;
    for (const url of ['http://localhost:9090', 'http://127.0.0.1:9090/p', 'http://[::1]:9090']) {
      expect(readPlaybook(file('local.yaml', of(url))).gates.prometheus?.url).toBe(url);
    }
    for (const url of ['http://localhost.example.com', 'http://127.0.0.1.nip.io'])
      expect(yaml(of(url))).toMatch(/over https/);
  });

  it.each([
    ['a: 1\na: 2\n', 'p.yaml:2:1: the same key stands here twice'],
    ['order: &x {}\nbatch: *x\n', 'p.yaml:2:8: aliases (*x) are not read: write the value out'],
    ['to: !!js/function x\n', 'p.yaml:1:5: tags (!) are not read'],
    ['to: ipvs\n---\nto: ipvs\n', 'p.yaml:2:1: a second document begins here; one is read'],
    ['', 'p.yaml: is empty; a Playbook is a mapping of names to values'],
    ['- to: ipvs\n', 'p.yaml: holds a list; a Playbook is a mapping of names to values'],
    ['ipvs', 'p.yaml: holds a string; a Playbook is a mapping of names to values'],
    ['kind: Plan\nversion: 1\n', 'p.yaml:1:1: this is a Plan, not a Playbook'],
    ['kind: ConfigMap\n', 'p.yaml:1:1: this is a ConfigMap, not a Playbook'],
    [
      '__proto__: {polluted: 1}\n',
      'p.yaml:1:1: __proto__: is not known; there are version, title, from, to, batch, order, rehearse, exposure, options, gates, preflight',
    ],
  ])('refuses %j', (content, message) => {
    expect(yaml(content)).toBe(message);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it('refuses YAML that is none, and a flood of aliases or brackets, at once', () => {
    expect(yaml('to: [a\n')).toMatch(/^p\.yaml:\d+:\d+: is not YAML: /);
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 20; i++)
      bomb.push(
        `a${i}: &a${i} [${Array(9)
          .fill(`*a${i === 1 ? '' : i - 1}`)
          .join(',')}]`,
      );
    expect(yaml(bomb.join('\n'))).toMatch(/^p\.yaml:2:\d+: aliases/);
    expect(yaml(`to: ${'['.repeat(20_000)}`)).toMatch(/^p\.yaml/);
    expect(json(`{"to":${'['.repeat(20_000)}${']'.repeat(20_000)}}`)).toMatch(/^p\.json/);
  });

  it('refuses JSON with a mistake or a key twice, with its place', () => {
    expect(json('{"to": "ipvs",}')).toMatch(/^p\.json:1:15: is not JSON: /);
    expect(json('{"batch": {\n"nodes": 1, "nodes": 2}}')).toBe('p.json:2:13: the same key stands here twice');
    expect(json('')).toMatch(/^p\.json: is not JSON: /);
    expect(readPlaybook(file('p.json', '{"title": "\\"a\\": \\\\", "to": "ipvs"}')).title).toBe('"a": \\');
  });

  it('lets __proto__ in a record do nothing', () => {
    const read = readPlaybook(file('p.json', '{"exposure":{"callers":{"__proto__":["x"],"shop":["pay"]}}}'));
    expect(Object.keys(read.exposure.callers)).toEqual(['shop']);
    expect(Object.getPrototypeOf(read.exposure.callers)).not.toEqual(['x']);
  });

  it('refuses files that are too large, no text, not there, or of another name', () => {
    expect(yaml(`# ${'x'.repeat(1024 * 1024)}`)).toBe('p.yaml: is 1.1 MB, more than the 1 MB that are read');
    expect(refusal(() => readPlaybook(file('p.yaml', new Uint8Array([0x74, 0xff, 0xfe]))))).toBe(
      'p.yaml: is not UTF-8 text',
    );
    expect(refusal(() => readPlaybook(join(folder, 'none.yaml')))).toMatch(/^none\.yaml: cannot be read: ENOENT/);
    expect(refusal(() => readPlaybook(file('p.txt', 'to: ipvs')))).toBe(
      'p.txt: the name must end in .yaml, .yml or .json',
    );
    mkdirSync(join(folder, 'dir.yaml'));
    expect(refusal(() => readPlaybook(join(folder, 'dir.yaml')))).toBe('dir.yaml: is no regular file');
  });

  it('never fails in any other way', () => {
    const piece = fc.constantFrom(
      'to',
      ':',
      ' ',
      '\n',
      '-',
      '[',
      '{',
      '}',
      ']',
      '"',
      "'",
      '&a',
      '*a',
      '!',
      '|',
      '>',
      '#',
      '%',
      ',',
      '?',
      '\t',
      '1',
      'ipvs',
      '<<',
      '---',
      '\u0000',
      'é',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), fc.constantFrom('f.yaml', 'f.json'), (pieces, name) => {
        const path = file(name, pieces.join(''));
        try {
          readPlaybook(path);
        } catch (error) {
          expect(error).toBeInstanceOf(ProxyctlError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('readPlan and readInventory', () => {
  it.each(['yaml', 'json'])('give back as %s what was written', ending => {
    const planPath = join(folder, `plan.${ending}`);
    writeData(planPath, plan);
    const read = readPlan(planPath);
    expect(read).toEqual(plan);
    expect(verifyPlan(read, inventory, sha256)).toEqual([]);
    const inventoryPath = join(folder, `inventory.${ending}`);
    writeData(inventoryPath, inventory);
    expect(readInventory(inventoryPath)).toEqual(inventory);
  });

  it('name the kind of another file, at its place', () => {
    const path = join(folder, 'inventory.json');
    writeData(path, inventory);
    expect(refusal(() => readPlan(path))).toBe('inventory.json:2:3: this is an Inventory, not a Plan');
    expect(refusal(() => readInventory(file('p.yaml', 'to: ipvs')))).toBe(
      'p.yaml: this is no Inventory: it has no kind, as a Playbook has none',
    );
  });

  it('place mistakes deep in a plan', () => {
    const { id, ...withoutId } = plan;
    const path = join(folder, 'broken.json');
    writeData(path, withoutId);
    expect(refusal(() => readPlan(path))).toBe('broken.json:1:1: id: is missing (string expected)');
    const [batch] = plan.batches;
    writeData(path, { ...plan, batches: [{ ...batch, node: [] }] });
    expect(refusal(() => readPlan(path))).toMatch(
      /^broken\.json:\d+:7: batches\[0\]\.node: is not known, did you mean nodes\?$/,
    );
    expect(id).toBe(plan.id);
  });

  it('read large JSON without its places, and hold YAML to less', () => {
    const filler = { ...inventory, namespaces: Array.from({ length: 400_000 }, (_, i) => `namespace-${i}`) };
    const path = file('large.json', JSON.stringify(filler));
    expect(readInventory(path).namespaces).toHaveLength(400_000);
    writeFileSync(path, JSON.stringify({ ...filler, extra: 1 }));
    expect(refusal(() => readInventory(path))).toMatch(/^large\.json: extra: is not known; there are kind/);
    writeFileSync(path, JSON.stringify(filler).replace('"namespace-0"', '{"a":1,"a":2}'));
    expect(refusal(() => readInventory(path))).toBe('large.json: has the same key twice in one object');
    expect(refusal(() => readInventory(file('large.yaml', `# ${'x'.repeat(9 * 1024 * 1024)}`)))).toMatch(
      /^large\.yaml: is 9\.1 MB, .*JSON may be larger$/,
    );
  });
});

describe('writeData', () => {
  it('brings any text through YAML and JSON unharmed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.constantFrom('t.yaml', 't.json'), (title, name) => {
        const path = join(folder, name);
        writeData(path, { title: title.slice(0, 100), order: { exclude: ['yes', '0x10', '1e3', 'null', '~'] } });
        const read = readPlaybook(path);
        expect(read.title).toBe(title.slice(0, 100));
        expect(read.order.exclude).toEqual(['yes', '0x10', '1e3', 'null', '~']);
      }),
      { numRuns: 200 },
    );
  });

  it('writes shared objects out, since aliases are not read', () => {
    const shared = ['a'];
    const path = join(folder, 'shared.yaml');
    writeData(path, { order: { exclude: shared, lastNamespaces: shared } });
    expect(readPlaybook(path).order.lastNamespaces).toEqual(['a']);
  });

  it('refuses other endings, and leaves nothing behind when it cannot write', () => {
    expect(refusal(() => writeData(join(folder, 'x.txt'), {}), EXIT.usage)).toBe(
      'x.txt: the name must end in .yaml, .yml or .json',
    );
    expect(refusal(() => writeData(join(folder, 'no', 'x.json'), {}), EXIT.usage)).toMatch(
      /^no\/x\.json: cannot be written: ENOENT/,
    );
    const kept = join(folder, 'kept');
    mkdirSync(join(kept, 'plan.json'), { recursive: true });
    writeFileSync(join(kept, 'plan.json', 'inside'), '');
    expect(refusal(() => writeData(join(kept, 'plan.json'), {}), EXIT.usage)).toMatch(/cannot be written/);
    expect(readdirSync(kept)).toEqual(['plan.json']);
  });

  it('replaces a file as a whole', () => {
    const path = file('old.json', 'old text that is much longer than what comes');
    chmodSync(path, 0o644);
    writeData(path, { to: 'ipvs' });
    expect(readFileSync(path, 'utf8')).toBe('{\n  "to": "ipvs"\n}\n');
  });
});
