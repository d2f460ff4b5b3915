//! Sentences for people, in both languages of the box.

/// A language of texts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Language {
    /// The language of whoever calls a command, from the variables of the locale in their order: the first that is not
    /// empty counts.
    pub fn of_environment() -> Self {
        Self::of_locale(["LC_ALL", "LC_MESSAGES", "LANG"].map(|name| std::env::var(name).unwrap_or_default()))
    }

    fn of_locale(variables: [String; 3]) -> Self {
        let locale = variables.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
        if locale.split(['_', '.', '@']).next() == Some("zh") { Self::Zh } else { Self::En }
    }
}

/// The same in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// In English.
    pub en: &'static str,
    /// In Chinese, in simplified characters.
    pub zh: &'static str,
}

impl Text {
    /// The same text, as `en` and as `zh` have it.
    pub const fn new(en: &'static str, zh: &'static str) -> Self {
        Self { en, zh }
    }

    /// The text in one language.
    pub const fn get(self, language: Language) -> &'static str {
        match language {
            Language::En => self.en,
            Language::Zh => self.zh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_of_the_locale_decides() {
        for (all, messages, lang, wanted) in [
            ("", "", "", Language::En),
            ("", "", "zh_CN.UTF-8", Language::Zh),
            ("C.UTF-8", "zh_CN.UTF-8", "zh_CN.UTF-8", Language::En),
            ("", "zh", "en_GB.UTF-8", Language::Zh),
            ("zhuang", "", "", Language::En),
        ] {
            assert_eq!(
                Language::of_locale([all, messages, lang].map(str::to_owned)),
                wanted,
                "{all} {messages} {lang}"
            );
        }
    }
}
