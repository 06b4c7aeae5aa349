/** How long a finished connection is remembered. */
const REMEMBERED_MS = 8000;

/** The connection table of a node's host network, as numbers. */
export class Conntrack {
  max = 131_072;
  /** Connections that stay, e.g. of kubelet. */
  private readonly base: number;
  /** Share of `max` that somebody else fills. */
  filled = 0;
  kept = 0;
  drop = 0;
  insertFailed = 0;
  found = 0;
  private recent: { at: number; count: number }[] = [];

  constructor(base: number) {
    this.base = base;
  }

  get count(): number {
    const since = Date.now() - REMEMBERED_MS;
    this.recent = this.recent.filter(entry => entry.at > since);
    const opened = this.recent.reduce((sum, entry) => sum + entry.count, 0);
    return Math.min(this.max, this.base + this.kept + opened + Math.round(this.filled * this.max));
  }

  /** A new connection. False when the table is full and it was dropped, which the kernel does not count as a failed insertion. */
  open(): boolean {
    if (this.filled >= 1 || this.base + Math.round(this.filled * this.max) >= this.max) {
      this.drop++;
      return false;
    }
    this.found++;
    const last = this.recent.at(-1);
    const now = Date.now();
    if (last && now - last.at < 100) last.count++;
    else this.recent.push({ at: now, count: 1 });
    return true;
  }

  reset(): void {
    this.kept = 0;
    this.recent = [];
    this.drop = 0;
    this.insertFailed = 0;
  }

  /** /proc/net/stat/nf_conntrack of a 6.1 kernel: a header and a line a CPU, hexadecimal. */
  render(): string {
    const hex = (n: number) => n.toString(16).padStart(8, '0');
    const header =
      'entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n';
    const row = (insertFailed: number, drop: number, found: number) => {
      const fields = [this.count, 0, found, 0, 0, 0, 0, 3, 0, insertFailed, drop, 0, 0, 0, 0, 0, 0];
      return `${fields.map(hex).join(' ')}\n`;
    };
    return header + row(this.insertFailed, this.drop, this.found) + row(0, 0, 0);
  }
}
