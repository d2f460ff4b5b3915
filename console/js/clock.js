// The time in milliseconds since 1970, as the page's own clock counts on from when it was opened: a step of the
// machine's clock makes no box silent.
export const now = () => performance.timeOrigin + performance.now();

// A duration as configurations write it, such as "30s" or "10m", in milliseconds; null if it is none.
export function duration(written) {
  const match = /^(\d{1,6})(ms|s|m|h)$/.exec(written ?? "");
  return match && Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2]];
}
