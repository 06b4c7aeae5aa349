import { defineConfig } from 'vitest/config';

// One cluster, one test after the other; the cluster's own build may be part of the first.
// CI counts from this report.
const report = process.env.VITEST_JSON;

export default defineConfig({
  test: {
    reporters: report ? ['default', 'json'] : ['default'],
    ...(report ? { outputFile: { json: report } } : {}),
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/real/**/*.test.ts'],
    globalSetup: ['test/build-once.ts', 'test/real/cluster.ts'],
    fileParallelism: false,
    testTimeout: 2_400_000,
    hookTimeout: 900_000,
    bail: 1,
  },
  define: { PROXYCTL_VERSION: '"test"' },
});
