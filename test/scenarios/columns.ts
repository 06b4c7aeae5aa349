/** What stands right in a table: `3`, `12 %`, `0 of 90`. */
const FIGURE = /^[\d.,]*( %| of [\d.,]+)?$/;

/** Rows of cells as lines in columns, the heads first; figures stand right. */
export function columns(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map(row => row[i]?.length ?? 0)));
  const figures = heads.map((_, i) => rows.every(row => FIGURE.test(row[i] ?? '')));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (figures[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join('  ');
  return [heads, ...rows].map(cells => line(cells).trimEnd());
}
