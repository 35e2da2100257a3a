"""The page at `/docs`: shows `/openapi.json` and sends requests, with nothing from elsewhere."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Perennial API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2321; background: #fff }
details { border: 1px solid #d5dbd8; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer } code, pre, textarea, input { font: 14px/1.4 ui-monospace, monospace }
pre { background: #f4f6f5; padding: .6rem; overflow: auto; border-radius: 4px }
.method { display: inline-block; min-width: 4rem; font-weight: 700; color: #1d6b4f }
textarea { width: 100%; min-height: 6rem; box-sizing: border-box } label { display: block }
td, th { text-align: left; vertical-align: top; padding: .1rem .8rem .1rem 0 }
</style></head><body>
<h1>Perennial API</h1>
<p>The machine-readable description is at <a href="openapi.json">openapi.json</a>.</p>
<label>Token for requests from this page <input id="token" type="password" autocomplete="off"
  size="60"></label>
<main id="routes">Loading…</main>
<script>
"use strict";
const make = (tag, text, ...children) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
};
let components = {};
const resolve = (schema) => {
  if (Array.isArray(schema)) return schema.map(resolve);
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) return resolve(components[schema.$ref.split("/").pop()] || {});
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolve(value)]));
};
const shown = (content) => {
  const schema = Object.values(content || {}).map((kind) => kind.schema).find(Boolean);
  return schema ? [make("pre", JSON.stringify(resolve(schema), null, 1))] : [];
};
const answers = (operation) => {
  const table = make("table");
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    const row = make("tr", "", make("th", status), make("td", answer.description));
    if (status === "200") row.lastChild.append(...shown(answer.content));
    table.append(row);
  }
  return table;
};
const sender = (path, method, operation) => {
  const address = make("input");
  address.value = path.slice(1);
  address.size = 60;
  const body = make("textarea");
  const output = make("pre");
  const button = make("button", "Send");
  button.onclick = async () => {
    const headers = {};
    const token = document.getElementById("token").value;
    if (token) headers.Authorization = "Bearer " + token;
    const options = { method: method.toUpperCase(), headers };
    if (operation.requestBody) {
      headers["Content-Type"] = "application/json";
      options.body = body.value;
    }
    try {
      const answer = await fetch(address.value, options);
      output.textContent = answer.status + "\\n" + await answer.text();
    } catch (error) { output.textContent = String(error); }
  };
  const parts = operation.requestBody ? [body] : [];
  return make("div", "", make("label", "Try it: ", address), ...parts, button, output);
};
fetch("openapi.json").then((answer) => answer.json()).then((document_) => {
  components = (document_.components || {}).schemas || {};
  const main = document.getElementById("routes");
  main.textContent = "";
  for (const [path, operations] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const head = make("summary", "", make("span", method.toUpperCase()), make("code", path));
      head.firstChild.className = "method";
      head.append(" " + (operation.summary || ""));
      const section = make("details", "", head, make("p", operation.description));
      if (operation.requestBody) {
        section.append(make("h4", "Body"), ...shown(operation.requestBody.content));
      }
      section.append(make("h4", "Answers"), answers(operation), sender(path, method, operation));
      main.append(section);
    }
  }
}).catch((error) => { document.getElementById("routes").textContent = String(error); });
</script></body></html>
"""
