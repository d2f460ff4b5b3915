//! `[[recipients]]`: third parties, as the privacy policy lists them. The operator declares them; the box only tells.

use toml::de::DeTable;

use crate::config::ThirdParty;
use crate::config::reader::{Location, Reader, did_you_mean};

/// Most of them, in all files together.
const MAX_PARTIES: usize = 64;
/// Longest text, in characters: a cell of a table.
const MAX_LETTERS: usize = 200;
/// What a table has: all of it.
const NAMES: [&str; 5] = ["name", "scene", "data", "company", "link"];

pub(super) fn recipients(reader: &mut Reader<'_>) -> Vec<ThirdParty> {
    let mut all = Vec::new();
    for (table, place) in reader.tables("recipients") {
        let known = is_known(reader, &table, place);
        let texts = NAMES.map(|name| text(reader, &table, place, name));
        let [Some(name), Some(scene), Some(data), Some(company), Some(link)] = texts else { continue };
        if known {
            all.push(ThirdParty { name, scene, data, company, link });
        }
        if all.len() > MAX_PARTIES {
            let help = "declare those that share a scene as one, by their group";
            reader.error(Some(place), format!("more than {MAX_PARTIES} recipients"), help);
            break;
        }
    }
    all
}

fn is_known(reader: &mut Reader<'_>, table: &DeTable<'_>, place: Location) -> bool {
    let mut known = true;
    for name in table.keys() {
        let key = name.get_ref().as_ref();
        if !NAMES.contains(&key) {
            known = false;
            let help = format!("{}recipients has: {}", did_you_mean(key, NAMES.into_iter()), NAMES.join(", "));
            reader.error(Some(place.at(name.span().start)), format!("recipients: {key} is not known"), help);
        }
    }
    known
}

/// A text that fits into a cell of a table.
fn text(reader: &mut Reader<'_>, table: &DeTable<'_>, place: Location, name: &'static str) -> Option<String> {
    let Some(value) = table.get(name) else {
        let help = "write name, scene, data, company and link: the columns of the privacy policy's list";
        reader.error(Some(place), format!("a recipients table without {name}"), help);
        return None;
    };
    let at = place.at(value.span().start);
    let Some(text) = value.get_ref().as_str() else {
        let kind = value.get_ref().type_str();
        reader.error(Some(at), format!("{name} must be text, not {kind}"), "write it between quotes");
        return None;
    };
    if text.trim().is_empty() || text.chars().count() > MAX_LETTERS || text.chars().any(char::is_control) {
        let help = format!("write 1 to {MAX_LETTERS} letters, on one line");
        reader.error(Some(at), format!("{name} = {text:?} cannot be shown in a table"), help);
        return None;
    }
    let is_address = url::Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.has_host());
    if name == "link" && (!is_address || text.contains(char::is_whitespace)) {
        let help = "write where its privacy policy is: an address that begins with https://";
        reader.error(Some(at), format!("link = {text:?} is no such address"), help);
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, compare, example};

    const PARTY: &str = "[[recipients]]\nname = \"Captions\"\nscene = \"live captions\"\ndata = \"sound\"\n\
                         company = \"Example Ltd\"\nlink = \"https://captions.example/privacy\"\n";

    fn wrong(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tallybox.toml");
        std::fs::write(&path, format!("[ingest]\nurl = \"rtmp://127.0.0.1/live/k\"\n{text}")).unwrap();
        Config::load(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_third_party_has_all_columns_of_the_policys_list() {
        let parties = example(&format!("{PARTY}{PARTY}")).third_parties;
        assert_eq!((parties.len(), parties[0].link.as_str()), (2, "https://captions.example/privacy"));
        for (from, to, message) in [
            ("scene = \"live captions\"\n", "", "a recipients table without scene; write name, scene, data"),
            ("data", "dta", "recipients: dta is not known; did you mean \"data\"?"),
            ("\"sound\"", "5", "data must be text, not integer"),
            ("\"sound\"", "\" \"", "data = \" \" cannot be shown in a table; write 1 to 200 letters"),
            ("https://", "http://", "link = \"http://captions.example/privacy\" is no such address"),
        ] {
            let told = wrong(&PARTY.replace(from, to));
            assert!(told.contains(message), "{told}");
        }
        let told = wrong(&PARTY.repeat(65));
        assert!(told.contains("more than 64 recipients"), "{told}");
    }

    #[test]
    fn staff_are_asked_about_a_new_one_only() {
        let (none, one) = (example(""), example(PARTY));
        assert_eq!(compare(&none, &one).staff, ["it names another company that is given data: [[recipients]]"]);
        assert!(compare(&one, &one).staff.is_empty() && compare(&one, &none).staff.is_empty());
    }
}
