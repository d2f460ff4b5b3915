// The one way from values to the page: lit-html sets text and attributes, and never parses a value as markup.
export { html, nothing, render } from "../vendor/lit-html/lit-html.js";
export { live } from "../vendor/lit-html/directives/live.js";
export { repeat } from "../vendor/lit-html/directives/repeat.js";
