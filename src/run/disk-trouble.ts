import { EXIT, ProxyctlError } from '../core/errors.ts';

export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}

/** What the system says of a file of ours, in one line. @throws whatever else it is. */
export function diskTrouble(file: string, cause: unknown): ProxyctlError {
  if (!isSystemError(cause)) throw cause;
  const { code, message } = cause;
  const why = code === 'ENOSPC' ? 'no space is left' : code === 'EFBIG' ? 'it may not grow further' : message;
  const what = `${file} cannot be written (${why}); make room, or set XDG_STATE_HOME to another place`;
  return new ProxyctlError(what, EXIT.halted, { cause });
}
