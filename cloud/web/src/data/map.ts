// Where everything is. It is loaded when somebody first looks, and again where the network has changed.
import { Refusal } from "@busbar/client";
import { signal } from "@preact/signals";
import { api, reasonOf } from "../api";
import { sceneOf, type Scene } from "../map/scene";
import { t } from "../messages";

export const scene = signal<Scene | undefined>(undefined);

/** Why there is none, or empty. */
export const failure = signal("");

export async function load(): Promise<void> {
  try {
    const map = await api.gridMap();
    if (scene.peek()?.map.version !== map.version || scene.peek()?.map.as_of_us !== map.as_of_us) {
      scene.value = sceneOf(map);
    }
    failure.value = "";
  } catch (error) {
    failure.value = error instanceof Refusal && error.status === 404 ? t("map.noNetwork") : t("page.failed", { reason: reasonOf(error) });
  }
}
