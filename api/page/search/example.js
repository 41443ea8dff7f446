// Keeps the last dropped files in this browser, so that a reload and Back find them again.

const STORE = "examples";
const MOST = 8;

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("reelseek", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function ask(mode, question) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const request = question(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

const remembered = new Map();

// The key under which a file is kept.
export async function keep(file) {
  const key = `${Date.now().toString(36)}${Math.floor(Math.random() * 1296).toString(36)}`;
  remembered.set(key, file);
  try {
    await ask("readwrite", (store) => store.put(file, key));
    const keys = await ask("readonly", (store) => store.getAllKeys());
    for (const old of keys.slice(0, -MOST)) await ask("readwrite", (store) => store.delete(old));
  } catch {
    // a private window or a full disk: it is there until the page is closed
  }
  return key;
}

// The file of a key, or null when this browser has it no longer.
export async function recall(key) {
  if (remembered.has(key)) return remembered.get(key);
  try {
    const file = (await ask("readonly", (store) => store.get(key))) ?? null;
    if (file) remembered.set(key, file);
    return file;
  } catch {
    return null;
  }
}
