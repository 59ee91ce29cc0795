// Which of the browser's tabs leads: the one that has the lock. The browser
// gives it to the next tab when the leader closes or crashes.

/** Whether tabs can agree on a leader: browsers offer locks to secure pages only. */
export function canLead(): boolean {
  return "locks" in navigator && "BroadcastChannel" in window;
}

/**
 * Calls start once this tab has the lock, and what start returned when the lock
 * is gone again: given up by signal, or stolen by another tab, which resolve
 * alike. Stealing doesn't wait for the present leader. It rejects where the
 * browser refuses locks altogether.
 */
export async function lead(name: string, start: () => () => void, signal: AbortSignal, steal: boolean): Promise<void> {
  let stop: (() => void) | undefined;
  const end = () => {
    stop?.();
    stop = undefined;
  };
  let led = false;
  try {
    await navigator.locks.request(name, steal ? { steal } : { signal }, () => {
      if (signal.aborted) {
        return undefined;
      }
      led = true;
      stop = start();
      return new Promise<void>((release) => {
        signal.addEventListener("abort", () => {
          end();
          release();
        });
      });
    });
  } catch (error) {
    if (!led && !signal.aborted) {
      throw error;
    }
  } finally {
    end();
  }
}
