// `npm run test:mutants`: puts each planted bug into a copy of its own and counts those that the crash and seed tests catch. One that
// does not apply or does not compile is an error, not a catch. `-- --only text` takes those whose name holds it, `-- --seconds 900`
// begins with no other after that time, `-- --write` puts the result into docs/mutants.md.
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { MUTANTS, type Mutant } from './mutants.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const AT_ONCE = 2;
const LIMIT_MS = 20 * 60_000;
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: 'Infinity' },
    write: { type: 'boolean', default: false },
  },
});
const end = Date.now() + Number(values.seconds) * 1000;
const run = promisify(execFile);

type Verdict = 'caught' | 'survived' | 'error' | 'not run';

interface Outcome {
  readonly verdict: Verdict;
  readonly text: string;
}

/** Calls `work` with a copy of the sources, which is removed afterwards. */
async function inCopy<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'proxyctl-mutant-'));
  try {
    for (const name of [
      'src',
      'test',
      'package.json',
      'tsconfig.json',
      'biome.json',
      'build.ts',
      'third-party.ts',
      'vitest.config.ts',
      'image',
    ])
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The last line that a check says, and whether it was content. */
async function check(folder: string): Promise<{ content: boolean; text: string }> {
  const options = { cwd: folder, timeout: LIMIT_MS, maxBuffer: 1 << 26 };
  try {
    const { stdout } = await run(process.execPath, [join(folder, 'test/mutants/check.ts')], options);
    return { content: true, text: stdout.trim() };
  } catch (error) {
    const { code, stdout, stderr, killed } = error as {
      code: unknown;
      stdout: string;
      stderr: string;
      killed: boolean;
    };
    if (killed) return { content: false, text: 'not over in time' };
    if (code === 1 && stdout.includes('after ')) return { content: false, text: stdout.trim() };
    throw new Error(`the check could not run: ${stderr.slice(0, 500)}`);
  }
}

function judge(mutant: Mutant): Promise<Outcome> {
  return inCopy(async (folder): Promise<Outcome> => {
    const path = join(folder, mutant.file);
    const text = readFileSync(path, 'utf8');
    const times = text.split(mutant.find).length - 1;
    if (times !== 1) return { verdict: 'error', text: `what it replaces stands ${times} times in ${mutant.file}` };
    writeFileSync(
      path,
      text.replace(mutant.find, () => mutant.replace),
    );
    try {
      await run(join(ROOT, 'node_modules/.bin/tsc'), ['--noEmit', '--noUnusedLocals', 'false'], { cwd: folder });
    } catch (error) {
      return { verdict: 'error', text: `does not compile: ${(error as { stdout: string }).stdout.slice(0, 300)}` };
    }
    try {
      const { content, text: said } = await check(folder);
      return { verdict: content ? 'survived' : 'caught', text: said };
    } catch (error) {
      return { verdict: 'error', text: error instanceof Error ? error.message : String(error) };
    }
  });
}

const untouched = await inCopy(check);
if (!untouched.content) {
  console.log(`without any mutant the check fails, so it can tell nothing: ${untouched.text}`);
  process.exit(2);
}
const chosen = MUTANTS.filter(mutant => mutant.id.includes(values.only));
const outcomes = new Map<Mutant, Outcome>();
const rest = chosen.values();
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (const mutant of rest) {
      if (Date.now() > end) continue;
      const { verdict, text } = await judge(mutant);
      outcomes.set(mutant, { verdict, text });
      console.log(`${verdict.padEnd(8)} ${mutant.id}: ${text}`);
    }
  }),
);
const verdictOf = (mutant: Mutant): Verdict => outcomes.get(mutant)?.verdict ?? 'not run';
const counts = Map.groupBy(MUTANTS, verdictOf);
const sum = (['caught', 'survived', 'error', 'not run'] as const)
  .map(verdict => `${counts.get(verdict)?.length ?? 0} ${verdict}`)
  .join(', ');
console.log(`${MUTANTS.length} mutants: ${sum}`);
if (values.write) writeFileSync(join(ROOT, 'docs/mutants.md'), page());
process.exitCode = (counts.get('survived') ?? counts.get('error')) ? 1 : 0;

function page(): string {
  const rows = MUTANTS.map(mutant => `| ${mutant.id} | ${mutant.file} | ${mutant.why} | ${verdictOf(mutant)} |`);
  return `# Planted bugs

Made by \`npm run test:mutants -- --write\` on ${new Date().toISOString().slice(0, 10)}: ${MUTANTS.length} bugs that somebody could make in the executor, each put into a copy of its own; ${sum}.
Caught is one that makes the crash and seed tests fail, which pass without it. The list is \`test/mutants/mutants.ts\`.

| planted | where | what it would do | |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
