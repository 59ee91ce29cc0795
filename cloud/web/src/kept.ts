// What the browser keeps between visits. One that keeps nothing is no failure.

export function recall(key: string): string {
  try {
    return localStorage.getItem(`busbar.${key}`) ?? "";
  } catch {
    return "";
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`busbar.${key}`, value);
  } catch {
    // Blocked or full: it is asked for again next time.
  }
}
