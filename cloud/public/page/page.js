// Times become those of the reader's zone, the age of the data is kept, and it is said when
// there is newer information. Without this the page says the same in the operator's zone.
"use strict";
(() => {
  const body = document.body.dataset;
  const at = Number(body.at) / 1000, stale = Number(body.stale) / 1000;
  const clock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  for (const t of document.querySelectorAll("time")) t.textContent = clock.format(new Date(t.dateTime));
  const age = document.getElementById("age"), old = document.getElementById("old"), news = document.getElementById("news");
  const plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const tell = () => {
    const minutes = Math.max(0, Math.floor((Date.now() - at) / 60000));
    const ago = minutes < 1 ? "less than a minute ago" : minutes < 120 ? plural(minutes, "minute") + " ago" : plural(Math.floor(minutes / 60), "hour") + " ago";
    const past = Date.now() - at > stale;
    age.classList.toggle("old", past);
    const text = past ? `That is ${ago}: this isn’t current. What has happened since isn’t known here.` : `That is ${ago}.`;
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
    link.href = "index.html";
    link.textContent = "Show it";
    news.append("There is newer information. ", link);
  }, 30000);
})();
