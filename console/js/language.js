// The language of the page: which it is, its words, and how it writes numbers and times.
import en from "./text/en.js";
import zh from "./text/zh.js";

const KEPT = "tallybox-language";
const make = { en, zh };
const locale = { en: "en", zh: "zh-CN" };
export const languages = { en: "English", zh: "中文" };

// Modules import these; they change when the language does.
export let lang = "en";
export let text;
export let format;

function formats(tag) {
  const number = new Intl.NumberFormat(tag);
  const decimal = new Intl.NumberFormat(tag, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: 1 });
  const clock = new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const date = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(tag, { dateStyle: "medium" });
  const relative = new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" });
  const rules = new Intl.PluralRules(tag);
  const list = new Intl.ListFormat(tag, { style: "short", type: "conjunction" });
  const steps = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];
  return {
    number: (n) => number.format(n),
    decimal: (n) => decimal.format(n),
    percent: (n) => percent.format(n),
    clock: (ms) => clock.format(ms),
    date: (ms) => date.format(ms),
    day: (ms) => day.format(ms),
    list: (items) => list.format(items),
    plural: (n, forms) => forms[rules.select(n)] ?? forms.other,
    // `seconds` ago, in the largest unit that fits.
    ago(seconds) {
      const [, unit, size] = steps.find(([below]) => seconds < below);
      return relative.format(-Math.floor(seconds / size), unit);
    },
    duration(seconds) {
      const [, unit, size] = steps.find(([below]) => seconds < below);
      const shown = new Intl.NumberFormat(tag, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 });
      return shown.format(Math.floor(seconds / size));
    },
  };
}

function use(next) {
  lang = next;
  format = formats(locale[next]);
  text = make[next](format);
  document.documentElement.lang = locale[next];
  document.title = text.title;
}

// Kept only when somebody chose it: a choice of language is no trace of a person.
export function choose(next) {
  try { localStorage.setItem(KEPT, next); } catch { /* a browser that keeps nothing asks again */ }
  use(next);
}

export function begin(asked) {
  let kept = null;
  try { kept = localStorage.getItem(KEPT); } catch { /* as above */ }
  const wanted = [asked, kept, ...navigator.languages].map((tag) => String(tag ?? "").slice(0, 2).toLowerCase());
  use(wanted.find((tag) => tag in make) ?? "en");
}

// For the test that holds the two languages against each other.
export const all = () => Object.fromEntries(Object.keys(make).map((key) => [key, make[key](formats(locale[key]))]));
