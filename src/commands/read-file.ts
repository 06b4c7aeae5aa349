// Playbooks, plans and inventories from files, and back. A file is untrusted: its size, shape and every value are checked.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { settingsMistake } from '../core/gate-settings.ts';
import { Inventory } from '../core/inventory.ts';
import { Plan } from '../core/plan.ts';
import { Playbook } from '../core/playbook.ts';
import { GATES } from '../gates/index.ts';
import { countKeys, type Places, parseYaml, yamlPlaces } from './file-places.ts';
import { explainIssue, pathText } from './schema-issue.ts';

const MB = 1024 * 1024;

/** Bytes. YAML costs some 100 bytes of memory and half a microsecond a byte, JSON hardly any. */
const LIMITS = {
  Playbook: { yaml: MB, json: MB },
  Plan: { yaml: 8 * MB, json: 64 * MB },
  Inventory: { yaml: 8 * MB, json: 64 * MB },
};
/** JSON up to this size is read once more as YAML to find the line of a mistake. */
const PLACED_JSON = 4 * MB;

type FileKind = keyof typeof LIMITS;

/** ProxyctlError (bad file) says in one line what is wrong and where: `file:line:column: path: message`. */
export function readPlaybook(path: string): Playbook {
  return readData(path, 'Playbook', Playbook, (playbook, places) => {
    const mistake = settingsMistake(GATES, playbook);
    if (!mistake) return;
    const at = mistake.atKey ? places()?.ofKey(mistake.path) : places()?.ofValue(mistake.path);
    throw bad(path, at, `${pathText(mistake.path)}: ${mistake.message}`);
  });
}

/** As readPlaybook. Whether the plan was edited is for verifyPlan to say. */
export function readPlan(path: string): Plan {
  return readData(path, 'Plan', Plan);
}

/** As readPlaybook. */
export function readInventory(path: string): Inventory {
  return readData(path, 'Inventory', Inventory);
}

/** Whether `writeData` could write a file of this name, before there is anything to write. ProxyctlError (usage) when not. */
export function refuseOddEnding(path: string | undefined): void {
  if (path !== undefined) formatOf(path, EXIT.usage);
}

/** Writes YAML or JSON by the ending of the name, whole or not at all. ProxyctlError (usage) for another ending or a failed write. */
export function writeData(path: string, value: unknown): void {
  const format = formatOf(path, EXIT.usage);
  // Aliases are refused when read, so none are written.
  const text =
    format === 'json'
      ? `${JSON.stringify(value, null, 2)}\n`
      : stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, 'wx');
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new ProxyctlError(`${path}: cannot be written: ${messageOf(error)}`, EXIT.usage, { cause: error });
  }
}

function readData<T>(
  path: string,
  kind: FileKind,
  schema: z.ZodType<T>,
  check?: (data: T, places: Parsed['places']) => void,
): T {
  const format = formatOf(path, EXIT.badFile);
  const text = readText(path, LIMITS[kind][format], LIMITS[kind].json);
  const { data, places } = format === 'json' ? parseJson(path, text) : fromYaml(path, text);
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    const what =
      data === null || data === undefined ? 'is empty' : `holds ${Array.isArray(data) ? 'a list' : `a ${typeof data}`}`;
    throw bad(path, undefined, `${what}; ${article(kind)} is a mapping of names to values`);
  }
  refuseOtherKind(path, kind, 'kind' in data ? data.kind : undefined, places);
  const parsed = schema.safeParse(data);
  if (parsed.success) {
    check?.(parsed.data, places);
    return parsed.data;
  }
  const { issues } = parsed.error;
  // A key that is not known is often the one that is missing, misspelt.
  const first = issues.find(issue => issue.code === 'unrecognized_keys') ?? issues[0];
  if (!first) throw new Error('a schema refused without a reason');
  const { at, path: where, message } = explainIssue(first, schema, places());
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  throw bad(path, at, `${where === '' ? '' : `${where}: `}${message}${more}`);
}

/** Only a playbook has no `kind`. */
function refuseOtherKind(path: string, wanted: FileKind, kind: unknown, places: Parsed['places']): void {
  if (kind === undefined && wanted === 'Playbook') return;
  if (kind === wanted) return;
  if (kind === undefined) throw bad(path, undefined, `this is no ${wanted}: it has no kind, as a Playbook has none`);
  throw bad(path, places()?.ofKey(['kind']), `this is ${article(String(kind))}, not ${article(wanted)}`);
}

function formatOf(path: string, exitCode: typeof EXIT.usage | typeof EXIT.badFile): 'yaml' | 'json' {
  const ending = extname(path).toLowerCase();
  if (ending === '.yaml' || ending === '.yml') return 'yaml';
  if (ending === '.json') return 'json';
  throw new ProxyctlError(`${path}: the name must end in .yaml, .yml or .json`, exitCode);
}

/** `largest` is what another format would be allowed, in bytes like `limit`. */
function readText(path: string, limit: number, largest: number): string {
  try {
    const found = statSync(path);
    // A device or a pipe has no size to be held to.
    if (!found.isFile()) throw bad(path, undefined, 'is no regular file');
    if (found.size > limit) {
      const hint = largest > limit ? '; JSON may be larger' : '';
      throw bad(path, undefined, `is ${megabytes(found.size)}, more than the ${megabytes(limit)} that are read${hint}`);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof ProxyctlError) throw error;
    if (error instanceof TypeError) throw bad(path, undefined, 'is not UTF-8 text');
    throw new ProxyctlError(`${path}: cannot be read: ${messageOf(error)}`, EXIT.badFile, { cause: error });
  }
}

interface Parsed {
  data: unknown;
  /** Positions, found when they are asked for; undefined where that would cost too much. */
  places(): Places | undefined;
}

function fromYaml(path: string, text: string): Parsed {
  const { mistake, places } = parseYaml(text);
  if (mistake) throw bad(path, mistake.at, mistake.message);
  return { data: places.data(), places: () => places };
}

/** JSON.parse is 150 times as fast as the YAML parser, which only has to say where something is. */
function parseJson(path: string, text: string): Parsed {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    const [, line, column] = /\(line (\d+) column (\d+)\)/.exec(messageOf(error)) ?? [];
    const at = line && column ? { line: Number(line), column: Number(column) } : undefined;
    throw bad(
      path,
      at,
      `is not JSON: ${messageOf(error).replace(/ in JSON at position.*$|, .* is not valid JSON$/s, '')}`,
    );
  }
  const places = () => (text.length <= PLACED_JSON ? yamlPlaces(text) : undefined);
  const keys = countKeys(text, data);
  if (keys.written !== keys.kept) {
    const mistake = text.length <= PLACED_JSON ? parseYaml(text).mistake : undefined;
    throw bad(path, mistake?.at, mistake?.message ?? 'has the same key twice in one object');
  }
  return { data, places };
}

function bad(path: string, at: { line: number; column: number } | undefined, message: string): ProxyctlError {
  const place = at ? `:${at.line}:${at.column}` : '';
  return new ProxyctlError(`${path}${place}: ${message.replaceAll(/\s*\n\s*/g, ' ')}`, EXIT.badFile);
}

function article(kind: string): string {
  return `${/^[AEIOU]/.test(kind) ? 'an' : 'a'} ${kind}`;
}

function megabytes(bytes: number): string {
  return `${Math.ceil((bytes / MB) * 10) / 10} MB`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
