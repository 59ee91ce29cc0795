import { signal } from "@preact/signals";

// A console's own clock may be wrong; ages and live plots follow the server's,
// known to a second from its answers' Date header.
let skewMs = 0;

/** The server's time now, in µs UTC. */
export function nowUs(): number {
  return (Date.now() + skewMs) * 1000;
}

export function serverSays(date: string | null): void {
  const server = date === null ? NaN : Date.parse(date);
  if (!Number.isNaN(server)) {
    const skew = server - Date.now();
    skewMs = Math.abs(skew) > 2000 ? skew : 0;
  }
}

/** nowUs as of the last full second, for everything that ages on screen. */
export const now = signal(nowUs());

setInterval(() => {
  now.value = nowUs();
}, 1000);
