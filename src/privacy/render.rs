//! The inventory as JSON and as Markdown.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Basis, Datum, Part, Settings, facts, parts};
use crate::config::ThirdParty;
use crate::text::{Language, Text};

/// One datum, in the language of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// Its name: topic or store, then its path.
    pub name: String,
    /// What it is collected for.
    pub purpose: &'static str,
    /// Why it may be.
    pub basis: &'static str,
    /// Who gets it.
    pub recipient: String,
    /// How long it is kept.
    pub retention: String,
    /// How much it says about people.
    pub category: &'static str,
}

/// What one kind of entry is recorded for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kind {
    /// Its word: `fact.kind`.
    pub kind: String,
    /// What it is recorded for.
    pub purpose: &'static str,
    /// Why it may be.
    pub basis: &'static str,
    /// How much it says about people.
    pub category: &'static str,
    /// Its fields.
    pub fields: Vec<String>,
}

/// Which policy the box records under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// The version in the configuration; `null`: of boxes in general.
    pub version: Option<String>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The policy.
    pub policy: Policy,
    /// Every recipient that the items name.
    pub recipients: Vec<String>,
    /// To whom recipients pass it on, as the operator declares.
    pub third_parties: Vec<ThirdParty>,
    /// All data.
    pub items: Vec<Item>,
    /// What each kind of entry in the ledger is for.
    pub kinds: Vec<Kind>,
}

/// The report of a box with these settings.
pub(super) fn report(settings: &Settings, language: Language) -> Report {
    let mut items = Vec::new();
    let mut recipients = Vec::new();
    for Part { recipient, retention, data, name: _, title: _ } in parts() {
        let who = settings.recipient(recipient, language);
        if !recipients.contains(&who) {
            recipients.push(who.clone());
        }
        let kept = settings.retention(retention, language);
        items.extend(data.into_iter().map(|Datum { name, purpose }| Item {
            name,
            purpose: purpose.text.get(language),
            basis: purpose.basis.text().get(language),
            recipient: who.clone(),
            retention: kept.clone(),
            category: purpose.category.word().get(language),
        }));
    }
    let kind = |kind: facts::FactKind| Kind {
        kind: kind.kind,
        purpose: kind.purpose.text.get(language),
        basis: kind.purpose.basis.text().get(language),
        category: kind.purpose.category.word().get(language),
        fields: kind.fields.iter().map(|(field, _)| super::written(field)).collect(),
    };
    Report {
        policy: Policy { version: settings.policy_version.clone() },
        recipients,
        third_parties: settings.third_parties.clone(),
        items,
        kinds: facts::kinds().into_iter().map(kind).collect(),
    }
}

fn row(text: &mut String, cells: &[&str]) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// What is said once, before all tables.
fn legend(text: &mut String, say: &dyn Fn(Text) -> &'static str, colon: &str) {
    for basis in Basis::ALL {
        let _ = writeln!(text, "- {}{colon}{}", say(basis.word()), say(basis.text()));
    }
    text.push('\n');
}

/// As Markdown, below headings of `level`.
pub(crate) fn markdown(settings: &Settings, language: Language, level: usize) -> String {
    let say = |text: Text| text.get(language);
    let colon = say(Text::new(": ", "："));
    let heading = "#".repeat(level);
    let mut text = String::new();
    legend(&mut text, &say, colon);
    let columns = [
        Text::new("name", "名称"),
        Text::new("purpose", "目的"),
        Text::new("basis", "依据"),
        Text::new("category", "类别"),
    ];
    for Part { title, recipient, retention, data, name: _ } in parts() {
        let _ = writeln!(text, "{heading} {}\n", say(title));
        let _ = writeln!(
            text,
            "- {}{colon}{}",
            say(Text::new("who gets it", "接收方")),
            settings.recipient(recipient, language)
        );
        let _ = writeln!(
            text,
            "- {}{colon}{}\n",
            say(Text::new("how long", "保存期限")),
            settings.retention(retention, language)
        );
        row(&mut text, &columns.map(say));
        text.push_str("|---|---|---|---|\n");
        for Datum { name, purpose } in &data {
            row(
                &mut text,
                &[&format!("`{name}`"), say(purpose.text), say(purpose.basis.word()), say(purpose.category.word())],
            );
        }
        text.push('\n');
    }
    kinds(&mut text, language, &heading);
    third_parties(&mut text, settings, language, &heading);
    text
}

fn kinds(text: &mut String, language: Language, heading: &str) {
    let say = |text: Text| text.get(language);
    let _ = writeln!(text, "{heading} {}\n", say(Text::new("Kinds of entries in the ledger", "台账条目的种类")));
    row(
        text,
        &[
            "`kind`",
            say(Text::new("purpose", "目的")),
            say(Text::new("basis", "依据")),
            say(Text::new("category", "类别")),
        ],
    );
    text.push_str("|---|---|---|---|\n");
    for kind in facts::kinds() {
        let purpose = kind.purpose;
        row(
            text,
            &[&format!("`{}`", kind.kind), say(purpose.text), say(purpose.basis.word()), say(purpose.category.word())],
        );
    }
    text.push('\n');
}

fn third_parties(text: &mut String, settings: &Settings, language: Language, heading: &str) {
    let say = |text: Text| text.get(language);
    let _ = writeln!(text, "{heading} {}\n", say(Text::new("Third parties", "第三方清单")));
    if settings.third_parties.is_empty() {
        let none = Text::new(
            "None: the box sends nothing to others than these recipients, and its software has no kit of others that\n\
             does. The operator declares those to whom recipients pass data on under `[[recipients]]`.",
            "无：除上述接收方外，设备不向他人发送信息，软件中也没有会自行发送信息的第三方 SDK。\n\
             接收方再向他人提供信息的，由运营者在 `[[recipients]]` 中声明。",
        );
        text.push_str(say(none));
        text.push('\n');
        return;
    }
    let columns = [
        Text::new("name", "第三方名称"),
        Text::new("scene", "使用场景"),
        Text::new("kinds of data", "信息种类"),
        Text::new("company", "第三方主体"),
        Text::new("link", "隐私政策链接"),
    ];
    row(text, &columns.map(say));
    text.push_str("|---|---|---|---|---|\n");
    for ThirdParty { name, scene, data, company, link } in &settings.third_parties {
        row(
            text,
            &[name, scene, data, company, link].map(|cell| cell.replace('|', "\\|")).each_ref().map(String::as_str),
        );
    }
}
