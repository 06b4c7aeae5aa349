// The last screen of the demo: what a colleague should remember. A pure reading of two journals and the traffic's counters.
import type { RunEvent } from '../core/journal.ts';
import type { Plan } from '../core/plan.ts';
import { count } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { duration, hang } from './layout.ts';
import type { Painter } from './paint.ts';
import { readRun } from './run-reading.ts';

const WIDTH = 80;

/** New connections of the simulated clients, from the first to the last moment of the demo. */
export interface DemoTraffic {
  readonly attempted: number;
  readonly failed: number;
  /** Failed ones by `namespace/name` of the Service. */
  readonly failedByService: ReadonlyMap<string, number>;
  readonly udp: { readonly failed: number };
  readonly keptBroken: number;
}

export interface DemoFacts {
  readonly plan: Plan;
  readonly there: readonly RunEvent[];
  readonly back: readonly RunEvent[];
  readonly traffic: DemoTraffic;
  /** What the demo broke on purpose, where, and what that cost; absent without a fault. */
  readonly broken?: { readonly what: string; readonly node: string; readonly failed: number };
}

export function demoSummary(facts: DemoFacts, paint: Painter): string {
  const { plan, traffic, broken } = facts;
  const there = readRun(facts.there);
  const back = readRun(facts.back);
  const lines = ['', paint.strong('SIMULATED cluster: what happened')];
  const row = (label: string, text: string) => lines.push(...hang(`  ${label.padEnd(13)}`, escapeText(text), WIDTH));
  row(
    'migration',
    `${there.closed?.outcome ?? 'not ended'} after ${duration(there.seconds)}: ${there.closed?.reason ?? ''}`,
  );
  row('batches', `${there.batches.size} of ${plan.batches.length} done`);
  const all = plan.batches.at(-1)?.exposedAfter ?? 0;
  const stopped = there.closed?.outcome === 'done' ? '' : ' when it stopped';
  row('exposed', `${there.exposed + there.exposing} of ${all} Services at most${stopped}`);
  row(
    'rollback',
    `${back.closed?.outcome ?? 'not ended'} after ${duration(back.seconds)}: ${back.closed?.reason ?? ''}`,
  );
  const onBroken = broken?.failed ?? 0;
  row('connections', `${number(traffic.attempted)} opened by clients all the while`);
  if (broken) row('failed', `${number(onBroken)} by ${broken.what} on ${broken.node}, which the demo broke on purpose`);
  row(
    'failed',
    `${number(traffic.failed - onBroken)}${broken ? ' others' : ''}; ${count(traffic.keptBroken, 'kept connection', 'kept connections')} broken`,
  );
  return `${lines.join('\n')}\n`;
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
