// Asks again and again, one request at a time.

/** Changes that come together are asked for once, and in a storm no more often than this. */
const soonMs = 100;
const restMs = 1000;
const retryMs = 5000;

/** Asks whenever soon is called, and a while after each answer; a rejection is asked again. */
export function asking(ask: () => Promise<void>, everyMs: number): { soon: () => void; stop: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Infinity;
  let waits = false;
  let again = false;
  let over = false;
  let asked = -restMs;
  const wait = (ms: number) => {
    const at = performance.now() + ms;
    if (!over && at < due) {
      clearTimeout(timer);
      due = at;
      timer = setTimeout(() => void run(), ms);
    }
  };
  const soon = () => {
    if (waits) {
      again = true;
    } else {
      wait(Math.max(soonMs, asked + restMs - performance.now()));
    }
  };
  const run = async () => {
    [waits, again, asked, due] = [true, false, performance.now(), Infinity];
    let next = everyMs;
    try {
      await ask();
    } catch {
      next = retryMs;
    }
    waits = false;
    wait(next);
    if (again) {
      soon();
    }
  };
  return {
    soon,
    stop: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}
