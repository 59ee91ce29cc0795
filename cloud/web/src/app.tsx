import { effect } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import * as alarms from "./data/alarms";
import { watchFlood } from "./data/flood";
import { watchGateways } from "./data/gateways";
import * as series from "./data/series";
import { watchSound } from "./data/sound";
import { t } from "./messages";
import * as outages from "./data/outages";
import { EntryDialogs } from "./desk/Entries";
import { AlarmPage } from "./pages/AlarmPage";
import { AlarmsPage } from "./pages/AlarmsPage";
import { CompletenessPage } from "./pages/CompletenessPage";
import { AssetPage } from "./pages/AssetPage";
import { DeskPage } from "./pages/DeskPage";
import { GatewayPage } from "./pages/GatewayPage";
import { GatewaysPage } from "./pages/GatewaysPage";
import { FeederPage } from "./pages/OneLine";
import { OverviewPage } from "./pages/OverviewPage";
import { PerformancePage } from "./pages/PerformancePage";
import { SignalsPage } from "./pages/SignalsPage";
import { SignInPage } from "./pages/SignInPage";
import { AckDialog } from "./parts/AckDialog";
import { Footer } from "./parts/Footer";
import { HandleDialog } from "./parts/HandleDialog";
import { Header, titleOf } from "./parts/Header";
import { place, route } from "./router";
import { identify, standing } from "./session";
import { follow } from "./stream";

function pageName(): string {
  switch (place.value.pathname) {
    case "/signals":
      return t("nav.signals");
    case "/completeness":
      return t("nav.completeness");
    case "/overview":
      return t("nav.overview");
    case "/gateways":
      return t("nav.gateways");
    case "/desk":
      return t("nav.desk");
    case "/alarm-performance":
      return t("performance.title");
  }
  return t("nav.alarms");
}

/** A part of a path as it was before it was escaped; undefined: it is no such part. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function Page() {
  const path = place.value.pathname;
  const alarm = /^\/alarms\/([\w-]+)$/.exec(path)?.[1];
  if (alarm !== undefined) {
    return <AlarmPage key={alarm} id={alarm} />;
  }
  const [, kind, id] = /^\/(network|feeders|gateways)\/([^/]+)$/.exec(path) ?? [];
  const of = id === undefined ? undefined : decoded(id);
  if (kind !== undefined && of !== undefined) {
    switch (kind) {
      case "network":
        return <AssetPage key={of} id={of} />;
      case "feeders":
        return <FeederPage key={of} id={of} />;
      default:
        return <GatewayPage key={of} id={of} />;
    }
  }
  switch (path) {
    case "/overview":
      return <OverviewPage />;
    case "/desk":
      return <DeskPage />;
    case "/":
      return <AlarmsPage />;
    case "/signals":
      return <SignalsPage />;
    case "/gateways":
      return <GatewaysPage />;
    case "/completeness":
      return <CompletenessPage />;
    case "/alarm-performance":
      return <PerformancePage />;
  }
  return <h1 tabIndex={-1}>{t("page.missing")}</h1>;
}

function App() {
  const content = useRef<HTMLElement>(null);
  const arrived = useRef(false);
  // A reader of the screen hears where a link has led.
  useEffect(() => {
    if (arrived.current) {
      content.current?.querySelector("h1")?.focus({ preventScroll: true });
    }
    arrived.current = true;
  }, [place.value.pathname]);
  switch (standing.value.state) {
    case "asking":
      return null;
    case "out":
      return <SignInPage />;
  }
  return (
    <>
      <Header />
      <main id="content" tabIndex={-1} ref={content}>
        <Page />
      </main>
      <Footer />
      <AckDialog />
      <HandleDialog />
      <EntryDialogs />
    </>
  );
}

route();
effect(() => {
  document.title = standing.value.state === "out" ? `${t("signin.title")} · ${t("app.name")}` : titleOf(pageName());
});
void identify(() => {
  watchGateways();
  outages.watch();
  watchFlood();
  watchSound();
  follow({ snapshot: alarms.snapshot, alarm: alarms.apply, outage: outages.apply, latest: series.apply });
});
const root = document.getElementById("app");
if (root) {
  render(<App />, root);
}
