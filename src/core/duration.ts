import { z } from 'zod';

const DURATION = 'a duration such as 30s, 5m or 1h30m';

/** A duration such as `30s`, `5m`, `1h30m`, or a number of seconds; parsed to seconds, and so fit to be read again. */
export const Duration = z
  .union([z.number().nonnegative(), z.string().regex(/^(?=\d)(\d+h)?(\d+m)?(\d+s)?$/, DURATION)], { error: DURATION })
  .transform(given => {
    if (typeof given === 'number') return given;
    const [, h, m, s] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(given) ?? [];
    return Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0);
  });

const LONGEST_SOAK_HOURS = 12;

/** How long a flipped node may be watched: no longer than half the life of a watcher, which has to see the flip as well. */
export const Soak = Duration.refine(
  seconds => seconds <= LONGEST_SOAK_HOURS * 3600,
  `at most ${LONGEST_SOAK_HOURS}h; 'proxyctl verify --for' looks for longer`,
);
