// Small comforts. Every page works without them.
"use strict";

// A button that was pressed says so, and cannot be pressed twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.getAttribute("aria-busy") === "true") {
    event.preventDefault();
    return;
  }
  form.setAttribute("aria-busy", "true");
});
// Going back shows the page as it was left.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy"));
});

// Several at once: how many, and all of them.
const together = document.getElementById("together");
if (together) {
  const boxes = [...document.querySelectorAll('input[name="iid"][form="together"]')];
  const count = together.querySelector("output");
  const all = together.querySelector("[data-choose-all]");
  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    count.hidden = chosen === 0;
    count.value = String(chosen);
    all.hidden = chosen === boxes.length;
  };
  boxes.forEach((box) => box.addEventListener("change", show));
  all.addEventListener("click", () => {
    boxes.forEach((box) => (box.checked = true));
    show();
  });
  show();
}

// While GitLab is being read the lists grow.
if (document.querySelector("[data-reload]")) {
  setTimeout(() => location.reload(), 3000);
}
