// How often each step was killed, in which way, in which direction, and what the operator did then.
import { KINDS_OF_POINT, type Point } from './sim-process.ts';
import type { Case, FollowUp } from './sweep.ts';

interface Count {
  passed: number;
  failed: number;
}

interface Row {
  readonly action: string;
  readonly step: string;
  readonly kind: Point['kind'];
  /** `ipt>nft resume` -> count. */
  readonly cells: Map<string, Count>;
}

const ORDER: readonly FollowUp[] = ['resume', 'back', 'again'];

export class Matrix {
  private readonly rows = new Map<string, Row>();
  private readonly directions = new Set<string>();

  add({ action, from, to, followUp }: Case, { step, kind }: Point, passed = true): void {
    const key = `${action} ${step} ${kind}`;
    const row = this.rows.get(key) ?? { action, step, kind, cells: new Map() };
    this.rows.set(key, row);
    const direction = `${from.slice(0, 3)}>${to.slice(0, 3)}`;
    this.directions.add(direction);
    const cell = row.cells.get(`${direction} ${followUp}`) ?? { passed: 0, failed: 0 };
    row.cells.set(`${direction} ${followUp}`, cell);
    cell[passed ? 'passed' : 'failed']++;
  }

  /** Steps of a command that were killed in this way at least once. */
  steps(action: string): Set<string> {
    return new Set([...this.rows.values()].flatMap(row => (row.action === action ? [row.step] : [])));
  }

  kinds(): Set<string> {
    return new Set([...this.rows.values()].map(row => row.kind));
  }

  /** Markdown: a row for each step and way of dying; a cell says how many went on, back, and on after a second kill. */
  text(): string {
    const directions = [...this.directions].sort();
    const head = ['command', 'step', 'killed', ...directions];
    const lines = this.inOrder().map(row => [row.action, row.step, row.kind, ...directions.map(d => cellText(row, d))]);
    return [head, head.map(() => '---'), ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n');
  }

  /** Steps stand in the order in which they were met. */
  private inOrder(): Row[] {
    const rows = [...this.rows.values()];
    const met = [...new Set(rows.map(row => row.step))];
    const place = ({ action, step, kind }: Row) => [
      COMMANDS.indexOf(action),
      met.indexOf(step),
      KINDS_OF_POINT.indexOf(kind),
    ];
    return rows.toSorted((a, b) => {
      const [first, second] = [place(a), place(b)];
      return first.map((n, i) => n - (second[i] ?? 0)).find(difference => difference !== 0) ?? 0;
    });
  }
}

const COMMANDS = ['migrate', 'rollback', 'finalize'];

/** `4 4 4`; `3+1!` where one of four failed; `-` where there is no such case. */
function cellText(row: Row, direction: string): string {
  return ORDER.map(followUp => row.cells.get(`${direction} ${followUp}`))
    .map(count => (count ? `${count.passed}${count.failed > 0 ? `+${count.failed}!` : ''}` : '-'))
    .join(' ');
}
