// Whose code the bundle holds, and the licences that have to go with it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

interface ThirdParty {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly licence: string;
  /** Licence and notice, as the package brings them. */
  readonly texts: readonly string[];
}

/** The packages of which anything went into an output, by name. */
export function bundledPackages(metafiles: readonly Metafile[]): ThirdParty[] {
  const folders = new Set<string>();
  for (const { inputs } of metafiles.flatMap(({ outputs }) => Object.values(outputs))) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
      if (folder !== undefined && bytesInOutput > 0) folders.add(folder);
    }
  }
  const byName = new Map([...folders].map(readPackage).map(found => [`${found.name}@${found.version}`, found]));
  return [...byName].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, found]) => found);
}

function readPackage(folder: string): ThirdParty {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const files = readdirSync(folder).filter(file => /^((un)?licen[cs]e|copying|notice)/i.test(file));
  if (typeof license !== 'string' || files.length === 0)
    throw new Error(`${name}@${version} goes into the bundle and brings no licence: look into it`);
  return {
    name,
    version,
    licence: license,
    texts: files.toSorted().map(file => readFileSync(join(folder, file), 'utf8').trim()),
  };
}

/** The file that is shipped. Each package begins with `name@version (licence)` between two lines of `=`. */
export function licencesText(packages: readonly ThirdParty[]): string {
  const line = '='.repeat(80);
  const parts = packages.map(({ name, version, licence, texts }) =>
    [line, `${name}@${version} (${licence})`, line, '', ...texts.flatMap(text => [text, ''])].join('\n'),
  );
  return `proxyctl is one file that holds parts of the packages below, under these licences.\n\n${parts.join('\n')}`;
}
