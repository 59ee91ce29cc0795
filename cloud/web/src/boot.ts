// Runs before the first paint, so that a chosen theme never flashes.
import { recall } from "./kept";

document.documentElement.dataset["theme"] = recall("theme");
