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

// A page that nobody looks at asks for nothing; nor does one of which a button waits for its answer, which would be lost
// with the button. A filter in hx-trigger would need eval, which the policy forbids.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (!event.target.getAttribute("hx-trigger")?.startsWith("every")) return;
  if (document.hidden || event.target.querySelector(".htmx-request")) event.preventDefault();
});

// Errors come as toasts; what else a proxy may answer is not put into the page.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.getResponseHeader("HX-Retarget") === "#toasts") event.detail.shouldSwap = true;
  else if (xhr.status >= 502 && xhr.status <= 504) sayUnreachable(event);
  if (xhr.status === 401) logIn();
});

const toasts = document.getElementById("toasts");
const dialog = document.getElementById("dialog");
toasts.showPopover();
// A dialog that opened later lies above them, and hides what is said of it.
const raiseToasts = () => {
  if (!dialog.open) return;
  toasts.hidePopover();
  toasts.showPopover();
};
// What changes something is not sent again by itself, and may have been done.
const sayUnreachable = ({ detail }) => {
  const name = detail.requestConfig.verb === "get" ? "unreachable" : "unheard";
  toasts.append(document.getElementById(name).content.cloneNode(true));
};
document.addEventListener("htmx:sendError", sayUnreachable);

new MutationObserver((changes) => {
  raiseToasts();
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

// A dialog is what was put into it; it closes by Escape, by a form of its own, or when the server says so.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === dialog && !dialog.open) dialog.showModal();
});
document.addEventListener("closeDialog", () => dialog.close());

// A form that comes back has the focus at the first field that is wrong.
document.addEventListener("htmx:afterSettle", (event) => event.detail.elt.querySelector("[aria-invalid=true]")?.focus());

// A file goes as the request's body, so that the server need not hold it; htmx sends forms only.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-upload]");
  if (!form) return;
  event.preventDefault();
  const [file] = form.querySelector("input[type=file]").files;
  const [bar, status, error, button] = ["progress", "[role=status]", "[role=alert]", "button"].map((name) =>
    form.querySelector(name),
  );
  const request = new XMLHttpRequest();
  const fail = (sentence) => {
    error.textContent = sentence;
    status.textContent = "";
    bar.hidden = true;
    error.hidden = button.disabled = false;
  };
  if (file.size > form.dataset.mostMb * 1024 ** 2) return fail(`The file is larger than ${form.dataset.mostMb} MB.`);
  const encoding = encodeURIComponent(form.elements.encoding.value);
  request.open("POST", `${form.dataset.upload}?filename=${encodeURIComponent(file.name)}&encoding=${encoding}`);
  request.setRequestHeader("HX-Request", "true");
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", ({ loaded, total }) => (bar.value = loaded / total));
  request.upload.addEventListener("load", () => {
    bar.removeAttribute("value"); // how long the rest takes is not known
    status.textContent = "All of it has arrived; it is being read and stored.";
  });
  request.addEventListener("error", () => fail("The upload was broken off; nothing of it was kept. Try again."));
  request.addEventListener("load", () => {
    const isJson = request.getResponseHeader("Content-Type")?.startsWith("application/json"); // a proxy's is not
    const answer = isJson ? JSON.parse(request.responseText) : {};
    if (request.status === 201) location.assign(`${form.dataset.next}${encodeURIComponent(answer.name)}&encoding=${encoding}`);
    else if (request.status === 401) logIn();
    else if (request.status === 413) fail(answer.detail ?? "What stands before Airflow takes no file as large as this one.");
    else fail(answer.detail ?? `Airflow does not answer (${request.status}). Try again.`);
  });
  bar.value = 0;
  bar.hidden = false;
  error.hidden = button.disabled = true;
  request.send(file);
});
