//! `tallybox privacy notice`: the cards that hang beside a box, for staff and for the people in front of the camera.
//! Made of the tables that the box itself goes by, its configuration, and the signed policy.

mod page;
mod pdf;
mod svg;
mod words;

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use consent::LampPattern;

use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{PolicyDocument, PolicyText};
use crate::judges::policy_note::PolicyNote;
use crate::judges::twin;
use crate::text::Language;

use page::{Mark, Sheet};
use words::say;

/// Who reads the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Card {
    /// Staff: the button and the lamp.
    Staff,
    /// The people in front of the camera.
    Public,
}

/// How the card is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// SVG, with text that stays text.
    Svg,
    /// PDF, without fonts in it.
    Pdf,
}

/// Which card.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Who reads it.
    #[arg(long, value_enum)]
    card: Card,
    /// In which language.
    #[arg(long, value_enum, default_value_t)]
    language: Language,
    /// How to draw it; it goes to standard output.
    #[arg(long, value_enum, default_value_t = Drawing::Pdf)]
    format: Drawing,
    /// For places with people under 14.
    #[arg(long)]
    minors: bool,
}

/// Prints the card.
pub(crate) fn run(config: &Config, args: Args) -> Result<(), Exit> {
    let Args { card, language, format, minors } = args;
    if minors && card == Card::Staff {
        return Err(Exit::usage("--minors is for --card public: staff's card follows [consent] minors-mode by itself"));
    }
    let mut out = std::io::stdout().lock();
    if format == Drawing::Pdf && out.is_terminal() {
        return Err(Exit::usage("a PDF is no text: write it into a file, as with > card.pdf"));
    }
    let policy = PolicyNote::load(&config.device.data_dir, &config.trust).map(|note| note.document);
    if policy.as_ref().is_none_or(|policy| policy.contacts.is_empty()) {
        eprintln!("note: no signed policy names contacts: write them by hand where the card leaves room");
    }
    if minors && !config.consent.minors_mode {
        eprintln!("note: [consent] minors-mode is off: the card promises no guardian's hold");
    }
    if config.device.data_dir.join(twin::NOTE).exists() {
        eprintln!(
            "note: the card tells what files say, and the platform has values too: hold it against tallybox status"
        );
    }
    let about = About { config, policy: policy.as_ref(), language };
    let sheet = match card {
        Card::Staff => about.staff(),
        Card::Public => about.public(minors),
    };
    let title = about.title(card);
    let marks = sheet.finish().ok_or_else(|| {
        Exit::data("the card does not fit on a page: name fewer or shorter contacts in the policy, or fewer hosts")
    })?;
    let bytes = draw(&title, language, format, &marks);
    out.write_all(&bytes).map_err(|error| Exit::io(format!("the card cannot be written: {error}")))
}

fn draw(title: &str, language: Language, format: Drawing, marks: &[Mark]) -> Vec<u8> {
    match format {
        Drawing::Svg => svg::draw(title, language, marks).into_bytes(),
        Drawing::Pdf => pdf::draw(title, language, marks),
    }
}

/// What a card is about.
struct About<'a> {
    config: &'a Config,
    policy: Option<&'a PolicyDocument>,
    language: Language,
}

impl About<'_> {
    fn title(&self, card: Card) -> String {
        match card {
            Card::Staff => say!(self.language, "Red button, red lamp", "红色按钮与红色指示灯"),
            Card::Public => say!(self.language, "Camera and microphone", "此处有摄像头和麦克风"),
        }
    }

    fn staff(&self) -> Sheet {
        let (language, minors_mode) = (self.language, self.config.consent.minors_mode);
        let mut sheet = Sheet::new();
        sheet.title(&self.title(Card::Staff));
        for line in words::gestures(language, minors_mode) {
            sheet.main(&line);
        }
        sheet.small(&words::times(language, minors_mode));
        sheet.rule();
        for pattern in LampPattern::ALL.into_iter().filter(|pattern| words::is_shown(*pattern, minors_mode)) {
            sheet.lamp(pattern, words::lamp(pattern).get(language));
        }
        sheet.rule();
        let stored = words::stored(language, self.config);
        for line in stored.into_iter().chain(self.questions(false)) {
            sheet.small(&line);
        }
        sheet
    }

    fn public(&self, minors: bool) -> Sheet {
        let language = self.language;
        let mut sheet = Sheet::new();
        sheet.title(&self.title(Card::Public));
        if minors {
            sheet.main(&words::minors(language, self.config.consent.minors_mode).0);
        }
        sheet.main(&say!(language, "Lamp like this: it may record", "指示灯如下时可能在拍摄"));
        for pattern in LampPattern::ALL.into_iter().filter(|pattern| pattern.says_capturing()) {
            sheet.lamp(pattern, words::lamp(pattern).get(language));
        }
        sheet.gap();
        sheet.main(&say!(language, "Dark, or anything else: it is off", "熄灭或其他闪法：已关闭"));
        sheet.main(&say!(language, "Say stop, and staff stop it", "您说停，店员即停"));
        sheet.rule();
        if minors {
            for line in words::minors(language, self.config.consent.minors_mode).1 {
                sheet.small(&line);
            }
        }
        for line in words::kept(language, self.config) {
            sheet.small(&line);
        }
        sheet.rule();
        let questions = self.questions(true);
        let (main, small) = questions.split_at(questions.len().min(2));
        for line in main {
            sheet.main(line);
        }
        for line in small {
            sheet.small(line);
        }
        sheet
    }

    /// Whom to ask or complain to, by when an answer is due, and where the policy is. The first two are main lines of
    /// the public card: of several contacts one, the others follow in small.
    fn questions(&self, is_public: bool) -> Vec<String> {
        let language = self.language;
        let contacts = self.policy.map(|policy| policy.contacts.as_slice()).unwrap_or_default();
        let days = self.policy.and_then(|policy| policy.answer_days).unwrap_or(PolicyDocument::ANSWER_DAYS);
        // Large letters need fewer.
        let blank = ".".repeat(if is_public { 20 } else { 30 });
        let (first, others) = match contacts.split_first() {
            Some((first, others)) if is_public => (first.clone(), others.join(", ")),
            Some(_) => (contacts.join(", "), String::new()),
            None => (blank, String::new()),
        };
        let mut all = vec![
            say!(language, "Ask, complain: {first}", "咨询投诉：{first}"),
            say!(language, "Answer within {days} days", "{days} 天内答复"),
        ];
        if !others.is_empty() {
            all.push(say!(language, "Or: {others}", "或：{others}"));
        }
        all.push(say!(
            language,
            "You may ask to see, correct or delete what is kept about you, and withdraw your consent at any time.",
            "您可以要求查阅、更正、删除与您有关的信息，并可随时撤回同意。"
        ));
        let version = self.policy.map_or(self.config.consent.policy_version.as_str(), |policy| &policy.version);
        all.push(match self.address() {
            Some(url) => say!(language, "Privacy policy of {version}: {url}", "隐私政策（{version}）：{url}"),
            None => say!(language, "Privacy policy of {version}", "隐私政策（{version}）"),
        });
        all
    }

    /// Where the policy is, in the card's language.
    fn address(&self) -> Option<&str> {
        let policy = self.policy?;
        let told = policy.texts.as_ref().map(|texts| match self.language {
            Language::En => &texts.en,
            Language::Zh => &texts.zh,
        });
        told.and_then(|PolicyText { url, .. }| url.as_deref()).or(policy.url.as_deref())
    }
}

#[cfg(test)]
mod tests;
