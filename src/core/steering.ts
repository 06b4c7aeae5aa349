// How a run is steered and seen from elsewhere: two annotations on its Lease. Operators write what they want (`control`), the
// runner writes what it does (`doing`). Neither writes the other's.
import { z } from 'zod';
import type { KubeObject } from './cluster.ts';
import type { RunEvent } from './journal.ts';
import { ANNOTATION_CONTROL, ANNOTATION_DOING } from './names.ts';

/** Who wants it, and since when by their clock. */
export const Wish = z.object({ by: z.string().max(300), at: z.iso.datetime() });
export type Wish = z.infer<typeof Wish>;

/** What of a run under way can be changed: the caps of the batches that have not begun, and the soak in seconds. */
export const Adjustment = z.object({
  ...Wish.shape,
  services: z.int().positive().optional(),
  nodes: z.int().positive().optional(),
  soak: z.number().nonnegative().optional(),
});
export type Adjustment = z.infer<typeof Adjustment>;

export const Control = z.object({
  /** Counts up with each change; the runner tells which one it has heard. */
  change: z.int(),
  pause: Wish.optional(),
  /** Who ended the last pause. */
  resumed: Wish.optional(),
  abort: Wish.optional(),
  adjust: Adjustment.optional(),
});
export type Control = z.infer<typeof Control>;

export const Doing = z.object({
  action: z.enum(['migrate', 'rollback', 'finalize']),
  /** The one node that a rollback puts back. */
  only: z.string().optional(),
  /** What it does or waits for, and since when by the runner's clock. */
  text: z.string(),
  since: z.iso.datetime(),
  /** The last change of `control` that it has heard. */
  heard: z.int(),
  /** It stands still because of this. */
  paused: Wish.optional(),
  /** It came to its end: there is nothing of it to go on with. */
  finished: z.literal(true).optional(),
});
export type Doing = z.infer<typeof Doing>;

const NO_CONTROL: Control = { change: 0 };
/** Whatever somebody wanted, standing still is safe. */
const UNREADABLE: Control = {
  change: -1,
  pause: { by: 'a wish on the Lease that this version of proxyctl cannot read', at: '1970-01-01T00:00:00Z' },
};

/** What operators want of the run: nothing where nothing stands there, a pause where it cannot be read. */
export function controlOf(lease: KubeObject | undefined): Control {
  const text = lease?.metadata.annotations?.[ANNOTATION_CONTROL];
  return text === undefined ? NO_CONTROL : (read(Control, text) ?? UNREADABLE);
}

/** What a new runner starts from: nobody wants it to stand still; what was to be changed is still to be. */
export function freshControl({ change, adjust }: Control): Control {
  return { change: Math.max(change, 0) + 1, ...(adjust ? { adjust } : {}) };
}

/** What the runner said last; undefined where none has, or one of another version. */
export function doingOf(lease: KubeObject | undefined): Doing | undefined {
  const text = lease?.metadata.annotations?.[ANNOTATION_DOING];
  return text === undefined ? undefined : read(Doing, text);
}

function read<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** The state line of a run: where it is, what it does or waits for, since when. */
export interface StateLine {
  readonly where: string;
  readonly text: string;
  readonly since: string;
}

/** The state line after an event; the same one when the event changes nothing of it. */
export function stateLine(line: StateLine, event: RunEvent): StateLine {
  const next = (where: string, text: string): StateLine =>
    where === line.where && text === line.text ? line : { where, text, since: event.t };
  switch (event.event) {
    case 'run-opened':
      return next('', `${event.action} begins`);
    case 'phase-started':
      return next('', `${event.phase}: ${event.title}`);
    case 'batch-started':
      return next(event.batch, 'begins');
    case 'step-intended':
      return next(placeOf(line.where, `${event.batch} ${event.node}`), event.step);
    case 'rehearsal-started':
      return next(`${event.batch} ${event.node}${REHEARSED}`, 'begins');
    case 'rehearsal-done':
      return next(event.batch, `${event.node} is proven to have a way back`);
    case 'waiting':
      return next(line.where, `${stepOf(line.text)}waits for ${event.for}`);
    case 'node-done':
    case 'node-back':
      return next(event.batch, `${event.node} in mode ${event.mode}`);
    case 'run-closed':
      return next('', `${event.outcome}: ${event.reason}`);
    default:
      return line;
  }
}

const REHEARSED = ' (way back, rehearsed)';

/** A node stays marked until its way back is done. */
function placeOf(where: string, node: string): string {
  return where === node + REHEARSED ? where : node;
}

/** The step in hand stays in front of what it waits for. */
function stepOf(text: string): string {
  const step = /^([a-z-]+)(?:, waits for .*)?$/s.exec(text)?.[1];
  return step === undefined ? '' : `${step}, `;
}

export function lineText({ where, text }: StateLine): string {
  return where === '' ? text : `${where}: ${text}`;
}

/** `20 Services a batch, 60 s of soak`. */
export function adjustmentText({ services, nodes, soak }: Adjustment): string {
  const parts = [
    ...(services === undefined ? [] : [`at most ${services} new Services a batch`]),
    ...(nodes === undefined ? [] : [`at most ${nodes} nodes a batch`]),
    ...(soak === undefined ? [] : [`${soak} s of soak`]),
  ];
  return parts.join(', ');
}
