import type { Playbook } from '../core/playbook.ts';
import type { HookSettings } from '../core/playbook-outside.ts';
import { count } from '../core/words.ts';
import { escapeText } from './escape.ts';
import { hang } from './layout.ts';

/** What a run will start on this machine, and whom it will ask from it: all of it, for it runs with the reader's rights. */
export function outsideLines({ gates }: Playbook, width: number): string[] {
  const { prometheus, hooks } = gates;
  const lines = hooks.flatMap(hook => row(`hook ${hook.name} (${hook.moments.join(', ')}): ${actionOf(hook)}`, width));
  if (prometheus) {
    const queries = count(prometheus.queries.length, 'query', 'queries');
    lines.push(...row(`prometheus: ${prometheus.url}${withToken(prometheus)}, ${queries}`, width));
  }
  return lines.length === 0 ? [] : ['Runs on this machine, and asks from it:', ...lines];
}

function row(text: string, width: number): string[] {
  return hang('  ', escapeText(text), width);
}

function actionOf(hook: HookSettings): string {
  return hook.command ? hook.command.map(quoted).join(' ') : `POST ${hook.url}${withToken(hook)}`;
}

function withToken({ tokenEnv, tokenFile }: { tokenEnv?: string | undefined; tokenFile?: string | undefined }): string {
  if (tokenEnv !== undefined) return ` with the token in $${tokenEnv}`;
  return tokenFile === undefined ? '' : ` with the token in ${tokenFile}`;
}

/** So that each argument can be told from the next. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : JSON.stringify(argument);
}
