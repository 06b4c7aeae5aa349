/** A closed pipe (`| head`) or a lost terminal ends the view, not the run. */
export function outliveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (!['EPIPE', 'EIO', 'ENXIO'].includes(error.code ?? '')) throw error;
    });
  }
}
