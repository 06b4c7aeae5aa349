#!/usr/bin/env node
// Starts the built CLI. Kept in old syntax, so that an old Node can read it and say what it needs.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

var v = process.versions.node.split('.').map(Number);
var supported = (v[0] === 22 && (v[1] > 22 || (v[1] === 22 && v[2] >= 2))) || (v[0] === 24 && v[1] >= 15) || v[0] > 24;
if (supported) {
  const { main } = await import('../dist/cli.js');
  process.exitCode = await main(process.argv.slice(2));
} else {
  // A checkout brings its own Node as a development dependency.
  var own = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (existsSync(own)) {
    var run = spawnSync(own, [fileURLToPath(import.meta.url)].concat(process.argv.slice(2)), { stdio: 'inherit' });
    process.exitCode = run.status === null ? 70 : run.status;
  } else {
    console.error(
      'proxyctl needs Node 22.22.2 or newer 22.x, or 24.15 or newer; this is Node ' + process.versions.node + '.',
    );
    process.exitCode = 64;
  }
}
