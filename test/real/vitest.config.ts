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
    // Where everything is asked for, what fails must not hide the rest: each group makes its own cluster.
    bail: process.env.PROXYCTL_TEST_ALL === '1' ? 0 : 1,
  },
  define: { PROXYCTL_VERSION: '"test"' },
});
