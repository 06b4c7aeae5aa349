import { expect, it } from 'vitest';
import { changedFields } from '../../src/core/changed-fields.ts';

const container = { name: 'main', image: 'x:1', args: ['-v', '2'], env: [{ name: 'TOKEN', value: 'hunter2' }] };
const was = { metadata: { labels: { app: 'x' } }, spec: { containers: [container], hostNetwork: true } };

it('names each field that differs, with what it is and was', () => {
  const is = {
    metadata: { labels: { app: 'x' }, annotations: { at: 'noon' } },
    spec: { containers: [{ ...container, image: 'x:2', args: ['-v', '4'] }], dnsPolicy: null },
  };
  expect(changedFields(was, is, 'template')).toEqual([
    'template.metadata.annotations.at is new: "noon"',
    'template.spec.containers[main].image is "x:2", was "x:1"',
    'template.spec.containers[main].args is ["-v","4"], was ["-v","2"]',
    'template.spec.hostNetwork is gone, was true',
  ]);
  expect(changedFields(was, structuredClone(was), 'template')).toEqual([]);
});

it('tells of environment variables their names and nothing they hold', () => {
  const env = [
    { name: 'TOKEN', value: 'hunter3' },
    { name: 'NEW', value: 'secret' },
  ];
  const texts = changedFields(was.spec, { ...was.spec, containers: [{ ...container, env }] }, 'spec');
  expect(texts).toEqual(['spec.containers[main].env[TOKEN].value is another', 'spec.containers[main].env[NEW] is new']);
  const without: Partial<typeof container> = { ...container };
  delete without.env;
  expect(changedFields(without, container, 'c')).toEqual(['c.env is new']);
});

it('cuts long values, and sees another order', () => {
  expect(changedFields({ a: 'b' }, { a: 'x'.repeat(100) }, 'o')).toEqual([`o.a is "${'x'.repeat(59)}..., was "b"`]);
  const [one, two] = [{ name: 'one' }, { name: 'two' }];
  expect(changedFields([one, two], [two, one], 'list')).toEqual(['list is in another order']);
});
