//! The protocols that a stream can travel by, as schemes of a URL.

use crate::config::choice::choice;

choice!(
    /// How the stream travels.
    IngestScheme {
        /// RTMP over TLS.
        Rtmps = "rtmps",
        /// RTMP.
        Rtmp = "rtmp",
        /// SRT.
        Srt = "srt",
        /// WHIP, asked over TLS.
        Https = "https",
        /// WHIP, asked in plain text; the media are encrypted all the same.
        Http = "http",
    }
);

impl IngestScheme {
    /// Whether it is WHIP.
    pub const fn is_whip(self) -> bool {
        match self {
            Self::Https | Self::Http => true,
            Self::Rtmps | Self::Rtmp | Self::Srt => false,
        }
    }

    /// Whether it is RTMP, over TLS or not.
    pub const fn is_rtmp(self) -> bool {
        match self {
            Self::Rtmps | Self::Rtmp => true,
            Self::Https | Self::Http | Self::Srt => false,
        }
    }

    /// The port of an address that has none; SRT has no usual one.
    pub const fn default_port(self) -> Option<u16> {
        match self {
            Self::Rtmps | Self::Https => Some(443),
            Self::Rtmp => Some(1935),
            Self::Http => Some(80),
            Self::Srt => None,
        }
    }
}
