// Dragging only fills in and sends the form that each card has anyway.
document.querySelectorAll(".card").forEach((card) => {
  card.draggable = true;
  card.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData("text/plain", card.id);
    event.dataTransfer.effectAllowed = "move";
  });
});
document.querySelectorAll(".column").forEach((column) => {
  column.addEventListener("dragover", (event) => {
    event.preventDefault();
    column.classList.add("over");
  });
  column.addEventListener("dragleave", () => column.classList.remove("over"));
  column.addEventListener("drop", (event) => {
    event.preventDefault();
    column.classList.remove("over");
    const card = document.getElementById(event.dataTransfer.getData("text/plain"));
    const form = card && card.querySelector("form");
    if (!form || form.elements.from.value === column.dataset.name) return;
    form.elements.to.value = column.dataset.name;
    form.submit();
  });
});
