// Where packets for a Service go on a node: the ways that the kernel has, beside what the API says. Pure: from what was read.
import type { ApiService } from './api-services.ts';
import { type ExpectedRule, expectedRules, type RulePlace, type ServiceVersion } from './expected-rules.ts';
import { frontendsOf, type ServiceFrontend } from './frontends.ts';
import type { Verdict } from './gate.ts';
import type { ClusterIdentity, NodeFacts } from './inventory.ts';
import { isMode, MODES, type Mode } from './mode.ts';
import type { NodeView } from './node-view.ts';
import { type RuleDifference, ruleDifference } from './rule-difference.ts';
import type { RuleOptions } from './rule-options.ts';
import { rulePlace, whereaboutsIn } from './rule-place.ts';
import type { ServicePath } from './service-path.ts';
import { readKey } from './service-port.ts';
import type { ServiceRule } from './service-rules.ts';
import { commandsFor } from './trace-commands.ts';

export const TRACE_VERSION = 1;

export interface TracedFrontend extends ServiceFrontend {
  /** What the API says; absent where kube-proxy is to do nothing there. */
  readonly expected?: Omit<ServiceRule, 'key'>;
  /** What the kernel does otherwise. */
  readonly flaw?: RuleDifference;
  /** From each of `CLIENTS`. */
  readonly paths: readonly ServicePath[];
  /** To type on the node. */
  readonly commands: readonly string[];
  /** The same question in other modes of the cluster. */
  readonly elsewhere: readonly { readonly mode: Mode; readonly commands: readonly string[] }[];
}

export interface TracedNode {
  readonly name: string;
  /** Why this node was looked at. */
  readonly why: string;
  /** `inconclusive` when it could not be looked at: `reason` says why. */
  readonly verdict: Verdict;
  readonly reason?: string;
  readonly mode?: Mode;
  /** Modes whose rules are there besides. */
  readonly besides: readonly Mode[];
  readonly frontends: readonly TracedFrontend[];
  /** Addresses and ports of the Service's ClusterIPs with a rule that the API knows nothing of. */
  readonly extras: readonly string[];
}

/** Readers ignore fields that they do not know. */
export interface ServiceTrace {
  readonly kind: 'ServiceTrace';
  readonly version: typeof TRACE_VERSION;
  readonly madeAt: string;
  readonly cluster: ClusterIdentity;
  /** `namespace/name`. */
  readonly service: string;
  readonly type: string;
  /** Why kube-proxy has nothing to do for it; then there are no nodes. */
  readonly unserved?: string;
  readonly nodes: readonly TracedNode[];
  /** What is wrong or could not be seen, one line each. */
  readonly wrong: readonly string[];
  readonly verdict: Verdict;
}

/** A node that is to be looked at, and why. */
export interface Choice {
  readonly node: NodeFacts;
  readonly why: string;
}

/** The first Ready node by name that is known to be in each mode; nodes that nobody knows the mode of only without any other. */
export function chooseNodes(nodes: readonly NodeFacts[]): Choice[] {
  const ready = nodes.filter(n => n.ready && n.os !== 'windows').toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const first = (mode: string) => ready.find(n => n.mode === mode);
  const known = MODES.flatMap(mode => {
    const node = first(mode);
    return node ? [{ node, why: `a Ready node in ${mode}; --node takes another` }] : [];
  });
  const unknown = first('unknown');
  if (known.length > 0 || !unknown) return known;
  return [{ node: unknown, why: 'a Ready node whose mode nobody has read yet; --node takes another' }];
}

export interface TraceFacts {
  readonly madeAt: string;
  readonly cluster: ClusterIdentity;
  readonly type: string;
  readonly service: ApiService;
  /** Number or name of the one port that is asked for. */
  readonly port?: string | undefined;
  /** As the API said it before the look and after it: between them the kernel may be as either. */
  readonly versions: readonly ServiceVersion[];
  readonly choices: readonly Choice[];
  /** By node; a text says why it could not be looked at. */
  readonly views: ReadonlyMap<string, NodeView | string>;
  readonly options: RuleOptions;
  /** All modes that the cluster has or is on the way to. */
  readonly modes: readonly Mode[];
}

export function traceOf(facts: TraceFacts): ServiceTrace {
  const { madeAt, cluster, service, type } = facts;
  const nodes = facts.choices.map(choice => tracedNode(facts, choice));
  const verdicts = new Set(nodes.map(n => n.verdict));
  return {
    kind: 'ServiceTrace',
    version: TRACE_VERSION,
    madeAt,
    cluster,
    service: service.key,
    type,
    nodes,
    wrong: nodes.flatMap(wrongOf),
    verdict: verdicts.has('fail') ? 'fail' : verdicts.has('inconclusive') ? 'inconclusive' : 'pass',
  };
}

function wrongOf({ name, reason, frontends, extras }: TracedNode): string[] {
  const flaws = frontends.flatMap(({ flaw, port, kind, key }) =>
    flaw ? [`node ${name}: ${port} at ${kind} ${key} ${flaw.detail}`] : [],
  );
  const more = extras.map(key => `node ${name}: ${key} has a rule, and the Service has no such port`);
  return [...(reason === undefined ? [] : [`node ${name}: ${reason}`]), ...flaws, ...more];
}

function tracedNode(facts: TraceFacts, { node, why }: Choice): TracedNode {
  const view = facts.views.get(node.name) ?? 'nobody looked at it';
  const unseen = (reason: string, mode?: Mode): TracedNode => ({
    name: node.name,
    why,
    verdict: 'inconclusive',
    reason,
    ...(mode ? { mode } : {}),
    besides: [],
    frontends: [],
    extras: [],
  });
  if (typeof view === 'string') return unseen(`could not be looked at: ${view}`);
  const mode = modeOf(node, view);
  if (mode === undefined) return unseen('neither its kube-proxy nor the log of it tells its mode');
  const rules = view.rules[mode]?.rules;
  if (!rules) return unseen(`its ${mode} rules could not be read: ${view.troubles.at(-1) ?? 'nothing says why'}`, mode);
  const place = rulePlace({ name: node.name, slot: 'main', view }, mode, whereaboutsIn(node), facts.options);
  const frontends = frontendsOf(facts.service, facts.port).map(frontend =>
    tracedFrontend(facts, { frontend, place, rules, view }),
  );
  const extras = extrasIn(facts, rules);
  return {
    name: node.name,
    why,
    verdict: extras.length > 0 || frontends.some(f => f.flaw) ? 'fail' : 'pass',
    mode,
    besides: MODES.filter(other => other !== mode && view.kernel?.modes[other]?.present === true),
    frontends,
    extras,
  };
}

/** The running kube-proxy tells it; its log told it when the inventory was taken. */
function modeOf({ mode }: NodeFacts, { proxy }: NodeView): Mode | undefined {
  const told = proxy.main?.mode ?? mode;
  return isMode(told) ? told : undefined;
}

interface Seen {
  readonly frontend: ServiceFrontend;
  readonly place: RulePlace;
  readonly rules: ReadonlyMap<string, ServiceRule>;
  readonly view: NodeView;
}

function tracedFrontend(facts: TraceFacts, { frontend, place, rules, view }: Seen): TracedFrontend {
  const expected = expectedRules(place);
  const found = rules.get(frontend.key);
  const entries = facts.versions.map(version => expected(version).find(({ rule }) => rule.key === frontend.key));
  const entry = entries.at(-1);
  const paths = (view.paths ?? []).filter(p => p.mode === place.mode && p.path.key === frontend.key).map(p => p.path);
  const [nodeAddress = '<node address>'] = place.addresses.filter(
    a => a.includes(':') === (frontend.family === 'IPv6'),
  );
  const asking = { service: facts.service.key, frontend, nodeAddress };
  const flaw = flawOf(entries, found, place.mode);
  const { key: _key, ...rest } = entry?.rule ?? { key: '' };
  return {
    ...frontend,
    ...(entry && 'endpoints' in rest ? { expected: rest } : {}),
    ...(flaw ? { flaw } : {}),
    paths,
    commands: commandsFor(place.mode, { ...asking, paths }),
    elsewhere: facts.modes
      .filter(mode => mode !== place.mode)
      .map(mode => ({ mode, commands: commandsFor(mode, { ...asking, paths: [] }) })),
  };
}

/** None when the kernel is as the API says it at one of the times. */
function flawOf(
  entries: readonly (ExpectedRule | undefined)[],
  found: ServiceRule | undefined,
  mode: Mode,
): RuleDifference | undefined {
  const differences = entries.map(entry => {
    if (entry) return ruleDifference(entry, found, mode);
    return found
      ? { difference: 'extra' as const, detail: 'has a rule, and kube-proxy is to have none there' }
      : undefined;
  });
  return differences.includes(undefined) ? undefined : differences.at(-1);
}

function extrasIn({ service, port, versions }: TraceFacts, rules: ReadonlyMap<string, ServiceRule>): string[] {
  if (port !== undefined) return [];
  const own = new Set(service.addresses.map(a => a.clusterIP));
  const known = new Set(versions.flatMap(v => (v.service ? frontendsOf(v.service) : [])).map(({ key }) => key));
  return [...rules.keys()].filter(key => !known.has(key) && own.has(readKey(key)?.address ?? ''));
}
