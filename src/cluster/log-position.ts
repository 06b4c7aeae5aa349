// Where we are in a log whose lines begin with timestamps, so that it can be read on after a broken connection.

const SECOND = 1000;

/**
 * The server knows `sinceTime` in whole seconds only, so it sends lines again, and lines of stdout and stderr may stand a
 * little out of order. Hence the lines of the last two seconds are kept, and taken out when they come again.
 */
export class LogPosition {
  private newest = Number.NEGATIVE_INFINITY;
  private recent: { line: string; at: number }[] = [];
  private expected = new Map<string, number>();

  /** From when to read on (`sinceTime`); undefined for the beginning. Lines from then on are expected again. */
  resume(): string | undefined {
    this.expected = new Map();
    for (const { line } of this.recent) this.expected.set(line, (this.expected.get(line) ?? 0) + 1);
    if (this.newest === Number.NEGATIVE_INFINITY) return undefined;
    return new Date(this.floor()).toISOString().replace('.000Z', 'Z');
  }

  /** The line without its timestamp; undefined when it has been here before. A line without one is passed on as it is. */
  accept(line: string): string | undefined {
    const space = line.indexOf(' ');
    const at = Date.parse(space < 0 ? line : line.slice(0, space));
    if (Number.isNaN(at)) return line;
    const again = this.expected.get(line) ?? 0;
    if (again > 0) {
      this.expected.set(line, again - 1);
      return undefined;
    }
    this.recent.push({ line, at });
    if (at > this.newest) {
      const before = this.floor();
      this.newest = at;
      const floor = this.floor();
      if (floor > before) this.recent = this.recent.filter(kept => kept.at >= floor);
    }
    return space < 0 ? '' : line.slice(space + 1);
  }

  private floor(): number {
    return Math.floor(this.newest / SECOND) * SECOND - SECOND;
  }
}
