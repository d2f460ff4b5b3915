//! Values that several commands take.

use std::time::Duration;

use tallybox::config;

/// The first part of all topics, unless `[mqtt] topic-prefix` of the boxes is another one.
pub(crate) const PREFIX: &str = "tallybox/v1";

/// The broker where none is named.
pub(crate) const BROKER: &str = "mqtt://127.0.0.1:1883";

/// The environment variable with the password at the broker: a command line is everybody's to read.
pub(crate) const PASSWORD: &str = "TALLYBOX_FLEET_PASSWORD";

/// What a box's id is made of.
pub(crate) const BOX_ID: &str = "write 1 to 64 of a-z, 0-9 and \"-\"";

/// A span such as `90s`, `1m 30s` or `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "write a time such as 90s, 5m or 500ms".to_owned())
}

/// A share such as `10%`, as a number from 0 to 1.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    let share = number.filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| percent / 100.0);
    share.ok_or_else(|| "write a share such as 10%".to_owned())
}

/// Whether a box can have this id.
pub(crate) fn is_box_id(id: &str) -> bool {
    config::is_device_id(id)
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerUrl {
    pub(crate) tls: bool,
    /// A name or an address; IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl BrokerUrl {
    /// `mqtt://host[:port]` or `mqtts://…`. User and password have options of their own.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let help = "write mqtts://broker.example.cn:8883 or mqtt://127.0.0.1:1883";
        let url = url::Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}; {help}"))?;
        let tls = match url.scheme() {
            "mqtts" => true,
            "mqtt" => false,
            other => return Err(format!("a broker over {other}:// is not supported; {help}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("write the user name behind --user, and the password into {PASSWORD}"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("a broker's URL has nothing behind host and port; {help}"));
        }
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| format!("{text:?} has no host; {help}"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { tls, host, port: url.port().unwrap_or(if tls { 8883 } else { 1883 }) })
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_mistakes_told() {
        for (text, shown) in [
            ("mqtt://127.0.0.1", "mqtt://127.0.0.1:1883"),
            ("mqtts://broker.example.cn/", "mqtts://broker.example.cn:8883"),
            ("mqtts://[::1]:99", "mqtts://[::1]:99"),
        ] {
            assert_eq!(BrokerUrl::parse(text).unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("broker.example.cn", "is no URL"),
            ("http://broker.example.cn", "http:// is not supported"),
            ("mqtt://user:secret@broker", PASSWORD),
            ("mqtt://broker/topic", "nothing behind host and port"),
        ] {
            let error = BrokerUrl::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
