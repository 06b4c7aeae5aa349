// docs/playbook.md names every key with its type and default, and every gate. After a change of the gates, write their table
// again with
//   UPDATE=1 npx vitest run test/docs
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { readPlaybook } from '../../src/commands/read-file.ts';
import { Duration } from '../../src/core/duration.ts';
import { MOMENTS } from '../../src/core/gate.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { GATES } from '../../src/gates/index.ts';
import { tempFile } from '../cli/run-cli.ts';

const FILE = new URL('../../docs/playbook.md', import.meta.url);
const text = readFileSync(FILE, 'utf8');
const TABLE_OF_GATES = /<!-- gates -->.*<!-- \/gates -->/s;
/** Rows of another table: what each answer to a failure means. */
const ANSWERS: ReadonlySet<string> = new Set(['halt', 'node', 'batch', 'run']);

type Schema = z.core.JSONSchema.BaseSchema;
interface Key {
  readonly type: string;
  readonly required: boolean;
}

/** Keys of the schema that hold no further ones, as the document writes them. */
function keysOf(schema: Schema, path: string, required = false): [string, Key][] {
  const { properties, items, additionalProperties } = schema;
  if (properties) {
    return Object.entries(properties).flatMap(([key, value]) =>
      keysOf(value as Schema, path === '' ? key : `${path}.${key}`, schema.required?.includes(key)),
    );
  }
  if (isSchema(items) && items.properties) return keysOf(items, `${path}[]`);
  if (isSchema(additionalProperties) && additionalProperties.properties)
    return keysOf(additionalProperties, `${path}.<gate>`);
  return [[path, { type: typeOf(schema), required }]];
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** In the document's words. */
function typeOf(schema: Schema): string {
  const { type, items, additionalProperties } = schema;
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return schema.enum.map(value => `\`${value}\``).join(', ');
  if (schema.anyOf) return 'duration';
  if (type === 'boolean') return '`true`, `false`';
  if (type === 'string') return 'text';
  if (type === 'integer') return 'whole number';
  if (type === 'number') return schema.exclusiveMinimum === 0 && schema.maximum === 1 ? 'share' : 'number';
  if (isSchema(additionalProperties)) return `${typeOf(additionalProperties).replace('list', 'lists')} by name`;
  if (!isSchema(items)) throw new Error(`no words for ${JSON.stringify(schema)}`);
  return items.enum?.every(value => MOMENTS.some(moment => moment === value))
    ? 'list of moments'
    : `list of ${typeOf(items)}s`;
}

/** The smallest playbook that has something of everything. */
const LEAST = Playbook.parse({
  gates: {
    settings: { gate: {} },
    prometheus: { url: 'https://x', queries: [{ name: 'a', query: 'b', max: 1 }] },
    hooks: [{ name: 'a', command: ['b'] }],
  },
});
/** What it gives, though it has no default. */
const GIVEN = /\.(url|name|query|max|command)$/;

function defaultOf(path: string): unknown {
  const steps = path.replaceAll('[]', '.0').replace('<gate>', 'gate').split('.');
  if (GIVEN.test(path)) return undefined;
  return steps.reduce<unknown>((at, step) => (at === undefined ? undefined : Reflect.get(Object(at), step)), LEAST);
}

interface Row {
  readonly type: string | undefined;
  /** `-` for none, `required`, or a value in backquotes. */
  readonly initial: string | undefined;
  readonly what: string | undefined;
}

/** Rows of tables that begin with a key. */
function documented(): Map<string, Row> {
  const rows = text.replace(TABLE_OF_GATES, '').matchAll(/^\| `([^`]+)` \|(.*)\|$/gm);
  return new Map(
    [...rows].flatMap(([, key = '', rest = '']): [string, Row][] => {
      const [type, initial, what] = rest.split('|').map(cell => cell.trim());
      return ANSWERS.has(key) ? [] : [[key, { type, initial, what }]];
    }),
  );
}

function initialValue({ initial = '' }: Row): unknown {
  const [, value] = /^`(.*)`$/.exec(initial) ?? [];
  return value === undefined ? undefined : parse(value);
}

describe('docs/playbook.md', () => {
  const keys = new Map(keysOf(z.toJSONSchema(Playbook, { io: 'input' }), ''));
  const rows = documented();

  it('names every key, and no other', () => {
    expect([...rows.keys()].toSorted()).toEqual([...keys.keys()].toSorted());
  });

  it.each([...keys])('%s: type and default are what the code says', (name, { type, required }) => {
    const row = rows.get(name);
    expect(row?.type).toBe(type);
    expect(row?.what).not.toBe('');
    if (!row || required) {
      expect(row?.initial).toBe('required');
      return;
    }
    const said = initialValue(row);
    const is = defaultOf(name);
    if (is === undefined) expect(row.initial).toBe('-');
    else expect(type === 'duration' ? Duration.parse(said) : said).toEqual(is);
  });

  it('names every gate with its moments', () => {
    const lines = GATES.map(({ id, title, moments }) => `| \`${id}\` | ${title} | ${moments.join(', ')} |`);
    const table = ['| gate | what must hold | moments |', '| --- | --- | --- |', ...lines].join('\n');
    const wanted = text.replace(TABLE_OF_GATES, () => `<!-- gates -->\n${table}\n<!-- /gates -->`);
    if (process.env.UPDATE) writeFileSync(FILE, wanted);
    expect(readFileSync(FILE, 'utf8')).toBe(wanted);
    expect(wanted).toContain(table);
  });

  it.each(['docs/playbook.md', 'README.md'])('%s: its example is read', name => {
    const page = readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
    const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, example = '']) => example);
    expect(examples).toHaveLength(1);
    for (const example of examples) expect(readPlaybook(tempFile('example.yaml', example)).to).toBe('nftables');
  });
});
