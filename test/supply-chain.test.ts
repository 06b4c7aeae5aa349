// Whose code is shipped, and what may run when the repository is installed.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const json = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
const manifest = json('package.json');
const lock: Record<string, { version?: string; integrity?: string; resolved?: string; hasInstallScript?: boolean }> =
  json('package-lock.json').packages;
const shipped = readFileSync(join(ROOT, 'dist/THIRD_PARTY_LICENSES'), 'utf8');

describe('the bundle', () => {
  const packages = [...shipped.matchAll(/^={80}\n(@?[^@\n]+)@(\S+) \((.*)\)\n={80}\n\n(.*)/gm)];

  it('holds code of the packages in approved-packages.json and of no other, under the licences named there', () => {
    const found = Object.fromEntries(packages.map(([, name, , licence]) => [name, licence]));
    expect(found, 'a new package: read it and its licence, then add it').toEqual(json('test/approved-packages.json'));
  });

  it('brings the licence of each, as it stands in the lockfile', () => {
    expect(packages.length).toBeGreaterThan(20);
    const locked = new Set(
      Object.entries(lock).map(([path, { version }]) => `${path.split('node_modules/').at(-1)}@${version}`),
    );
    expect(packages.map(([, name, version]) => `${name}@${version}`).filter(id => !locked.has(id))).toEqual([]);
    for (const text of shipped.split(/^={80}\n.*\n={80}$/m).slice(1)) expect(text.trim().length).toBeGreaterThan(200);
  });

  it('runs code of nobody else on nodes', () => {
    expect(readFileSync(join(ROOT, 'dist/watcher.js'), 'utf8').length).toBeLessThan(150_000);
    expect(shipped).not.toContain('watcher');
  });

  it('is shipped with them', () => {
    expect(manifest.files).toContain('dist');
    expect(manifest.dependencies ?? {}).toEqual({});
  });
});

describe('an install', () => {
  it('takes exactly the versions named', () => {
    const named = Object.entries<string>(manifest.devDependencies);
    expect(named.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    for (const [name, version] of named) expect(lock[`node_modules/${name}`]?.version, name).toBe(version);
  });

  it('checks every package by its hash, wherever it comes from', () => {
    const others = Object.entries(lock).filter(([path]) => path !== '');
    expect(others.length).toBeGreaterThan(100);
    expect(others.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path)).toEqual([]);
    expect(others.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
    expect(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).not.toMatch(/\.tgz"/);
    expect(readFileSync(join(ROOT, '.npmrc'), 'utf8')).toContain('omit-lockfile-registry-resolved=true');
  });

  it('runs a script of the pinned Node alone, and our own build', () => {
    const scripts = Object.entries(lock).filter(([, entry]) => entry.hasInstallScript);
    const names = scripts.map(([path]) => path.replace('node_modules/', '')).toSorted();
    expect(names.filter(name => manifest.allowScripts[name] === undefined)).toEqual([]);
    expect(Object.keys(manifest.allowScripts).filter(name => manifest.allowScripts[name])).toEqual(['node']);
    const own = Object.keys(manifest.scripts).filter(name =>
      /^(pre|post)?(install|publish|pack|prepare)|^prepublishOnly$/.test(name),
    );
    expect(own).toEqual(['prepare']);
  });
});
