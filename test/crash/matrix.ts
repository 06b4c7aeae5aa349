// How often each step was killed, in which way, in which direction.
import { KINDS_OF_POINT, type Point } from './sim-process.ts';
import type { Case } from './sweep.ts';

export class Matrix {
  /** `action step kind` -> direction -> count. */
  private readonly rows = new Map<string, Map<string, number>>();

  add({ action, from, to }: Pick<Case, 'action' | 'from' | 'to'>, said: unknown): void {
    const point = said as Point | undefined;
    if (!point) return;
    const key = `${action} ${point.step} ${point.kind}`;
    const row = this.rows.get(key) ?? new Map<string, number>();
    this.rows.set(key, row);
    const direction = `${short(from)}>${short(to)}`;
    row.set(direction, (row.get(direction) ?? 0) + 1);
  }

  /** Steps of a command that were killed in this way at least once. */
  steps(action: string): Set<string> {
    return new Set(
      [...this.rows.keys()].map(key => key.split(' ')).flatMap(([a, step]) => (a === action && step ? [step] : [])),
    );
  }

  text(): string {
    const directions = [...new Set([...this.rows.values()].flatMap(row => [...row.keys()]))].sort();
    const keys = [...this.rows.keys()].sort(byCommand);
    const head = ['command step kind', ...directions];
    const lines = keys.map(key => [key, ...directions.map(d => String(this.rows.get(key)?.get(d) ?? '-'))]);
    const width = Math.max(...[head, ...lines].map(([first = '']) => first.length));
    return [head, ...lines]
      .map(([first = '', ...cells]) => first.padEnd(width) + cells.map(cell => cell.padStart(8)).join(''))
      .join('\n');
  }
}

function short(mode: string): string {
  return mode.slice(0, 3);
}

function byCommand(a: string, b: string): number {
  const order = (key: string) => {
    const [action = '', step = '', kind = ''] = key.split(' ');
    return `${action} ${step} ${(KINDS_OF_POINT as readonly string[]).indexOf(kind)}`;
  };
  return order(a) < order(b) ? -1 : 1;
}
