// Prints what a mode's rules do, as changes: ten thousand Services do not fit into a line every two seconds.
import type { Mode } from '../core/mode.ts';
import type { NodeIo } from '../core/node-io.ts';
import type { ServiceRule } from '../core/service-rules.ts';
import type { Report } from './report.ts';

/**
 * Of a line's changes, so that it stays below the 16 KiB where container runtimes split lines: a log that is read on from some
 * second may begin behind the split, and kubelets before 1.26 put a timestamp there (kubernetes issue 77603). One rule is never cut.
 */
const LINE_LENGTH = 16_000;
/** Quotes and a comma. */
const AROUND = 3;
/** For a reader who lost a line. */
const WHOLE_EVERY_MS = 300_000;

/** A rule as it is now, or the key of one that is no more. */
interface Change {
  readonly text: string;
  readonly rule?: ServiceRule;
}

export class RulesLog {
  private readonly io: NodeIo;
  private readonly report: Report;
  private readonly mode: Mode;
  /** Rules as they were printed, by key. As text: a rule's own strings may be parts of a dump, which would stay with them. */
  private said = new Map<string, string>();
  private seq = 0;
  private wholeAt: number | undefined;

  constructor(io: NodeIo, report: Report, mode: Mode) {
    this.io = io;
    this.report = report;
    this.mode = mode;
  }

  /** `began` is when the reading of the kernel began, ms. */
  print(rules: ReadonlyMap<string, ServiceRule>, began: number): void {
    const now = this.io.now();
    // The clock may have been set back.
    const full = this.wholeAt === undefined || now - this.wholeAt >= WHOLE_EVERY_MS || now < this.wholeAt;
    if (full) this.wholeAt = now;
    const line = { kind: 'rules', mode: this.mode, began: new Date(began).toISOString() } as const;
    const pieces = cut(this.changes(rules, full));
    if (full && pieces.length === 0) pieces.push([]);
    for (const [index, piece] of pieces.entries()) {
      const place = { seq: ++this.seq, full: full && index === 0, last: index === pieces.length - 1 };
      const set = piece.flatMap(({ rule }) => rule ?? []);
      const gone = piece.flatMap(({ rule, text }) => (rule ? [] : text));
      this.report.print({ ...line, ...place, set, gone });
    }
    const same = { ...line, seq: this.seq, full: false, last: true, set: [], gone: [] };
    if (pieces.length === 0) this.report.printChanged(`rules ${this.mode}`, same, '');
  }

  /** Remembers the rules; gives those that differ from the ones before, or all. */
  private changes(rules: ReadonlyMap<string, ServiceRule>, full: boolean): Change[] {
    const before = full ? new Map<string, string>() : this.said;
    const changes: Change[] = [];
    this.said = new Map();
    for (const [key, rule] of rules) {
      const text = JSON.stringify(rule);
      this.said.set(key, text);
      if (before.get(key) !== text) changes.push({ text, rule });
    }
    for (const key of before.keys()) if (!rules.has(key)) changes.push({ text: key });
    return changes;
  }
}

/** In pieces for a line each. */
function cut(changes: readonly Change[]): Change[][] {
  const pieces: Change[][] = [];
  let room = 0;
  for (const change of changes) {
    const length = change.text.length + AROUND;
    room -= length;
    if (room < 0) {
      pieces.push([]);
      room = LINE_LENGTH - length;
    }
    pieces.at(-1)?.push(change);
  }
  return pieces;
}
