// Which folder may import which, as the table in CONTRIBUTING.md says; and what else keeps a folder what it is.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = resolve(import.meta.dirname, '../src');

/** Folder -> what it may import: other folders of src, packages, and `node:` for Node's own modules. */
const ALLOWED: Record<string, readonly string[]> = {
  core: ['core', 'zod'],
  gates: ['gates', 'core'],
  drivers: ['drivers', 'core', 'yaml'],
  kernel: ['kernel', 'core'],
  cluster: ['cluster', 'core', 'yaml', '@kubernetes/client-node', 'undici', 'node:'],
  run: ['run', 'core', 'node:'],
  watcher: ['watcher', 'core', 'kernel', 'node:'],
  sim: ['sim', 'core', 'yaml', 'node:'],
  report: ['report', 'core', 'chalk', 'listr2'],
  commands: [
    'commands',
    'core',
    'gates',
    'drivers',
    'cluster',
    'run',
    'watcher',
    'sim',
    'report',
    'yaml',
    'zod',
    'node:',
  ],
  // The program: it loads commands when they are called.
  '.': ['commands', 'core', 'report', 'commander'],
};

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap(name => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? sources(path) : path.endsWith('.ts') ? [path] : [];
  });
}

function topFolder(path: string): string {
  const [first = '', second] = relative(SRC, path).split('/');
  return second === undefined ? '.' : first;
}

function imports(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  const found = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(m => m[1] ?? '');
  return found.map(target => {
    if (target.startsWith('.')) return topFolder(resolve(dirname(path), target));
    if (target.startsWith('node:')) return 'node:';
    return target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/');
  });
}

describe('import rules', () => {
  it.each(sources(SRC).map(path => [relative(SRC, path), path]))('%s', (_name, path) => {
    const folder = topFolder(path);
    const allowed = ALLOWED[folder];
    expect(allowed, `folder ${folder} has no rule`).toBeDefined();
    expect(imports(path).filter(target => !allowed?.includes(target))).toEqual([]);
  });
});

describe('what starts the CLI', () => {
  it('reaches the Kubernetes client by dynamic import only', () => {
    const loaded = new Set<string>();
    const visit = (path: string): void => {
      if (loaded.has(path)) return;
      loaded.add(path);
      for (const [, target = ''] of readFileSync(path, 'utf8').matchAll(
        /^(?:import|export)(?! type)[^;]*? from '(\.[^']+)'/gm,
      )) {
        visit(resolve(dirname(path), target));
      }
    };
    visit(join(SRC, 'cli.ts'));
    expect([...loaded].map(topFolder)).not.toContain('cluster');
    expect([...loaded].map(topFolder)).not.toContain('sim');
  });
});

describe('pure folders', () => {
  it.each(
    ['core', 'gates', 'kernel'].flatMap(folder => sources(join(SRC, folder))).map(path => [relative(SRC, path), path]),
  )('%s has no clock, no chance, no process', (_name, path) => {
    expect(readFileSync(path, 'utf8')).not.toMatch(
      /\bDate\.now\(|new Date\(\)|Math\.random\(|setTimeout\(|process\.|console\./,
    );
  });
});
