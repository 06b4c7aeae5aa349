import { Document, isScalar, visit } from 'yaml';
import { KUBEADM, type ProxyPlace, PURPOSES, type Purpose, placeOf } from '../core/access.ts';
import type { KubeObject } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { rbacObjects, type Subject } from '../core/rbac.ts';
import type { CommandIo } from './io.ts';
import { readInventory } from './read-file.ts';

export interface RbacOptions {
  user: string[];
  group: string[];
  /** `namespace:name`, as kubectl takes it. */
  serviceAccount: string[];
  /** Where kube-proxy's objects have other names than kubeadm's. */
  inventory?: string;
}

/** Prints roles and bindings for `kubectl apply`. Asks nothing of a cluster. */
export async function rbacCommand(io: CommandIo, purpose: string, options: RbacOptions): Promise<number> {
  const objects = rbacObjects(purposeOf(purpose), placeFrom(options.inventory), subjectsOf(options));
  if (io.options.format === 'json') io.out(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, null, 2));
  else io.out(objects.map(yamlOf).join('---\n'));
  if (subjectsOf(options).length === 0)
    io.err(
      'no bindings: add --user NAME, --group NAME or --service-account NAMESPACE:NAME to give the roles to somebody',
    );
  return EXIT.done;
}

/** Lists of words on one line, as people write roles. */
function yamlOf(object: KubeObject): string {
  const document = new Document(object, { aliasDuplicateObjects: false });
  visit(document, {
    Seq(_, list) {
      if (list.items.every(item => isScalar(item))) list.flow = true;
    },
  });
  return document.toString({ flowCollectionPadding: false, lineWidth: 0 });
}

function purposeOf(text: string): Purpose {
  const purpose = PURPOSES.find(p => p === text);
  if (!purpose) throw new ProxyctlError(`rbac takes ${PURPOSES.join(', ')}; got '${text}'`, EXIT.usage);
  return purpose;
}

/** RFC 1123, as the API server wants names of objects. */
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

function placeFrom(file: string | undefined): ProxyPlace {
  if (file === undefined) return KUBEADM;
  const place = placeOf(readInventory(file).proxy);
  for (const name of Object.values(place))
    if (!NAME.test(name)) throw new ProxyctlError(`${file}: proxy: '${name}' is no name of an object`, EXIT.badFile);
  return place;
}

function subjectsOf({ user, group, serviceAccount }: RbacOptions): Subject[] {
  return [
    ...user.map(name => ({ kind: 'User' as const, name: named('--user', name) })),
    ...group.map(name => ({ kind: 'Group' as const, name: named('--group', name) })),
    ...serviceAccount.map(account),
  ];
}

function named(flag: string, name: string): string {
  if (name.trim() === '') throw new ProxyctlError(`${flag} takes a name; got nothing`, EXIT.usage);
  return name;
}

function account(text: string): Subject {
  const [namespace = '', name = '', ...rest] = text.split(':');
  if (!NAME.test(namespace) || !NAME.test(name) || rest.length > 0)
    throw new ProxyctlError(`--service-account takes NAMESPACE:NAME; got '${text}'`, EXIT.usage);
  return { kind: 'ServiceAccount', name, namespace };
}
