// What htmx does not do: the ways out of Airflow's frame, its address bar, toasts, quiet while nobody looks.
const framed = parent !== window;
const airflow = document.querySelector("meta[name=airflow]").content;

if (framed) parent.document.title = `${document.title} - Headrace - Airflow`;

// The frame may not navigate what holds it; Airflow's own router is told instead, which loads nothing anew.
const openInAirflow = (url) => {
  if (!framed) {
    location.assign(url);
    return;
  }
  parent.history.pushState({ idx: 0, key: Math.random().toString(36).slice(2), usr: null }, "", url);
  parent.dispatchEvent(new PopStateEvent("popstate", { state: parent.history.state }));
};

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openInAirflow(link.href);
});

// Airflow follows loads of the frame, not what htmx writes into its history.
const route = framed ? parent.location.pathname.match(/^.*?\/plugin\/[^/]+/)?.[0] : null;
for (const name of ["htmx:pushedIntoHistory", "htmx:replacedInHistory"])
  document.addEventListener(name, () => {
    if (route) parent.history.replaceState(parent.history.state, "", route + location.pathname + location.search);
  });

// A page that nobody looks at asks for nothing. A filter in hx-trigger would need eval, which the policy forbids.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.getAttribute("hx-trigger")?.startsWith("every")) event.preventDefault();
});

// Errors come as toasts; what else a proxy may answer is not put into the page.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.getResponseHeader("HX-Retarget") === "#toasts") event.detail.shouldSwap = true;
  else if (xhr.status >= 502 && xhr.status <= 504) sayUnreachable();
  if (xhr.status === 401) logIn();
});

const toasts = document.getElementById("toasts");
const sayUnreachable = () => toasts.append(document.getElementById("unreachable").content.cloneNode(true));
document.addEventListener("htmx:sendError", sayUnreachable);

new MutationObserver((changes) => {
  for (const { addedNodes } of changes)
    for (const node of addedNodes) {
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      for (const other of [...toasts.children])
        if (other !== node && other.textContent === node.textContent) other.remove();
      setTimeout(() => node.remove(), 12000);
    }
}).observe(toasts, { childList: true });

// To Airflow's login and back to this page. The login is none of the pages that the host's router knows: a link that
// belongs to the host's document lets the host go there by itself.
const logIn = () => {
  const link = parent.document.createElement("a");
  link.href = `${airflow}/auth/login?next=${encodeURIComponent(parent.location.href)}`;
  parent.document.body.append(link);
  link.click();
};
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-login]")) return;
  event.preventDefault();
  logIn();
});
if (document.querySelector("[data-login]")) logIn();
