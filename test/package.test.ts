// What is published: the package from an empty folder, and what starts without the Kubernetes client.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

describe('the package', () => {
  it('runs from an empty folder, without a single dependency', { timeout: 60_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'proxyctl-pack-'));
    execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT });
    const [archive = ''] = readdirSync(folder);
    execFileSync('tar', ['xzf', join(folder, archive), '-C', folder]);
    const packed = JSON.parse(readFileSync(join(folder, 'package/package.json'), 'utf8'));
    expect(Object.keys(packed.dependencies ?? {})).toEqual([]);
    const run = (...args: string[]) =>
      execFileSync(process.execPath, [join(folder, 'package/bin/proxyctl.js'), ...args], { encoding: 'utf8' });
    expect(run('--version').trim()).toBe(version);
    expect(run('--help')).toContain('proxyctl migrate --batch 50');
    for (const file of [
      'playbooks/iptables-to-nftables.yaml',
      'schema/playbook.schema.json',
      'dist/watcher.js',
      'docs/playbook.md',
      'CHANGELOG.md',
      'SECURITY.md',
      'LICENSE',
    ]) {
      expect(readdirSync(join(folder, 'package', file, '..'))).toContain(file.split('/').at(-1));
    }
  });

  it('does not load the Kubernetes client to tell its version', () => {
    const reached = new Set<string>();
    const visit = (path: string): void => {
      if (reached.has(path)) return;
      reached.add(path);
      const text = readFileSync(path, 'utf8');
      // Static imports only: `import(...)` has a bracket.
      for (const [, target = ''] of text.matchAll(/(?:from|import)\s*"(\.[^"]+)"/g)) visit(resolve(path, '..', target));
    };
    visit(join(ROOT, 'dist/cli.js'));
    const isClient = (path: string) => readFileSync(path, 'utf8').includes('KUBERNETES_SERVICE_HOST');
    const chunks = readdirSync(join(ROOT, 'dist/chunks')).map(name => join(ROOT, 'dist/chunks', name));
    expect(chunks.filter(path => path.endsWith('.js')).some(isClient)).toBe(true);
    expect([...reached].filter(isClient)).toEqual([]);
  });
});
