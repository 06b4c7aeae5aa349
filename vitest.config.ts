import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// CI counts from this report.
const report = process.env.VITEST_JSON;

/** Whole runs against simulated clusters, the longest first: begun last, one of them would keep all others waiting. */
const LONG = [
  'scenarios/embedded.test.ts',
  'cli/verify.test.ts',
  'scenarios/rbac.test.ts',
  'crash/kill.test.ts',
  'scenarios/',
  'cli/',
  'crash/',
].map(name => `/test/${name}`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => LONG.findIndex(name => moduleId.includes(name)) + 1;
    const rank = (file: TestSpecification) => place(file) || LONG.length + 1;
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

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
    // Tests wait for simulated clusters most of the time: on two processors one after another they take three times as long.
    maxWorkers: 3,
    maxConcurrency: 4,
    sequence: { sequencer: LongestFirst },
  },
  define: { PROXYCTL_VERSION: '"test"' },
});
