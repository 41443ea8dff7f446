// Exchanges a key for a cookie that scripts cannot read.

const message = document.getElementById("message");
const key = document.getElementById("key");

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const response = await fetch("/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: key.value.trim() }),
    });
    if (response.ok) {
      location.replace("/");
      return;
    }
    message.textContent = (await response.json()).detail;
    key.select();
  } catch {
    message.textContent = "The server does not answer. Is it still running?";
  }
});
