// Bundles the CLI and the watcher into dist/. The CLI is split, so that `--version` never loads the Kubernetes client.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type BuildOptions, build } from 'esbuild';
import { bundledPackages, licencesText } from './third-party.ts';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
rmSync(new URL('dist', import.meta.url), { recursive: true, force: true });

const common = {
  bundle: true,
  metafile: true,
  platform: 'node',
  format: 'esm',
  target: 'node22',
  define: { PROXYCTL_VERSION: JSON.stringify(version) },
  // Bundled CommonJS libraries call require() for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  legalComments: 'linked',
  logLevel: 'warning',
} satisfies BuildOptions;
const cli = await build({
  ...common,
  entryPoints: ['src/cli.ts'],
  outdir: 'dist',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});
const watcher = await build({
  ...common,
  entryPoints: ['src/watcher/main.ts'],
  outfile: 'dist/watcher.js',
  minify: true,
});
const packages = bundledPackages([cli.metafile, watcher.metafile]);
writeFileSync('dist/THIRD_PARTY_LICENSES', licencesText(packages));
