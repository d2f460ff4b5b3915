//! The session at the broker outlives a connection, because its last will has no delay otherwise. On this side nothing
//! of it is kept: commands have ids, and events a cursor.

use std::pin::Pin;

use rumqttc::{PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey};

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// The client library resumes a broker's session only with its own half of it. This half is always empty: what was
/// under way is sent again as new, and `QoS` 2, which would need more, is not used.
#[derive(Debug)]
pub(super) struct EmptyHalf {
    /// What the client is configured with: the library compares.
    pub(super) outgoing_inflight: u16,
    /// In seconds.
    pub(super) expiry: u32,
}

impl SessionStore for EmptyHalf {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.expiry),
            outgoing_inflight_upper_limit: Some(self.outgoing_inflight),
            ack_mode: PersistedAckMode::Automatic,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(Some(session))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
