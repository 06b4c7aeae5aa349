import { Chalk } from 'chalk';
import type { Finding, Verdict } from '../core/gate.ts';

export interface Painter {
  good(text: string): string;
  bad(text: string): string;
  doubt(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
}

/** Colours, or the text as it is. */
export function makePainter(enabled: boolean): Painter {
  const chalk = new Chalk({ level: enabled ? 1 : 0 });
  return {
    // One argument each: chalk joins all that it is given, and `map` gives three.
    good: text => chalk.green(text),
    bad: text => chalk.red(text),
    doubt: text => chalk.yellow(text),
    strong: text => chalk.bold(text),
    faint: text => chalk.dim(text),
  };
}

/**
 * Whether to colour: `flag` is what --color or --no-color said, and it counts before NO_COLOR, FORCE_COLOR and TERM. Source:
 * https://no-color.org, https://force-color.org.
 */
export function wantsColor(options: {
  flag?: boolean;
  env: Record<string, string | undefined>;
  tty: boolean;
}): boolean {
  const { flag, env, tty } = options;
  if (flag !== undefined) return flag;
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0';
  return tty && env.TERM !== 'dumb';
}

/** The sign of a verdict or of a level, in its colour. */
export function sign(what: Verdict | Finding['level'], painter: Painter): string {
  switch (what) {
    case 'pass':
      return painter.good('✓');
    case 'fail':
    case 'error':
      return painter.bad('✗');
    case 'inconclusive':
      return painter.doubt('?');
    case 'warning':
      return painter.doubt('!');
  }
}
