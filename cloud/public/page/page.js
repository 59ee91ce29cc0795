// Times become those of the reader's zone, the age of the data is kept, and it is said when
// there is newer information. Without this the page says the same in the operator's zone.
"use strict";
(() => {
  const body = document.body.dataset;
  const at = Number(body.at) / 1000, stale = Number(body.stale) / 1000;
  const language = document.documentElement.lang;
  const locale = language === "en" ? "en-GB" : navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
  const clock = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  for (const t of document.querySelectorAll("time")) t.textContent = clock.format(new Date(t.dateTime));
  const age = document.getElementById("age"), old = document.getElementById("old"), news = document.getElementById("news");
  const before = new Intl.RelativeTimeFormat(locale);
  const tell = () => {
    const minutes = Math.max(0, Math.floor((Date.now() - at) / 60000));
    const ago = minutes < 1 ? body.justNow : minutes < 120 ? before.format(-minutes, "minute") : before.format(-Math.floor(minutes / 60), "hour");
    const past = Date.now() - at > stale;
    age.classList.toggle("old", past);
    const text = (past ? body.agoOld : body.ago).replace("{ago}", ago);
    if (old.textContent !== text) old.textContent = text;
  };
  tell();
  setInterval(tell, 10000);
  setInterval(async () => {
    if (document.hidden || news.firstChild) return;
    try {
      const answer = await fetch("outages.json", { cache: "no-cache" });
      if (!answer.ok || (await answer.json()).written_us <= Number(body.written)) return;
    } catch {
      return; // the age says it
    }
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = body.show;
    news.append(body.newer + " ", link);
  }, 30000);
})();
