// A browser for tests in Python: reads one JSON command a line on stdin, answers one JSON line each on stdout.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, ...args] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args, headless: true });
const contexts = new Map();
let numbered = 0;

const page = (id) => contexts.get(id).page;

const commands = {
  async open({ url, permissions = [], dark = false, width = 900, height = 760 }) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
    if (permissions.length) await context.grantPermissions(permissions);
    const opened = { context, page: await context.newPage(), errors: [] };
    opened.page.on("pageerror", (error) => opened.errors.push(String(error)));
    opened.page.on("console", (message) => {
      if (message.type() === "error") opened.errors.push(message.text());
    });
    contexts.set(++numbered, opened);
    await opened.page.goto(url);
    return numbered;
  },
  click: ({ id, selector }) => page(id).click(selector, { timeout: 5000 }),
  fill: ({ id, selector, text }) => page(id).fill(selector, text, { timeout: 5000 }),
  press: ({ id, key }) => page(id).keyboard.press(key),
  evaluate: ({ id, script, argument }) => page(id).evaluate(`(${script})(${JSON.stringify(argument ?? null)})`),
  // Not waitForFunction: it needs eval inside the page, and the page's own policy forbids that.
  async wait({ id, script, timeout_ms }) {
    const giveUpAt = Date.now() + timeout_ms;
    while (!(await page(id).evaluate(script))) {
      if (Date.now() > giveUpAt) throw new Error(`not so within ${timeout_ms} ms: ${script}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  screenshot: async ({ id, path }) => void (await page(id).screenshot({ path, fullPage: true })),
  errors: ({ id }) => contexts.get(id).errors,
  async close({ id }) {
    await contexts.get(id).context.close();
    contexts.delete(id);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...parameters } = JSON.parse(line);
  try {
    const result = await commands[command](parameters);
    console.log(JSON.stringify({ result: result ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message ?? error) }));
  }
}
await browser.close();
