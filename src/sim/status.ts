// The API server's refusals, worded as the real one words them.
import { KINDS, type Kind } from '../core/cluster.ts';

export interface StatusBody {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, never>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: Record<string, unknown>;
  code?: number;
}

export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly body: StatusBody;
  readonly code: number;
  constructor(code: number, reason: string, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.body = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, details, code };
  }
}

export function groupOf(kind: Kind): string {
  const { api } = KINDS[kind];
  return api.includes('/') ? (api.split('/')[0] ?? '') : '';
}

function qualified(kind: Kind): string {
  const group = groupOf(kind);
  return group === '' ? KINDS[kind].plural : `${KINDS[kind].plural}.${group}`;
}

function details(kind: Kind, name: string): Record<string, unknown> {
  const group = groupOf(kind);
  return { name, ...(group === '' ? {} : { group }), kind: KINDS[kind].plural };
}

export function notFound(kind: Kind, name: string): StatusError {
  return new StatusError(404, 'NotFound', `${qualified(kind)} "${name}" not found`, details(kind, name));
}

export function alreadyExists(kind: Kind, name: string): StatusError {
  return new StatusError(409, 'AlreadyExists', `${qualified(kind)} "${name}" already exists`, details(kind, name));
}

export function conflict(kind: Kind, name: string, why?: string): StatusError {
  const said = why ?? 'the object has been modified; please apply your changes to the latest version and try again';
  const message = `Operation cannot be fulfilled on ${qualified(kind)} "${name}": ${said}`;
  return new StatusError(409, 'Conflict', message, details(kind, name));
}

export function invalid(kind: Kind, name: string, field: string, why: string): StatusError {
  const group = groupOf(kind);
  const what = group === '' ? kind : `${kind}.${group}`;
  const causes = [{ reason: 'FieldValueInvalid', message: why, field }];
  const more = { name, ...(group === '' ? {} : { group }), kind, causes };
  return new StatusError(422, 'Invalid', `${what} "${name}" is invalid: ${field}: ${why}`, more);
}

/** What a failed `test` and every other operation that cannot be applied give. */
export function unprocessable(): StatusError {
  return new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request');
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

export function expired(): StatusError {
  return new StatusError(
    410,
    'Expired',
    'The provided continue parameter is too old to display a consistent list result.',
  );
}

export interface Denied {
  user: string;
  verb: string;
  group: string;
  resource: string;
  namespace?: string | undefined;
  name?: string | undefined;
}

export function forbidden({ user, verb, group, resource, namespace, name }: Denied): StatusError {
  const plural = resource.split('/')[0] ?? resource;
  const what = `${plural}${group === '' ? '' : `.${group}`}${name ? ` "${name}"` : ''}`;
  const where = namespace ? `in the namespace "${namespace}"` : 'at the cluster scope';
  const message = `${what} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "${group}" ${where}`;
  return new StatusError(403, 'Forbidden', message, {
    ...(name ? { name } : {}),
    ...(group ? { group } : {}),
    kind: plural,
  });
}
