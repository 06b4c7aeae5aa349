// Credential plugins of kubeconfigs, as kubectl runs them. What a plugin prints may be a secret: nothing of it is ever repeated.
import { type ChildProcess, spawn } from 'node:child_process';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Env } from './kubeconfig.ts';
import { errorCode, isRecord } from './kubeconfig-file.ts';

/** The versions of the protocol that kubectl speaks, too. */
export const PLUGIN_APIS = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const;

/** `user.exec` of a kubeconfig. */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly interactiveMode: 'Never' | 'IfAvailable' | 'Always';
  readonly installHint?: string;
  /** `spec.cluster` for a plugin that asks for it with `provideClusterInfo`. */
  readonly cluster?: Readonly<Record<string, unknown>>;
}

export interface PluginCredential {
  readonly token?: string;
  /** PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** Milliseconds since the epoch; infinite when the plugin does not say. */
  readonly expires: number;
}

export interface PluginRun {
  readonly env: Env;
  /** There is a terminal, and it is not in use: the plugin may ask on it. */
  readonly terminal: boolean;
  readonly deadlineMs: number;
}

const MOST_CHARACTERS = 1 << 20;

/** Runs the plugin once. @throws ProxyctlError 77 that names it and says what to do. */
export async function runPlugin(plugin: ExecPlugin, run: PluginRun): Promise<PluginCredential> {
  if (plugin.interactiveMode === 'Always' && !run.terminal)
    throw refused(plugin, 'needs a terminal to ask on; log in before, or call proxyctl in a terminal');
  return credentialIn(plugin, await outputOf(plugin, run));
}

function outputOf(plugin: ExecPlugin, run: PluginRun): Promise<string> {
  const interactive = run.terminal && plugin.interactiveMode !== 'Never';
  const spec = { interactive, ...(plugin.cluster ? { cluster: plugin.cluster } : {}) };
  const info = JSON.stringify({ apiVersion: plugin.apiVersion, kind: 'ExecCredential', spec });
  return new Promise((resolve, reject) => {
    const child = spawn(plugin.command, [...plugin.args], {
      env: { ...run.env, ...plugin.env, KUBERNETES_EXEC_INFO: info },
      // What it tells the person at the terminal goes there directly; otherwise nobody is meant.
      stdio: [interactive ? 'inherit' : 'ignore', 'pipe', interactive ? 'inherit' : 'ignore'],
      // A group of its own dies as a whole; but a group in the background may not read the terminal.
      detached: !interactive,
    });
    const fail = (what: string) => {
      clearTimeout(timer);
      end(child, !interactive);
      reject(refused(plugin, what));
    };
    const timer = setTimeout(
      () => fail(`gave no answer within ${run.deadlineMs / 1000} s; run it by hand, or log in again`),
      run.deadlineMs,
    );
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > MOST_CHARACTERS) fail('answers without end; run it by hand');
    });
    child.on('error', error => fail(cannotRun(plugin, errorCode(error))));
    child.on('close', (code, signal) => {
      if (code === 0) {
        clearTimeout(timer);
        resolve(output);
      } else fail(`failed (${signal ?? `exit code ${code}`}); run it by hand, or log in again`);
    });
  });
}

/** Ends the plugin and lets go of it: what it has started may hold its output open. */
function end(child: ChildProcess, isGroup: boolean): void {
  child.stdout?.destroy();
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    if (isGroup) process.kill(-child.pid, 'SIGKILL');
    else child.kill('SIGKILL');
  } catch (error) {
    // It ended just now.
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

function cannotRun({ installHint }: ExecPlugin, code: string): string {
  if (code !== 'ENOENT') return `cannot be run: ${code}`;
  const [hint = ''] = (installHint ?? '').trim().split('\n');
  return `is not installed${hint === '' ? '' : `; ${hint.slice(0, 200)}`}`;
}

function credentialIn(plugin: ExecPlugin, output: string): PluginCredential {
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    throw refused(plugin, `did not answer with JSON; run it by hand, or log in again`);
  }
  if (!isRecord(answer) || answer.kind !== 'ExecCredential' || answer.apiVersion !== plugin.apiVersion)
    throw refused(
      plugin,
      `did not answer with an ExecCredential of ${plugin.apiVersion}, as the kubeconfig says it does`,
    );
  const status = isRecord(answer.status) ? answer.status : {};
  const text = (field: string) =>
    typeof status[field] === 'string' && status[field] !== '' ? status[field] : undefined;
  const [token, cert, key] = [text('token'), text('clientCertificateData'), text('clientKeyData')];
  if ((cert === undefined) !== (key === undefined) || (token === undefined && cert === undefined))
    throw refused(plugin, 'gave neither a token nor a certificate with its key; run it by hand, or log in again');
  const expires = Date.parse(text('expirationTimestamp') ?? '');
  return {
    ...(token === undefined ? {} : { token }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    expires: Number.isNaN(expires) ? Number.POSITIVE_INFINITY : expires,
  };
}

function refused({ command }: ExecPlugin, what: string): ProxyctlError {
  return new ProxyctlError(`credential plugin "${command}" ${what}`, EXIT.notPermitted);
}
