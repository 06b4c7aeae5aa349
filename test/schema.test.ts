// The JSON Schemas for editors are made from the zod schemas. After a change of those, write them again with
//   UPDATE=1 npx vitest run test/schema.test.ts
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Plan } from '../src/core/plan.ts';
import { Playbook } from '../src/core/playbook.ts';

const folder = new URL('../schema/', import.meta.url);

describe('JSON Schema', () => {
  it.each([
    { file: 'playbook.schema.json', title: 'proxyctl playbook', schema: Playbook },
    { file: 'plan.schema.json', title: 'proxyctl plan', schema: Plan },
  ])('$file is what the code says', ({ file, title, schema }) => {
    const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input' });
    const text = `${JSON.stringify({ $schema, title, ...rest }, null, 2)}\n`;
    if (process.env.UPDATE) writeFileSync(new URL(file, folder), text);
    expect(readFileSync(new URL(file, folder), 'utf8')).toBe(text);
  });
});
