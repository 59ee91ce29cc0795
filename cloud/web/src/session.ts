// Who has signed in. It isn't known until the server has been asked.
import { Refusal, type Session } from "@busbar/client";
import { signal } from "@preact/signals";
import { api, reasonOf, signedOut } from "./api";
import { amend, place } from "./router";

export type Standing = { state: "asking" } | { state: "out" } | { state: "in"; who: Session | undefined };

export const standing = signal<Standing>({ state: "asking" });

// A page shows what its session may see, so another session begins with another page. All
// tabs have the same one, and whichever knows it tells the others.
const channel = "BroadcastChannel" in window ? new BroadcastChannel("busbar.session.1") : undefined;

const nobody = "";

/** What a page is made for: who has signed in, and what they see and may. */
function shownTo(now: Standing): string {
  return now.state === "in" && now.who?.sign_in ? JSON.stringify([now.who.name, now.who.role, now.who.zones]) : nobody;
}

channel?.addEventListener("message", (e: MessageEvent<string>) => {
  if (standing.value.state !== "asking" && e.data !== shownTo(standing.value)) {
    location.reload();
  }
});

/** Finds out who has signed in, and calls begin if the console has something to show. */
export async function identify(begin: () => void): Promise<void> {
  signedOut(() => {
    standing.value = { state: "out" };
  });
  let who: Session | undefined;
  try {
    who = await api.session();
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      return;
    }
    // The connection state tells of a server that can't be reached.
  }
  turnedAway(); // of no concern to whoever is in nevertheless
  standing.value = { state: "in", who };
  if (who?.sign_in) {
    channel?.postMessage(shownTo(standing.value));
  }
  begin();
}

/** The name of who has signed in, undefined where nobody does. */
export function userName(): string | undefined {
  return standing.value.state === "in" && standing.value.who?.sign_in ? standing.value.who.name : undefined;
}

export function mayAcknowledge(): boolean {
  return standing.value.state !== "in" || standing.value.who?.role !== "viewer";
}

/** Whether alarms may be taken out of service, which is for who maintains them. */
export function mayTakeOutOfService(): boolean {
  const role = standing.value.state === "in" && standing.value.who?.sign_in ? standing.value.who.role : "engineer";
  return role === "engineer" || role === "admin";
}

/** Rejects with a Refusal if name and password aren't right. */
export async function signIn(name: string, password: string): Promise<void> {
  await api.signIn(name, password);
  location.reload();
}

const reasons = ["unreachable", "cancelled", "expired", "refused", "unmapped", "wait", "failed"] as const;

export type Reason = (typeof reasons)[number];

/** Why somebody has come back from the provider without being signed in, once. */
export function turnedAway(): Reason | undefined {
  const here = new URL(place.value);
  const told = here.searchParams.get("signin");
  if (told === null) {
    return undefined;
  }
  here.searchParams.delete("signin");
  amend(here.pathname + here.search);
  return reasons.find((known) => known === told) ?? "failed";
}

/** Why signing out has failed; empty: it hasn't. */
export const signOutFailure = signal("");

export async function signOut(): Promise<void> {
  signOutFailure.value = "";
  const next = standing.value.state === "in" ? standing.value.who?.sign_out_at : undefined;
  try {
    await api.signOut();
  } catch (error) {
    signOutFailure.value = reasonOf(error);
    return;
  }
  channel?.postMessage(nobody);
  if (next) {
    location.assign(next); // the provider's own session ends there, which leads back
  } else {
    location.reload();
  }
}
