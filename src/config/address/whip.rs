//! WHIP's part of an address: the endpoint's path and query, as HTTP sends them.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Raw, ValueError, unsendable};
use crate::config::SecretTemplate;

/// What an HTTP request line does not take as it is (RFC 3986, 3.3 and 3.4). `%` stands for itself: what is encoded
/// stays as it is.
const OUTSIDE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// What a WHIP server is told.
#[derive(Clone, Debug)]
pub struct Whip {
    /// Whether HTTP goes over TLS; media are encrypted in either case.
    pub tls: bool,
    /// Path and query, beginning with `/`; what is no secret is percent-encoded already.
    pub path_and_query: SecretTemplate,
    /// What the box proves itself with.
    pub token: Option<SecretTemplate>,
}

impl Whip {
    /// Reads what stands behind the host.
    pub(in crate::config) fn parse(
        raw: &Raw<'_>,
        tls: bool,
        token: Option<SecretTemplate>,
    ) -> Result<Self, ValueError> {
        if raw.user.is_some() {
            let message = "a WHIP URL has no user before the host";
            return Err(ValueError::new(message, "write what the server wants in token = \"${NAME}\""));
        }
        if raw.rest.contains('#') {
            let message = "a WHIP URL has nothing behind \"#\": it would not be sent";
            return Err(ValueError::new(message, "take it away, or write %23 for the character"));
        }
        if raw.rest.contains('\\') {
            return Err(ValueError::new("a WHIP URL has \"\\\" in it", "write \"/\", or %5C for the character"));
        }
        let path = raw.rest.split('?').next().unwrap_or_default();
        if path.split('/').any(|part| matches!(part.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..")) {
            return Err(ValueError::new(
                "a WHIP URL has \".\" or \"..\" as a part of its path",
                "write the path without it",
            ));
        }
        let rest = if raw.rest.starts_with('/') { raw.rest.to_owned() } else { format!("/{}", raw.rest) };
        let template =
            SecretTemplate::parse(&rest, "path").map_err(|message| ValueError::new(message, "write ${NAME}"))?;
        let encode = |text: &str| Ok::<_, ValueError>(utf8_percent_encode(text, OUTSIDE).to_string());
        Ok(Self { tls, path_and_query: template.try_map(encode)?, token })
    }

    pub(super) fn unusable_secrets(&self) -> Vec<ValueError> {
        let mut message: Vec<_> = unsendable("the path of url", Some(&self.path_and_query)).into_iter().collect();
        let token = self.token.as_ref().and_then(|token| token.resolve().ok());
        // RFC 9110, 11.2: what a header's credentials are made of.
        if token.is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
            let help = "put the token alone into the file or variable, on one line";
            message.push(ValueError::new("the value of token has a character that HTTP does not take", help));
        }
        message
    }
}
