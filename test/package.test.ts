// What is published: the package from an empty folder, and what starts without the Kubernetes client.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
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
      'LICENSE',
    ]) {
      expect(readdirSync(join(folder, 'package', file, '..'))).toContain(file.split('/').at(-1));
    }
  });

  it('does not load the Kubernetes client to tell its version', () => {
    const folder = mkdtempSync(join(tmpdir(), 'proxyctl-lazy-'));
    cpSync(join(ROOT, 'bin'), join(folder, 'bin'), { recursive: true });
    cpSync(join(ROOT, 'dist/cli.js'), join(folder, 'dist/cli.js'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
    // Only the chunks that cli.js itself imports are there: whatever else it needed would be missing.
    const text = readFileSync(join(folder, 'dist/cli.js'), 'utf8');
    for (const [, chunk = ''] of text.matchAll(/^import .*?from "\.\/(chunks\/[^"]+)"/gms)) {
      cpSync(join(ROOT, 'dist', chunk), join(folder, 'dist', chunk), { recursive: true });
    }
    const output = execFileSync(process.execPath, [join(folder, 'bin/proxyctl.js'), '--version'], { encoding: 'utf8' });
    expect(output.trim()).toBe(version);
  });
});
