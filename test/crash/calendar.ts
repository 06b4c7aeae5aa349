// Timers in the order of their time; of two at the same time the one that was set first comes first.

export class VirtualTimer {
  at: number;
  readonly order: number;
  cancelled = false;
  private readonly action: () => void;
  private readonly again: ((timer: VirtualTimer) => void) | undefined;

  constructor(at: number, order: number, action: () => void, again?: (timer: VirtualTimer) => void) {
    this.at = at;
    this.order = order;
    this.action = action;
    this.again = again;
  }

  ring(): void {
    this.again?.(this);
    this.action();
  }

  cancel(): void {
    this.cancelled = true;
  }

  /** As Node's timers: whether they keep a process alive means nothing here. */
  unref(): this {
    return this;
  }
  ref(): this {
    return this;
  }
}

export class Calendar {
  private readonly heap: VirtualTimer[] = [];
  private count = 0;

  add(at: number, action: () => void, every?: number): VirtualTimer {
    const again = (timer: VirtualTimer) => {
      timer.at += every ?? 0;
      this.push(timer);
    };
    const timer = new VirtualTimer(at, this.count++, action, every === undefined ? undefined : again);
    this.push(timer);
    return timer;
  }

  /** Takes out the next one that was not cancelled. */
  next(): VirtualTimer | undefined {
    for (let timer = this.pop(); timer; timer = this.pop()) if (!timer.cancelled) return timer;
    return undefined;
  }

  private push(timer: VirtualTimer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (!above || !before(timer, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = timer;
  }

  private pop(): VirtualTimer | undefined {
    const { heap } = this;
    const [first] = heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = heap[child + 1];
      let below = heap[child];
      if (right && below && before(right, below)) {
        below = right;
        child++;
      }
      if (!below || !before(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: VirtualTimer, b: VirtualTimer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
