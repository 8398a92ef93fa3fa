// Ctrl+Enter writes; the switch in the head changes between light and dark.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.querySelector("#dl-write")?.click();
});
document.addEventListener("click", (event) => {
  if (event.target.closest?.(".dl-theme")) document.body.classList.toggle("dark");
});
