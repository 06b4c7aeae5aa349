import { defineConfig } from 'vitest/config';

// CI counts from this report.
const report = process.env.VITEST_JSON;

export default defineConfig({
  test: {
    reporters: report ? ['default', 'json'] : ['default'],
    ...(report ? { outputFile: { json: report } } : {}),
    include: ['test/**/*.test.ts'],
    exclude: ['test/real/**'],
    globalSetup: ['test/build-once.ts'],
    testTimeout: 20_000,
    // Whole processes on simulated clusters feel a machine's other load. What fails twice has failed.
    retry: 1,
    // Tests that ask for it wait for simulated clusters most of the time.
    maxConcurrency: 4,
  },
  define: { PROXYCTL_VERSION: '"test"' },
});
