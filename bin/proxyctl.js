#!/usr/bin/env node
// Starts the built CLI. An old Node can read it too, and says what it needs.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [major, minor, patch] = process.versions.node.split('.').map(Number);
const since22 = major === 22 && (minor > 22 || (minor === 22 && patch >= 2));
const supported = since22 || (major === 24 && minor >= 15) || major > 24;
// A checkout brings its own Node as a development dependency.
const own = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));

if (supported) {
  const { main } = await import('../dist/cli.js');
  process.exitCode = await main(process.argv.slice(2));
} else if (existsSync(own)) {
  const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both; what is sent to us alone is passed on.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('close', code => {
    process.exitCode = code ?? 70;
  });
} else {
  console.error(`proxyctl needs Node 22.22.2 or a newer 22, or 24.15 or newer; this is Node ${process.versions.node}.`);
  process.exitCode = 64;
}
