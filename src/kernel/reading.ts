// What the parsers of all modes make of a node's kernel.
import { isNodePort } from '../core/service-port.ts';
import { type ServiceRule, serviceRule } from '../core/service-rules.ts';

/** What a mode does on a node, as far as its rules are reached from the kernel's hooks. */
export interface ModeReading {
  /** A hook leads to rules that only this mode writes. */
  readonly present: boolean;
  /** By key; those without endpoints included. */
  readonly rules: ReadonlyMap<string, ServiceRule>;
}

/** How many addresses and ports a mode answers for, NodePorts apart. */
export function countServicePorts({ rules }: ModeReading): number {
  let count = 0;
  for (const key of rules.keys()) if (!isNodePort(key)) count++;
  return count;
}

/** Endpoints that connections are spread over. */
export interface Reach {
  readonly endpoints: readonly string[];
  readonly affinitySeconds?: number;
}

/** Where the rules for an address and port lead. */
export interface Lead {
  readonly outside?: Reach | undefined;
  /** Where clients within the cluster are led elsewhere. */
  readonly within?: Reach | undefined;
  readonly sourceRanges?: readonly string[] | undefined;
}

/** Puts together what several rules do for the same address and port. */
export class RuleBook {
  private readonly leads = new Map<string, Lead>();
  private readonly refusals = new Map<string, 'reject' | 'drop'>();

  /** The first one decides, as it does in the kernel. */
  lead(key: string, lead: Lead): void {
    if (!this.leads.has(key)) this.leads.set(key, lead);
  }

  refuse(key: string, how: 'reject' | 'drop'): void {
    if (!this.refusals.has(key)) this.refusals.set(key, how);
  }

  /** A rule that neither leads anywhere nor refuses does nothing, and is none. */
  rules(): Map<string, ServiceRule> {
    const rules = new Map<string, ServiceRule>();
    for (const key of new Set([...this.leads.keys(), ...this.refusals.keys()])) {
      const { outside, within, sourceRanges } = this.leads.get(key) ?? {};
      const empty = this.refusals.get(key);
      const affinitySeconds = (outside ?? within)?.affinitySeconds;
      add(rules, {
        key,
        endpoints: outside?.endpoints ?? [],
        ...(within ? { fromCluster: within.endpoints } : {}),
        ...(empty ? { empty } : {}),
        ...(affinitySeconds === undefined ? {} : { affinitySeconds }),
        ...(sourceRanges ? { sourceRanges } : {}),
      });
    }
    return rules;
  }
}

function add(rules: Map<string, ServiceRule>, rule: ServiceRule): void {
  const normal = serviceRule(rule);
  if (normal.endpoints.length > 0 || normal.fromCluster || normal.empty) rules.set(rule.key, normal);
}

/**
 * What holds whichever of two sets of rules a connection meets: for a key that only one has, that one decides; of a key that
 * both have counts what both do.
 */
export function common(
  a: ReadonlyMap<string, ServiceRule>,
  b: ReadonlyMap<string, ServiceRule>,
): Map<string, ServiceRule> {
  const rules = new Map(a);
  for (const [key, rule] of b) {
    const other = rules.get(key);
    rules.delete(key);
    add(rules, other ? commonRule(other, rule) : rule);
  }
  return rules;
}

function commonRule(a: ServiceRule, b: ServiceRule): ServiceRule {
  const limits = a.sourceRanges && b.sourceRanges ? inBoth(a.sourceRanges, b.sourceRanges) : undefined;
  const sourceRanges = limits ?? a.sourceRanges ?? b.sourceRanges;
  const { key, empty, affinitySeconds } = a;
  return {
    key,
    endpoints: inBoth(a.endpoints, b.endpoints),
    fromCluster: inBoth(a.fromCluster ?? a.endpoints, b.fromCluster ?? b.endpoints),
    ...(empty && empty === b.empty ? { empty } : {}),
    ...(affinitySeconds !== undefined && affinitySeconds === b.affinitySeconds ? { affinitySeconds } : {}),
    ...(sourceRanges ? { sourceRanges } : {}),
  };
}

function inBoth(a: readonly string[], b: readonly string[]): string[] {
  const others = new Set(b);
  return a.filter(text => others.has(text));
}
