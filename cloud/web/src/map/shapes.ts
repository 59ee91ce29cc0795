// What an outage looks like, on the map and in lists: by colour and by shape, in a box of
// 16 x 16.
import type { Standing } from "../data/outages";

export interface Shape {
  outline: string;
  /** Drawn over it: hatching where it isn't sure, a tick where supply is back. */
  inner: string;
  filled: boolean;
  token: string;
}

export const shapes: Record<Standing, Shape> = {
  unsure: { outline: "M8 .8 15.2 8 8 15.2.8 8Z", inner: "M3.2 8.8 8.8 3.2M5.4 11 11 5.4M7.6 13.2 13.2 7.6", filled: false, token: "--abnormal" },
  confirmed: { outline: "M8 .8 15.2 8 8 15.2.8 8Z", inner: "", filled: true, token: "--abnormal" },
  worked: { outline: "M2 2h12v12H2Z", inner: "", filled: true, token: "--worked" },
  back: { outline: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 1 0 0-13Z", inner: "m4.8 8.2 2.2 2.3 4.2-4.8", filled: false, token: "--control" },
};
