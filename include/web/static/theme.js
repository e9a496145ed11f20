// Takes Airflow's light or dark and its colours from the page that frames this one, before the first paint and at each
// change; alone, follows what was chosen in Airflow, else the system. app.css has the same names with Airflow's defaults.
(() => {
  const own = document.documentElement;
  const names = ["bg", "bg-subtle", "bg-muted", "bg-emphasized", "bg-panel", "fg", "fg-muted", "fg-error", "border", "border-emphasized"];
  for (const colour of ["brand", "success", "failed", "running", "queued", "error"])
    for (const part of ["solid", "contrast", "fg", "focus-ring"]) names.push(`${colour}-${part}`);

  const paint = (isDark) => {
    own.classList.toggle("dark", isDark);
    own.style.colorScheme = isDark ? "dark" : "light";
  };

  if (parent !== window) {
    const host = parent.document.documentElement;
    const follow = () => {
      paint(host.classList.contains("dark"));
      const style = parent.getComputedStyle(host);
      for (const name of names) {
        const value = style.getPropertyValue(`--chakra-colors-${name}`);
        if (value) own.style.setProperty(`--${name}`, value);
      }
      own.style.setProperty("--font", parent.getComputedStyle(parent.document.body).fontFamily);
    };
    follow();
    new MutationObserver(follow).observe(host, { attributes: true, attributeFilter: ["class"] });
    return;
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    const chosen = localStorage.getItem("theme");
    paint(chosen === "dark" || (chosen !== "light" && system.matches));
  };
  follow();
  addEventListener("storage", follow);
  system.addEventListener("change", follow);
})();
