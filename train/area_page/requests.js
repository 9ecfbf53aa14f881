// Requests to the program that serves this page.

export class Unreachable extends Error {}

// Returns the answer with its status; throws Unreachable where the program has ended.
export async function ask(name, content) {
  const options = content && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  };
  try {
    const response = await fetch(name, options);
    return { ok: response.ok, status: response.status, ...(await response.json()) };
  } catch {
    throw new Unreachable();
  }
}
