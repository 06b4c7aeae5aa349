import { judgedMode } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import type { CommandEnd, OutsideAnswer } from '../core/outside.ts';
import type { HookSettings } from '../core/playbook-outside.ts';
import { count } from '../core/words.ts';

/** Exit code of a command that cannot tell yet; EX_TEMPFAIL of sysexits.h. */
const CANNOT_TELL = 75;
/** Answers that say nothing about the cluster: nobody may ask, the address is wrong, or the server cannot tell now. */
const NO_ANSWERS: ReadonlySet<number> = new Set([401, 403, 404, 405, 407, 408, 429, 502, 503, 504]);
const LINES_SHOWN = 5;
const LINE_LENGTH = 200;

type Outcome =
  | { readonly kind: 'command'; readonly end: CommandEnd }
  | { readonly kind: 'answer'; readonly answer: OutsideAnswer }
  | { readonly kind: 'trouble'; readonly message: string };

/** What the operator's own checks say. */
export const hook = defineGate<ReadonlyMap<string, Outcome>>({
  id: 'hook',
  title: "The operator's own checks pass",
  hint: 'gates.hooks in the playbook holds them; run the command by hand, with PROXYCTL_NODE and PROXYCTL_MODE set',
  moments: ['before-node', 'prove', 'after-node', 'after-batch'],
  standsFor: 10,
  wanted: playbook => playbook.gates.hooks.length > 0,
  async observe(look) {
    const outcomes = new Map<string, Outcome>();
    // One after another: they may not expect one another.
    for (const settings of hooksOf(look)) outcomes.set(settings.name, await outcomeOf(look, settings));
    return outcomes;
  },
  judge(outcomes, look) {
    const hooks = hooksOf(look);
    const findings = hooks.flatMap((settings): Finding[] => {
      const said = verdictOn(settings, outcomes.get(settings.name));
      return said ? [{ ...said, subject: `hook ${settings.name}` }] : [];
    });
    return { findings, summary: hooks.length === 0 ? 'no hook' : count(hooks.length, 'hook') };
  },
});

function hooksOf(look: Look): HookSettings[] {
  return look.playbook.gates.hooks.filter(({ moments }) => moments.some(moment => moment === look.moment));
}

async function outcomeOf(look: Look, { name, command, url, timeout, ...as }: HookSettings): Promise<Outcome> {
  const about = factsOf(look, name);
  try {
    if (!look.outside) throw new Error('nobody is there to ask');
    if (url !== undefined) {
      const { tokenEnv, tokenFile, caFile } = as;
      const request = { method: 'POST' as const, url, body: about, tokenEnv, tokenFile, caFile, seconds: timeout };
      return { kind: 'answer', answer: await look.outside.ask(request) };
    }
    const run = {
      argv: command ?? [],
      env: environmentOf(about),
      input: `${JSON.stringify(about)}\n`,
      seconds: timeout,
    };
    return { kind: 'command', end: await look.outside.run(run) };
  } catch (error) {
    return { kind: 'trouble', message: error instanceof Error ? error.message : String(error) };
  }
}

/** What a hook is told, as JSON. */
function factsOf(look: Look, name: string) {
  const { node, inventory, scope } = look;
  return {
    hook: name,
    moment: look.moment,
    run: look.run ?? '',
    node: node?.name ?? '',
    /** That serves, or must, at this moment. */
    mode: node ? judgedMode(look) : look.to,
    from: node?.from ?? '',
    to: look.to,
    context: inventory.cluster.context,
    server: inventory.cluster.server,
    namespaces: [...(scope?.namespaces ?? [])].sort(),
  };
}

/** The same as environment variables, but for the namespaces, which may be too many for one. */
function environmentOf({ namespaces: _, ...facts }: ReturnType<typeof factsOf>): Record<string, string> {
  return Object.fromEntries(Object.entries(facts).map(([key, value]) => [`PROXYCTL_${key.toUpperCase()}`, value]));
}

type Said = Pick<Finding, 'level' | 'message'>;

function verdictOn({ timeout }: HookSettings, outcome: Outcome | undefined): Said | undefined {
  if (!outcome) return { level: 'inconclusive', message: 'was not asked' };
  if (outcome.kind === 'trouble') return { level: 'inconclusive', message: `could not be asked: ${outcome.message}` };
  if (outcome.kind === 'answer') {
    const { status, body } = outcome.answer;
    if (status >= 200 && status < 300) return undefined;
    const level = status < 400 || NO_ANSWERS.has(status) ? 'inconclusive' : 'error';
    return { level, message: `answers ${status}${lastLines(body)}` };
  }
  const { code, timedOut, output } = outcome.end;
  if (timedOut) return { level: 'inconclusive', message: `did not end within ${timeout} s${lastLines(output)}` };
  if (code === 0) return undefined;
  if (code === null) return { level: 'inconclusive', message: `was killed${lastLines(output)}` };
  if (code === CANNOT_TELL) return { level: 'inconclusive', message: `cannot tell yet${lastLines(output)}` };
  return { level: 'error', message: `exits with ${code}${lastLines(output)}` };
}

/** The evidence: what it said last, in one line. */
function lastLines(output: string): string {
  const lines = output.split('\n').flatMap(line => (line.trim() === '' ? [] : [line.trim().slice(0, LINE_LENGTH)]));
  return lines.length === 0 ? '' : `: ${lines.slice(-LINES_SHOWN).join(' | ')}`;
}
