// Live progress on a terminal: a listener on the journal that the engine does not know.
import { DefaultRenderer, LISTR_DEFAULT_RENDERER_STYLE, Listr, ListrLogger, ProcessOutput } from 'listr2';
import type { Journal, RunEvent } from '../core/journal.ts';
import { lineText, type StateLine, stateLine } from '../core/steering.ts';
import { count } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { eventLine, eventText } from './run-text.ts';

/** listr2 repaints all rows at each event, which stalls the event loop for seconds; five times a second is enough. */
const FRAME_MS = 200;
/** Batches shown ahead of the one in hand. */
const AHEAD = 3;

export interface ProgressOptions {
  readonly stream: NodeJS.WriteStream;
  readonly tty: boolean;
  readonly color: boolean;
}

export interface Progress {
  /** Rows end as they stand and the terminal is as it was. Call it once, in a `finally`. */
  stop(): Promise<void>;
}

/** Shows the run on `stream`: a row a batch on a terminal, else a line for each change of state. */
export function showProgress(journal: Journal, { stream, tty, color }: ProgressOptions): Progress {
  if (!tty) {
    let open = true;
    journal.subscribe(event => {
      const line = open ? eventLine(event) : undefined;
      if (line !== undefined) stream.write(`${line}\n`);
    });
    return {
      async stop() {
        open = false;
      },
    };
  }
  let rows: Rows | undefined;
  let stopped = false;
  journal.subscribe(event => {
    if (stopped) return;
    if (event.event === 'run-opened') rows ??= new Rows(event, { stream, color });
    if (event.event === 'replanned') rows = rows?.replaced(event);
    rows?.hear(event);
  });
  return {
    async stop() {
      stopped = true;
      await rows?.end();
    },
  };
}

/** Paints on a timer of its own, whatever happens in between. */
class SlowRenderer extends DefaultRenderer {
  // We decided already that there is a terminal; listr2 would ask whether stdout is one.
  static override nonTTY = true;
  private timer: NodeJS.Timeout | undefined;

  override async render(): Promise<void> {
    await super.render();
    this.timer = setInterval(() => super.update(), FRAME_MS);
  }

  override update(): void {
    // The timer paints.
  }

  override end(): void {
    clearInterval(this.timer);
    super.end();
  }
}

/** A row ends badly: the rows behind it are not begun. */
class RowFailed extends Error {
  override readonly name = 'RowFailed';
}

/** The part of a running row that we write to. */
interface Writable {
  title: string;
  output: string;
  skip(message?: string): void;
}

/** One row: when it is over, and what it says meanwhile. It may be told before listr2 has begun it. */
class Row {
  private readonly over = Promise.withResolvers<RowFailed | 'skipped' | undefined>();
  private readonly name: string;
  private suffix = '';
  private text = '';
  private task: Writable | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get title(): string {
    return escapeText(`${this.name}${this.suffix}`);
  }

  /** Throws RowFailed when it ends badly. */
  async run(task: Writable): Promise<void> {
    this.task = task;
    task.title = this.title;
    if (this.text !== '') task.output = this.text;
    const failure = await this.over.promise;
    if (failure === 'skipped') task.skip(`${this.title}: planned anew`);
    else if (failure) throw failure;
  }

  count(suffix: string): void {
    this.suffix = suffix;
    if (this.task) this.task.title = this.title;
  }

  say(text: string): void {
    this.text = escapeText(text);
    if (this.task) this.task.output = this.text;
  }

  end(): void {
    this.over.resolve(undefined);
  }

  /** It will not be what it says. */
  skip(): void {
    this.over.resolve('skipped');
  }

  fail(text: string): void {
    this.over.resolve(new RowFailed(`${this.title}: ${escapeText(text)}`));
  }
}

type Opened = Extract<RunEvent, { event: 'run-opened' }>;

interface RowsOptions {
  readonly stream: NodeJS.WriteStream;
  readonly color: boolean;
  /** Shown only when this is over. */
  readonly after?: Promise<unknown>;
}

/** The rows of one action and what the journal makes of them. */
class Rows {
  private readonly lead: Row;
  private readonly batches = new Map<string, { row: Row; done: Set<string>; isDone: boolean }>();
  private readonly finished: Promise<unknown>;
  private readonly options: RowsOptions;
  private readonly opened: Opened;
  private current: Row;
  private line: StateLine = { where: '', text: '', since: '' };
  private back = 0;

  constructor(opened: Opened, options: RowsOptions) {
    const { action, to, cluster, batches } = opened;
    this.opened = opened;
    this.options = options;
    const nodes = batches.reduce((sum, b) => sum + b.nodes.length, 0);
    const what = `${cluster.simulated ? 'SIMULATED ' : ''}${action}${to === null ? '' : ` to ${to}`} of ${cluster.context}`;
    this.lead = new Row(`${what}: ${count(batches.length, 'batch', 'batches')}, ${count(nodes, 'node')}`);
    this.current = this.lead;
    // Rollback and finalize walk nodes, not batches: their one row counts.
    for (const [index, b] of action === 'migrate' ? batches.entries() : []) {
      const size = `${count(b.nodes.length, 'node')}, ${count(b.services, 'new Service')}`;
      const row = new Row(`${b.id} (${index + 1} of ${batches.length}): ${size}`);
      this.batches.set(b.id, { row, done: new Set<string>(), isDone: false });
    }
    // A failing display is no reason to end a run: it is said at the end.
    const rows = [this.lead, ...[...this.batches.values()].map(b => b.row)];
    this.finished = this.show(rows).catch((error: unknown) => error);
  }

  private async show(rows: readonly Row[]): Promise<void> {
    const { stream, color, after } = this.options;
    await after;
    const plain = Object.fromEntries(
      Object.keys(LISTR_DEFAULT_RENDERER_STYLE.color ?? {}).map(k => [k, (text?: string) => text ?? '']),
    );
    // Rows far ahead have a blank title yet: listr2 leaves out lines that are blank.
    const reveal = (index: number) => {
      const task = listr.tasks[index];
      const row = rows[index];
      if (task && row) task.title$ = row.title;
    };
    const listr: Listr<undefined, typeof SlowRenderer> = new Listr<undefined, typeof SlowRenderer>(
      rows.map((row, index) => ({
        title: index <= AHEAD ? row.title : ' ',
        task: (_, task) => {
          reveal(index + AHEAD);
          return row.run(task);
        },
      })),
      {
        renderer: SlowRenderer,
        registerSignalListeners: false,
        rendererOptions: {
          formatOutput: 'truncate',
          collapseErrors: true,
          logger: new ListrLogger({
            processOutput: new ProcessOutput(stream, stream, { leaveEmptyLine: false }),
          }),
          ...(color ? {} : { color: plain }),
        },
      },
    );
    await listr.run();
  }

  /** The rows of the batches as they are planned from now on; those that are done are not shown again. */
  replaced({ batches }: Extract<RunEvent, { event: 'replanned' }>): Rows {
    this.lead.end();
    const done = new Set<string>();
    for (const [id, { row, isDone }] of this.batches) {
      if (isDone) done.add(id);
      else row.skip();
    }
    const left = batches.filter(batch => !done.has(batch.id));
    return new Rows({ ...this.opened, batches: left }, { ...this.options, after: this.finished });
  }

  hear(event: RunEvent): void {
    const { current } = this;
    this.line = stateLine(this.line, event);
    switch (event.event) {
      case 'phase-started':
        current.say(event.title);
        break;
      case 'batch-started':
        this.lead.end();
        this.current = this.batches.get(event.batch)?.row ?? current;
        break;
      case 'batch-done':
        this.finish(event.batch);
        break;
      case 'step-intended':
        current.say(`${event.node}: ${event.step}`);
        break;
      case 'step-failed':
        current.say(`${event.node}: ${event.step} failed: ${event.error}`);
        break;
      case 'waiting':
        current.say(`${lineText(this.line)}, since ${this.line.since.slice(11, 19)}Z`);
        break;
      case 'steered':
        current.say(eventText(event) ?? '');
        break;
      case 'node-done':
        this.done(event.batch, event.node);
        break;
      case 'rehearsal-started':
      case 'rehearsal-done':
        current.say(eventText(event) ?? '');
        break;
      case 'node-back':
        this.batches.get(event.batch)?.done.delete(event.node);
        this.back += 1;
        current.count(`, ${this.back} back`);
        break;
      case 'run-closed':
        if (event.outcome === 'done' || event.outcome === 'rolled back') this.close();
        else current.fail(`${event.outcome}, ${event.reason}`);
        break;
    }
  }

  private finish(id: string): void {
    const batch = this.batches.get(id);
    if (!batch) return;
    batch.isDone = true;
    batch.row.end();
  }

  private done(id: string, node: string): void {
    const batch = this.batches.get(id);
    if (!batch) return;
    batch.done.add(node);
    batch.row.count(`, ${batch.done.size} done`);
  }

  private close(): void {
    this.lead.end();
    for (const { row } of this.batches.values()) row.end();
  }

  /** Nothing more will be heard. */
  async end(): Promise<void> {
    this.current.fail('ended without a last word');
    // Rows behind the failed one are not begun; one before it must not keep it waiting.
    this.close();
    const error = await this.finished;
    if (error instanceof Error && !(error instanceof RowFailed))
      this.options.stream.write(`progress could not be shown: ${escapeText(error.message)}\n`);
  }
}
