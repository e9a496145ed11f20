// Times in the zone that was picked in Airflow, else in the browser's; each keeps UTC in its title. Without this, all are UTC.
(() => {
  const picked = () => {
    try {
      return JSON.parse(localStorage.getItem("timezone")) ?? undefined;
    } catch {
      return undefined;
    }
  };
  const makeFormat = (timeZone) => {
    const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    const parts = { year: "numeric", month: "2-digit", day: "2-digit", ...clock };
    return new Intl.DateTimeFormat("en", { ...parts, timeZone, timeZoneName: "shortOffset" });
  };
  let format;
  const follow = () => {
    try {
      format = makeFormat(picked());
    } catch {
      format = makeFormat(); // no such zone
    }
  };

  const say = (at, seconds) => {
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    const zone = part.timeZoneName.replace(/^GMT(\+0)?$/, "UTC").replace("GMT", "UTC");
    return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}${seconds ? `:${part.second}` : ""} ${zone}`;
  };
  // What is right already is left alone: each change calls the observer once more.
  const sayAll = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const said = say(new Date(time.dateTime), "seconds" in time.dataset);
      if (time.textContent !== said) time.textContent = said;
    }
  };

  follow();
  sayAll();
  new MutationObserver(sayAll).observe(document.body, { childList: true, subtree: true });
  addEventListener("storage", () => {
    follow();
    sayAll();
  });
})();
