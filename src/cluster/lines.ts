import { EXIT, ProxyctlError } from '../core/errors.ts';

/** No object and no line of a log is nearly as long. */
const MOST_CHARACTERS = 16 << 20;

/** A stream of text cut into lines; the last one may be torn. */
export class Lines {
  private rest = '';

  *feed(chunk: string): Generator<string> {
    const lines = (this.rest + chunk).split('\n');
    this.rest = lines.pop() ?? '';
    if (this.rest.length > MOST_CHARACTERS) {
      this.rest = '';
      throw new ProxyctlError('a line of an answer has no end; is the server a Kubernetes API?', EXIT.unreachable);
    }
    yield* lines;
  }

  /** What stands behind the last newline; forgotten afterwards. */
  tail(): string[] {
    const { rest } = this;
    this.rest = '';
    return rest === '' ? [] : [rest];
  }
}
