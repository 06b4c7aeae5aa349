/** A stream of text cut into lines; the last one may be torn. */
export class Lines {
  private rest = '';

  *feed(chunk: string): Generator<string> {
    const lines = (this.rest + chunk).split('\n');
    this.rest = lines.pop() ?? '';
    yield* lines;
  }

  /** What stands behind the last newline; forgotten afterwards. */
  tail(): string[] {
    const { rest } = this;
    this.rest = '';
    return rest === '' ? [] : [rest];
  }
}
