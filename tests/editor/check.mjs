// The published schemas in the language server that editors use for YAML: what an author sees while writing a spec.
//
// `npm ci` first, then `node check.mjs`. Every wait is bounded; the exit code is 1 if anything failed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "../..");
const SERVER = join(HERE, "node_modules/yaml-language-server/bin/yaml-language-server");
const ANSWER_MS = 20_000;
const TOTAL_MS = 90_000;

const uri = (path) => pathToFileURL(join(ROOT, path)).href;

const SETTINGS = {
    yaml: {
        validate: true,
        completion: true,
        hover: true,
        // No network: only the schemas of this repository.
        schemaStore: { enable: false },
        kubernetesCRDStore: { enable: false },
        schemas: {
            [uri("schema/provider.schema.json")]: ["/specs/*.yaml", "/drafts/*.yaml"],
            [uri("schema/fixture.schema.json")]: ["/specs/fixtures/*.yaml"],
        },
    },
    http: { proxy: "", proxyStrictSSL: false },
    "[yaml]": {},
    editor: {},
    files: {},
};

/** The language server as a process; requests and diagnostics with a time limit. */
class Server {
    constructor() {
        this.said = "";
        this.buffer = Buffer.alloc(0);
        this.next = 1;
        this.answers = new Map();
        this.published = new Map();
        this.drafts = 0;
        this.closing = false;
        this.configured = new Promise((done) => (this.asked = done));
        this.child = spawn(process.execPath, [SERVER, "--stdio"], { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
        this.child.stderr.on("data", (bytes) => (this.said += bytes));
        this.child.stdout.on("data", (bytes) => this.read(bytes));
        this.child.stdin.on("error", () => {});
        this.ended = new Promise((done) => this.child.on("close", done));
        this.child.on("error", (error) => this.broken(`the language server does not start: ${error.message}`));
        this.child.on("exit", (code) => this.closing || this.broken(`the language server ended (${code})`));
    }

    broken(problem) {
        console.error(`error: ${problem}\n${this.said}`);
        process.exit(1);
    }

    /** Messages are `Content-Length: n`, an empty line, n bytes of JSON. */
    read(bytes) {
        this.buffer = Buffer.concat([this.buffer, bytes]);
        for (;;) {
            const end = this.buffer.indexOf("\r\n\r\n");
            if (end < 0) return;
            const length = /content-length: *(\d+)/i.exec(this.buffer.toString("latin1", 0, end));
            if (!length) return this.broken("a message without its length");
            const start = end + 4;
            const stop = start + Number(length[1]);
            if (this.buffer.length < stop) return;
            const message = JSON.parse(this.buffer.toString("utf8", start, stop));
            this.buffer = this.buffer.subarray(stop);
            this.handle(message);
        }
    }

    send(message) {
        const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
        this.child.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
        this.child.stdin.write(body);
    }

    handle({ id, method, params, result, error }) {
        if (method === undefined) {
            const waiting = this.answers.get(id);
            this.answers.delete(id);
            if (error) waiting?.reject(new Error(`the language server answers: ${error.message}`));
            else waiting?.resolve(result);
        } else if (method === "textDocument/publishDiagnostics") {
            const waiting = this.published.get(params.uri);
            this.published.delete(params.uri);
            waiting?.resolve(params.diagnostics);
        } else if (method === "workspace/configuration") {
            this.send({ id, result: params.items.map(({ section }) => SETTINGS[section] ?? null) });
            this.asked();
        } else if (id !== undefined) {
            this.send({ id, result: null });
        } else if (method === "window/logMessage") {
            this.said += `${params.message}\n`;
        }
    }

    notify(method, params) {
        this.send({ method, params });
    }

    request(method, params) {
        const id = this.next++;
        const answer = new Promise((resolve, reject) => this.answers.set(id, { resolve, reject }));
        this.send({ id, method, params });
        return within(answer, `an answer to ${method}`);
    }

    async start() {
        await this.request("initialize", {
            processId: process.pid,
            rootUri: uri("."),
            workspaceFolders: [{ uri: uri("."), name: "interlingua" }],
            capabilities: {
                workspace: { configuration: true, workspaceFolders: true },
                textDocument: {
                    completion: { completionItem: { snippetSupport: true, documentationFormat: ["markdown"] } },
                    hover: { contentFormat: ["markdown"] },
                    publishDiagnostics: {},
                },
            },
        });
        this.notify("initialized", {});
        this.notify("workspace/didChangeConfiguration", { settings: SETTINGS });
        await within(this.configured, "a question for the settings");
    }

    /** Opens a document that need not exist, and gives its diagnostics. */
    open(address, text) {
        const diagnostics = new Promise((resolve) => this.published.set(address, { resolve }));
        this.notify("textDocument/didOpen", {
            textDocument: { uri: address, languageId: "yaml", version: 1, text },
        });
        return within(diagnostics, `the diagnostics of ${address}`);
    }

    /** Opens a draft of a spec; `|` in it is where the cursor is. */
    async draft(marked) {
        const at = marked.indexOf("|");
        const text = marked.replace("|", "");
        const before = marked.slice(0, Math.max(at, 0)).split("\n");
        const address = uri(`drafts/draft${++this.drafts}.yaml`);
        const diagnostics = await this.open(address, text);
        const position = { line: before.length - 1, character: before.at(-1).length };
        return { diagnostics, where: { textDocument: { uri: address }, position } };
    }

    async complete(marked) {
        const { where } = await this.draft(marked);
        const answer = await this.request("textDocument/completion", where);
        return new Map((answer?.items ?? answer ?? []).map((item) => [item.label, item]));
    }

    async hover(marked) {
        const { where } = await this.draft(marked);
        const answer = await this.request("textDocument/hover", where);
        return textOf(answer?.contents);
    }

    async stop() {
        this.closing = true;
        try {
            await this.request("shutdown", null);
            this.notify("exit");
            await within(this.ended, "the end of the language server");
        } finally {
            this.child.kill("SIGKILL");
        }
    }
}

function within(promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`waited ${ANSWER_MS} ms for: ${what}`)), ANSWER_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Markdown or plain text, as editors get either. */
function textOf(content) {
    return typeof content === "string" ? content : (content?.value ?? "");
}

function shown(diagnostics) {
    return diagnostics.map(({ range, message }) => `${range.start.line + 1}:${range.start.character + 1}: ${message}`);
}

function yamlFiles(folder) {
    const names = readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(".yaml"));
    assert.ok(names.length > 0, `${folder} has no YAML files`);
    return names.sort().map((name) => `${folder}/${name}`);
}

/** Without the marks of Markdown, which the server escapes. */
const plain = (text) => text.replace(/[\\`]/g, "").replace(/&nbsp;/g, " ");

const SCHEMA = JSON.parse(readFileSync(join(ROOT, "schema/provider.schema.json"), "utf8"));

const HEAD = "interlingua: 1\nprovider: draft\nupstream: { url: http://127.0.0.1 }\n";
const CHAT = `${HEAD}operations:\n  chat:\n    path: /chat\n`;
const REQUEST = `${CHAT}    response: $\n    request:\n`;

const tests = [];
const test = (name, body) => tests.push([name, body]);

for (const path of [...yamlFiles("specs"), ...yamlFiles("specs/fixtures")]) {
    test(`${path} has no mistakes`, async (server) => {
        const text = readFileSync(join(ROOT, path), "utf8");
        assert.deepEqual(shown(await server.open(uri(path), text)), []);
    });
    // Where no setting names a schema; and silence proves something only if the schema is there.
    test(`${path} names its schema itself`, async (server) => {
        const text = readFileSync(join(ROOT, path), "utf8");
        const elsewhere = uri(path.replace("specs/", "elsewhere/"));
        const line = text.split("\n").length;
        assert.deepEqual(shown(await server.open(elsewhere, `${text}nonsense: 1\n`)), [
            `${line}:1: Property nonsense is not allowed.`,
        ]);
    });
}

test("an unknown operator is reported where it stands", async (server) => {
    const { diagnostics } = await server.draft(
        `${REQUEST}      model: $model\n      messages: { $each: "m in $.messages", $do: $m, $mergeby: role }\n`,
    );
    assert.deepEqual(shown(diagnostics), ["10:54: Property $mergeby is not allowed."]);
});

test("$each without $do is reported", async (server) => {
    const { diagnostics } = await server.draft(`${REQUEST}      messages: { $each: "m in $.messages" }\n`);
    assert.deepEqual(shown(diagnostics), ["9:17: Object is missing property $do required by property $each."]);
});

test("arguments may belong to an operator of the parent", async (server) => {
    const { diagnostics } = await server.draft(
        "interlingua: 1\nprovider: draft\nextends: openai\n" +
            "operations:\n  chat:\n    request: { $omit: [user], temperature: { $max: 1 } }\n",
    );
    assert.deepEqual(shown(diagnostics), []);
});

test("a missing section is reported", async (server) => {
    const { diagnostics } = await server.draft(HEAD);
    assert.deepEqual(shown(diagnostics), ['1:1: Missing property "operations".']);
});

test("inside of a mapping every operator is offered, with its documentation", async (server) => {
    const operators = Object.keys(SCHEMA.$defs.Template.properties);
    assert.ok(operators.length > 20);
    for (const typed of ["", "$", "$l"]) {
        const items = await server.complete(`${REQUEST}      messages:\n        ${typed}|\n`);
        for (const operator of operators) {
            const said = textOf(items.get(operator)?.documentation);
            assert.equal(said, SCHEMA.$defs.Template.properties[operator].description, `${operator} after "${typed}"`);
        }
    }
});

test("inside of framing its values are offered", async (server) => {
    const items = await server.complete(`${CHAT}    stream:\n      framing: |\n`);
    const { enum: values, enumDescriptions } = SCHEMA.$defs.Framing;
    assert.deepEqual([...items.keys()], values.map(String));
    assert.deepEqual([...items.values()].map((item) => textOf(item.documentation)), enumDescriptions);
});

test("at the top level the sections are offered that are not there yet", async (server) => {
    const items = await server.complete(`${HEAD}|\n`);
    const there = ["interlingua", "provider", "upstream"];
    const sections = Object.keys(SCHEMA.properties).filter((name) => !there.includes(name));
    assert.deepEqual([...items.keys()].sort(), sections.sort());
});

test("hover over an operator tells what it does", async (server) => {
    const said = await server.hover(`${REQUEST}      role: { $loo|kup: $.role, $table: roles }\n`);
    const { title, description } = SCHEMA.$defs.Template.properties.$lookup;
    assert.ok(said.includes(title), said);
    assert.ok(plain(said).includes(plain(description)), said);
});
test("hover over a section or a member tells what it is", async (server) => {
    const request = await server.hover(`${CHAT}    requ|est: { a: 1 }\n`);
    assert.ok(plain(request).includes(plain(SCHEMA.$defs.Operation.properties.request.description)), request);
    const member = await server.hover(`${REQUEST}      temp|erature: $.temperature\n`);
    assert.ok(plain(member).includes("The output, written as YAML"), member);
});

if (!existsSync(SERVER)) {
    console.error("error: the language server is missing; run `npm ci` in tests/editor");
    process.exit(1);
}
const server = new Server();
setTimeout(() => server.broken(`not done after ${TOTAL_MS} ms`), TOTAL_MS).unref();
await server.start();
let failed = 0;
for (const [name, body] of tests) {
    try {
        await body(server);
        console.log(`ok      ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAILED  ${name}\n${error.message.replace(/^/gm, "        ")}`);
    }
}
if (failed > 0 && server.said) console.log(`\nThe language server said:\n${server.said}`);
await server.stop();
console.log(`${tests.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
